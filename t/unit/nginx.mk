# nginx's headers for code outside of nginx: a configured copy of its sources,
# where NGX_INC does not say so already.  The includer has set BUILD.

NGX_TREE ?= /usr/share/nginx/src

ifndef NGX_INC

# a release has "configure" beside "auto", a clone has it inside

ngx_configure := $(firstword $(wildcard $(addprefix $(NGX_TREE)/,configure \
	auto/configure)))
ngx_headers := $(BUILD)/headers
ngx_config := $(ngx_headers)/objs/ngx_auto_config.h
NGX_INC := $(addprefix -I$(NGX_TREE)/src/,core event event/modules os/unix) \
	-I$(ngx_headers)/objs

$(ngx_config):
	@mkdir -p $(ngx_headers)
	ln -sfn $(NGX_TREE)/auto $(ngx_headers)/auto
	ln -sfn $(NGX_TREE)/src $(ngx_headers)/src
	cd $(ngx_headers) && sh $(ngx_configure) --without-http \
		--without-pcre --with-threads > configure.log 2>&1 \
		|| { cat configure.log; rm -rf objs; exit 1; }

endif
