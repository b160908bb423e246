
#include "ngx_http_hype_conf.h"
#include "ngx_http_hype_owner.h"


static ngx_conf_enum_t  ngx_http_hype_links_create[] = {
    { ngx_string("on"), 1 },
    { ngx_string("off"), 0 },
    { ngx_null_string, 0 }
};


static ngx_http_hype_conf_param_t  ngx_http_hype_links_params[] = {

    { ngx_string("json"),
      ngx_http_hype_conf_param_flag,
      offsetof(ngx_http_hype_loc_conf_t, links),
      (void *) NGX_HTTP_HYPE_LINKS_JSON },

    { ngx_string("html"),
      ngx_http_hype_conf_param_flag,
      offsetof(ngx_http_hype_loc_conf_t, links),
      (void *) NGX_HTTP_HYPE_LINKS_HTML },

    { ngx_string("create="),
      ngx_http_hype_conf_param_enum,
      offsetof(ngx_http_hype_loc_conf_t, links_create),
      ngx_http_hype_links_create },

    { ngx_string("to="),
      ngx_http_hype_conf_param_path,
      offsetof(ngx_http_hype_loc_conf_t, links_to), NULL },

    { ngx_null_string, NULL, 0,
      "\"json\", \"html\", \"create=\" or \"to=\" is expected" }
};


char *
ngx_http_hype_conf_links(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_hype_loc_conf_t *hlcf = conf;

    ngx_http_core_loc_conf_t  *clcf;

    if (hlcf->links != NGX_CONF_UNSET_UINT) {
        return "is duplicate";
    }

    hlcf->links = NGX_HTTP_HYPE_LINKS_JSON;
    hlcf->links_create = 1;

    ngx_http_hype_conf_needs_database(cf);

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    clcf->handler = ngx_http_hype_owner_handler;

    return ngx_http_hype_conf_params(cf, 1, ngx_http_hype_links_params, hlcf);
}


ngx_int_t
ngx_http_hype_conf_merge_links(ngx_conf_t *cf, ngx_http_hype_loc_conf_t *prev,
    ngx_http_hype_loc_conf_t *conf)
{
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (conf->links == NGX_CONF_UNSET_UINT && clcf->noname) {
        conf->links = prev->links;
        conf->links_create = prev->links_create;
        conf->links_to = prev->links_to;
    }

    ngx_conf_init_uint_value(conf->links, NGX_HTTP_HYPE_LINKS_OFF);

    if (!conf->links) {
        return NGX_OK;
    }

    if (conf->ref || conf->status) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"hype_links\" and \"%s\" are in one location, "
                           "\"%V\"", conf->ref ? "hype_ref" : "hype_status",
                           &clcf->name);
        return NGX_ERROR;
    }

    if (conf->user == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"hype_links\" in location \"%V\" needs "
                           "\"hype_user\"", &clcf->name);
        return NGX_ERROR;
    }

    return NGX_OK;
}
