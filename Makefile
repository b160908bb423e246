# make                  build/ngx_http_hype_module.so, for the nginx that is
#                       installed here (Debian's nginx-dev); build/hype-spool
# make NGINX_SRC=path   the same for an nginx source tree, and build/nginx
#                       (NGX_SRC is taken, too)
#      SANITIZE=1       ... with AddressSanitizer, and UBSan in the module
#      BUILD=folder     ... somewhere else
#      NGINX_OPTIONS="..."    ... with these options of configure
# make NGINX_SRC=path module    the module alone
# make install          into nginx's modules path, and PREFIX; honours DESTDIR
# make uninstall        removes what it has installed
# make test, make demo, make bench   see bin/test, bin/demo and bin/bench

NGX_SRC ?=
NGINX_SRC ?= $(NGX_SRC)
SANITIZE ?=
BUILD ?= build
PREFIX ?= /usr

module := ngx_http_hype_module
out := $(abspath $(BUILD))
tree := $(abspath $(or $(NGINX_SRC),/usr/share/nginx/src))
server := $(if $(wildcard $(tree)/src/core/angie.h),angie,nginx)
variant := $(if $(NGINX_SRC),$(subst /,-,$(tree)),-debian)$(if $(SANITIZE),-san)
work := $(out)/nginx$(variant)

warnings := -Wall -Wextra -Wno-unused-parameter -Wformat \
	-Werror=format-security

ifeq ($(SANITIZE),)
CC_OPT ?= -g -O2 -fstack-protector-strong -D_FORTIFY_SOURCE=2
LD_OPT ?= -Wl,-z,relro -Wl,-z,now
else
CC_OPT ?= -g -O1 -fno-omit-frame-pointer -fsanitize=address \
	-DNGX_DEBUG_PALLOC=1
LD_OPT ?= -fsanitize=address,undefined
module_cflags := -fsanitize=undefined
endif

# what Debian's nginx has of it comes with its conf_flags

NGINX_OPTIONS ?= --with-compat --with-debug --with-threads --with-file-aio \
	--with-http_ssl_module --with-http_v2_module \
	--with-http_realip_module --with-http_auth_request_module \
	--with-http_stub_status_module --with-http_sub_module \
	--with-http_addition_module --with-http_slice_module \
	--with-stream --with-stream_ssl_module \
	$(if $(wildcard $(tree)/src/http/v3),--with-http_v3_module)

# neither make nor nginx's scripts can have it otherwise, and "rm -rf" would
# take the parts of a path for paths

ifneq ($(words x$(CURDIR)x$(BUILD)x$(NGINX_SRC)x),1)
$(error there is a space in a path: "$(CURDIR)", "$(BUILD)" or "$(NGINX_SRC)")
endif

# nginx has to be configured anew when any of these changes

inputs := $(CURDIR) $(tree) $(CC) $(CC_OPT) $(LD_OPT) $(warnings) $(NGINX_OPTIONS) \
	$(sort $(wildcard src/*/*.c src/*/*.h html/*.* html/*/*))

modules_path = $(or $(shell nginx -V 2>&1 | tr ' ' '\n' \
	| sed -n 's/^--modules-path=//p'),$(PREFIX)/lib/nginx/modules)


# under another name first: a running nginx has the old file mapped

replace = { cp $(1) $(2).new && mv -f $(2).new $(2); }


all: $(if $(NGINX_SRC),$(out)/nginx) module tools

module: $(out)/$(module).so

# nginx's own makefile knows what has changed

$(out)/$(module).so: $(work)/objs/Makefile FORCE
	@$(MAKE) --no-print-directory -C $(work) -f objs/Makefile modules \
		CFLAGS="`sed -n "s/^CFLAGS = *//p" $(work)/objs/Makefile` $(module_cflags)"
	@cmp -s $(work)/objs/$(module).so $@ \
		|| $(call replace,$(work)/objs/$(module).so,$@)

$(out)/nginx: $(work)/objs/Makefile FORCE
	@$(MAKE) --no-print-directory -C $(work) -f objs/Makefile binary
	@cmp -s $(work)/objs/$(server) $@ \
		|| $(call replace,$(work)/objs/$(server),$@)

# nginx configures itself where it is: in a folder of links to its tree

$(work)/objs/Makefile: $(work)/inputs Makefile config config.make \
		$(wildcard $(tree)/conf_flags) $(tree)/src/core/nginx.h
	@test -d $(tree)/auto || { \
		echo "$(tree): no nginx sources; on Debian install nginx-dev"; \
		exit 1; }
	rm -rf $(work)/objs
	cd $(work) && for f in auto conf contrib docs html man src misc; do \
		rm -f $$f; test ! -e $(tree)/$$f || ln -s $(tree)/$$f $$f; done
	cd $(work) && rm -f configure && if [ -e $(tree)/configure ]; \
		then ln -s $(tree)/configure configure; \
		else ln -s $(tree)/auto/configure configure; fi
	cd $(work) && bash -c '$(if $(NGINX_SRC),,. $(tree)/conf_flags; )\
		./configure \
		$(if $(NGINX_SRC),$(NGINX_OPTIONS),"$${NGX_CONF_FLAGS[@]}") \
		--with-cc="$(CC)" \
		--with-cc-opt="$(CC_OPT) -fPIC $(warnings)" \
		--with-ld-opt="$(LD_OPT)" \
		--add-dynamic-module="$(CURDIR)"' \
		> configure.log 2>&1 || { cat configure.log; exit 1; }

$(work)/inputs: FORCE
	@mkdir -p $(work)
	@echo '$(inputs)' > $@.new
	@cmp -s $@.new $@ || mv $@.new $@
	@rm -f $@.new


# tests of what needs no server, each a program that prints TAP

tools: FORCE
	@$(MAKE) --no-print-directory -C tools BUILD=$(out) NGX_TREE=$(tree)

unit: tools
	$(MAKE) --no-print-directory -C t/unit BUILD=$(out) NGX_TREE=$(tree)

test:
	bin/test

bench:
	bin/bench

demo:
	bin/demo

install: all
	install -d $(DESTDIR)$(modules_path) $(DESTDIR)$(PREFIX)/bin \
		$(DESTDIR)$(PREFIX)/share/$(module) \
		$(DESTDIR)$(PREFIX)/share/man/man1
	install $(out)/hype-spool $(DESTDIR)$(PREFIX)/bin
	install -m 644 tools/hype-spool.1 $(DESTDIR)$(PREFIX)/share/man/man1
	install -m 644 $(out)/$(module).so $(DESTDIR)$(modules_path)
	install -m 644 sql/hype.sql conf/hype-bots.conf \
		$(DESTDIR)$(PREFIX)/share/$(module)

uninstall:
	rm -f $(DESTDIR)$(modules_path)/$(module).so \
		$(DESTDIR)$(PREFIX)/bin/hype-spool \
		$(DESTDIR)$(PREFIX)/share/man/man1/hype-spool.1
	rm -rf $(DESTDIR)$(PREFIX)/share/$(module)

# clean keeps what was downloaded, distclean nothing

clean:
	rm -rf $(out)/nginx-* $(out)/nginx $(out)/$(module).so
	$(MAKE) --no-print-directory -C tools clean BUILD=$(out) NGX_TREE=$(tree)
	$(MAKE) --no-print-directory -C t/unit clean BUILD=$(out) NGX_TREE=$(tree)

distclean: clean
	rm -rf $(out)

FORCE:

.PHONY: all module tools unit test bench demo install uninstall clean distclean \
	FORCE
