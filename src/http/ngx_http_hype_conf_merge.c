
#include "ngx_http_hype_conf.h"


#ifndef NGX_HTTP_HYPE_SPOOL_PATH
#define NGX_HTTP_HYPE_SPOOL_PATH  "hype_spool"
#endif


static ngx_int_t ngx_http_hype_conf_merge_handlers(ngx_conf_t *cf,
    ngx_http_hype_loc_conf_t *prev, ngx_http_hype_loc_conf_t *conf);
static char *ngx_http_hype_conf_merge_cookie(ngx_conf_t *cf,
    ngx_http_hype_loc_conf_t *prev, ngx_http_hype_loc_conf_t *conf);


void *
ngx_http_hype_conf_create_main(ngx_conf_t *cf)
{
    return ngx_pcalloc(cf->pool, sizeof(ngx_http_hype_main_conf_t));
}


char *
ngx_http_hype_conf_init_main(ngx_conf_t *cf, void *conf)
{
    ngx_http_hype_main_conf_t *hmcf = conf;

    static ngx_str_t  zone = ngx_string("hype");
    static ngx_str_t  spool = ngx_string(NGX_HTTP_HYPE_SPOOL_PATH);

    if (!hmcf->database) {
        return NGX_CONF_OK;
    }

    if (hmcf->zone == NULL
        && ngx_http_hype_conf_add_zone(cf, hmcf, &zone, 8 * 1024 * 1024)
           != NGX_CONF_OK)
    {
        return NGX_CONF_ERROR;
    }

    if (hmcf->spool.path == NULL && hmcf->spool.max_size == 0) {
        hmcf->spool.max_size = 1024 * 1024 * 1024;
        return ngx_http_hype_conf_set_spool_path(cf, hmcf, &spool);
    }

    return NGX_CONF_OK;
}


void *
ngx_http_hype_conf_create_location(ngx_conf_t *cf)
{
    ngx_http_hype_loc_conf_t  *conf;

    conf = ngx_pcalloc(cf->pool, sizeof(ngx_http_hype_loc_conf_t));
    if (conf == NULL) {
        return NULL;
    }

    /*
     * set by ngx_pcalloc():
     *
     *     conf->identifier = NULL;
     *     conf->prefix = { 0, NULL };
     *     conf->to = NULL;
     *     conf->next_param = { 0, NULL };
     *     conf->fallback = NULL;
     *     conf->hit_param = { 0, NULL };
     *     conf->cookie = NULL;
     *     conf->user = NULL;
     *     conf->bot = NULL;
     *     conf->links_create = 0;
     *     conf->links_to = NULL;
     */

    conf->durability = NGX_CONF_UNSET_UINT;
    conf->ref = NGX_CONF_UNSET;
    conf->loose = NGX_CONF_UNSET_UINT;
    conf->params = NGX_CONF_UNSET_PTR;
    conf->mode = NGX_CONF_UNSET_UINT;
    conf->next_hosts = NGX_CONF_UNSET_PTR;
    conf->destination = NGX_CONF_UNSET_PTR;
    conf->fallback_code = NGX_CONF_UNSET_UINT;
    conf->forward_args = NGX_CONF_UNSET;
    conf->keep_args = NGX_CONF_UNSET_PTR;
    conf->no_hit = NGX_CONF_UNSET_PTR;
    conf->no_cookie = NGX_CONF_UNSET_PTR;
    conf->ip = NGX_CONF_UNSET_UINT;
    conf->confirm = NGX_CONF_UNSET_PTR;
    conf->code = NGX_CONF_UNSET_PTR;
    conf->status = NGX_CONF_UNSET_UINT;
    conf->reports = NGX_CONF_UNSET_MSEC;
    conf->links = NGX_CONF_UNSET_UINT;

    return conf;
}


char *
ngx_http_hype_conf_merge_location(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_hype_loc_conf_t *prev = parent;
    ngx_http_hype_loc_conf_t *conf = child;

    ngx_http_hype_main_conf_t  *hmcf;

    ngx_conf_merge_uint_value(conf->durability, prev->durability,
                              NGX_HTTP_HYPE_COMMIT);

    if (conf->durability == NGX_HTTP_HYPE_SPOOL) {
        hmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_hype_module);
        hmcf->needs_spool = 1;
    }

    if (ngx_http_hype_conf_merge_handlers(cf, prev, conf) != NGX_OK) {
        return NGX_CONF_ERROR;
    }
    ngx_conf_merge_uint_value(conf->loose, prev->loose, NGX_HTTP_HYPE_STRICT);

    if (conf->params == NGX_CONF_UNSET_PTR) {
        ngx_conf_merge_ptr_value(conf->params, prev->params, NULL);
        ngx_conf_merge_uint_value(conf->mode, prev->mode,
                                  NGX_HTTP_HYPE_REDIRECT);
        conf->to = prev->to;
    }

    ngx_conf_merge_str_value(conf->next_param, prev->next_param, "next");
    ngx_conf_merge_ptr_value(conf->next_hosts, prev->next_hosts, NULL);

    ngx_conf_merge_ptr_value(conf->destination, prev->destination, NULL);

    if (conf->fallback_code == NGX_CONF_UNSET_UINT) {
        ngx_conf_merge_uint_value(conf->fallback_code, prev->fallback_code,
                                  0);
        conf->fallback = prev->fallback;
    }

    ngx_conf_merge_value(conf->forward_args, prev->forward_args, 0);
    ngx_conf_merge_str_value(conf->hit_param, prev->hit_param, "");
    ngx_conf_merge_ptr_value(conf->keep_args, prev->keep_args, NULL);

    if (conf->user == NULL) {
        conf->user = prev->user;
    }

    ngx_conf_merge_ptr_value(conf->no_hit, prev->no_hit, NULL);
    ngx_conf_merge_ptr_value(conf->no_cookie, prev->no_cookie, NULL);

    if (conf->bot == NULL) {
        conf->bot = prev->bot;
    }

    ngx_conf_merge_uint_value(conf->ip, prev->ip, NGX_HTTP_HYPE_IP_FULL);
    ngx_conf_merge_ptr_value(conf->confirm, prev->confirm, NULL);
    ngx_conf_merge_ptr_value(conf->code, prev->code, NULL);

    if (ngx_http_hype_conf_merge_links(cf, prev, conf) != NGX_OK
        || ngx_http_hype_conf_check_location(cf, conf) != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    return ngx_http_hype_conf_merge_cookie(cf, prev, conf);
}


/* as any handler of a location, they are inherited by "if" alone */

static ngx_int_t
ngx_http_hype_conf_merge_handlers(ngx_conf_t *cf,
    ngx_http_hype_loc_conf_t *prev, ngx_http_hype_loc_conf_t *conf)
{
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (conf->ref == NGX_CONF_UNSET && clcf->noname) {
        conf->ref = prev->ref;
        conf->identifier = prev->identifier;
        conf->prefix = prev->prefix;
    }

    if (conf->status == NGX_CONF_UNSET_UINT && clcf->noname) {
        conf->status = prev->status;
        conf->reports = prev->reports;
    }

    ngx_conf_init_value(conf->ref, 0);
    ngx_conf_init_uint_value(conf->status, NGX_HTTP_HYPE_STATUS_OFF);

    if (conf->ref && conf->status) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"hype_status\" and \"hype_ref\" are in one "
                           "location, \"%V\"", &clcf->name);
        return NGX_ERROR;
    }

    return NGX_OK;
}


static char *
ngx_http_hype_conf_merge_cookie(ngx_conf_t *cf, ngx_http_hype_loc_conf_t *prev,
    ngx_http_hype_loc_conf_t *conf)
{
    ngx_http_hype_cookie_t  *cookie;

    static ngx_str_t  root = ngx_string("/");

    if (conf->cookie) {
        return NGX_CONF_OK;
    }

    if (prev->cookie == NULL) {

        cookie = ngx_pcalloc(cf->pool, sizeof(ngx_http_hype_cookie_t));
        if (cookie == NULL) {
            return NGX_CONF_ERROR;
        }

        ngx_str_set(&cookie->name, "hype_visitor");
        ngx_str_set(&cookie->flags, "; SameSite=Lax; HttpOnly");
        cookie->max_age = 365 * 24 * 60 * 60;

        cookie->path = ngx_http_hype_conf_compile(cf, &root);
        if (cookie->path == NULL) {
            return NGX_CONF_ERROR;
        }

        prev->cookie = cookie;
    }

    conf->cookie = prev->cookie;

    return NGX_CONF_OK;
}
