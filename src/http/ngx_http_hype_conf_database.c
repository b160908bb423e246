
#include "ngx_http_hype_conf.h"
#include "ngx_http_hype_status.h"


static char *ngx_http_hype_conf_connections(ngx_conf_t *cf,
    ngx_str_t *value, void *field, void *post);
static char *ngx_http_hype_conf_max_size(ngx_conf_t *cf, ngx_str_t *value,
    void *field, void *post);
static char *ngx_http_hype_conf_sync(ngx_conf_t *cf, ngx_str_t *value,
    void *field, void *post);
static ngx_int_t ngx_http_hype_conf_check_spool(ngx_conf_t *cf,
    ngx_str_t *name);


static ngx_http_hype_conf_param_t  ngx_http_hype_database_params[] = {

    { ngx_string("connections="),
      ngx_http_hype_conf_connections,
      offsetof(ngx_http_hype_db_conf_t, connections), NULL },

    { ngx_string("connect_timeout="),
      ngx_http_hype_conf_param_msec,
      offsetof(ngx_http_hype_db_conf_t, connect_timeout), NULL },

    { ngx_string("timeout="),
      ngx_http_hype_conf_param_msec,
      offsetof(ngx_http_hype_db_conf_t, timeout), NULL },

    { ngx_null_string, NULL, 0, NULL }
};


static ngx_http_hype_conf_param_t  ngx_http_hype_zone_params[] = {

    { ngx_string("valid="),
      ngx_http_hype_conf_param_msec,
      offsetof(ngx_http_hype_cache_t, valid), "a time is expected" },

    { ngx_string("unknown="),
      ngx_http_hype_conf_param_msec,
      offsetof(ngx_http_hype_cache_t, unknown), "a time is expected" },

    { ngx_null_string, NULL, 0, "\"valid=\" or \"unknown=\" is expected" }
};


static ngx_http_hype_conf_param_t  ngx_http_hype_spool_params[] = {

    { ngx_string("max_size="),
      ngx_http_hype_conf_max_size,
      offsetof(ngx_http_hype_spool_conf_t, max_size), NULL },

    { ngx_string("sync="),
      ngx_http_hype_conf_sync,
      offsetof(ngx_http_hype_spool_conf_t, sync), NULL },

    { ngx_null_string, NULL, 0, "\"max_size=\" or \"sync=\" is expected" }
};


static ngx_http_hype_conf_param_t  ngx_http_hype_status_params[] = {

    { ngx_string("reports="),
      ngx_http_hype_conf_param_msec,
      offsetof(ngx_http_hype_loc_conf_t, reports), NULL },

    { ngx_null_string, NULL, 0, "\"reports=\" after \"html\" is expected" }
};


static ngx_conf_enum_t  ngx_http_hype_status[] = {
    { ngx_string("json"), NGX_HTTP_HYPE_STATUS_JSON },
    { ngx_string("prometheus"), NGX_HTTP_HYPE_STATUS_PROMETHEUS },
    { ngx_string("html"), NGX_HTTP_HYPE_STATUS_HTML },
    { ngx_null_string, 0 }
};


char *
ngx_http_hype_conf_database(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_hype_main_conf_t *hmcf = conf;

    ngx_str_t                   *value;
    ngx_uint_t                   i;
    ngx_http_hype_conf_param_t  *param;

    if (hmcf->database) {
        return "is duplicate";
    }

    hmcf->database = 1;
    hmcf->db.connections = 2;
    hmcf->db.connect_timeout = 2000;
    hmcf->db.timeout = 1000;

    value = cf->args->elts;

    for (i = 2; i < cf->args->nelts; i++) {

        param = ngx_http_hype_conf_find_param(ngx_http_hype_database_params,
                                              &value[i]);

        /* it may be a part of the conninfo without quotes: not shown */

        if (param->name.len == 0) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid parameter %ui of \"hype_database\": "
                               "\"connections=\", \"connect_timeout=\" or "
                               "\"timeout=\" is expected, and the conninfo in "
                               "quotes before them", i);
            return NGX_CONF_ERROR;
        }
    }

    if (ngx_http_hype_conf_params(cf, 2, ngx_http_hype_database_params,
                                  &hmcf->db)
        != NGX_CONF_OK)
    {
        return NGX_CONF_ERROR;
    }

    if (ngx_http_hype_conninfo_parse(cf, &value[1], &hmcf->db.info)
        != NGX_CONF_OK)
    {
        return NGX_CONF_ERROR;
    }

    ngx_http_hype_conf_check_ssl(cf, &hmcf->db.info);

    return NGX_CONF_OK;
}


static char *
ngx_http_hype_conf_connections(ngx_conf_t *cf, ngx_str_t *value, void *field,
    void *post)
{
    ngx_uint_t *connections = field;

    ngx_int_t  n;

    n = ngx_atoi(value->data, value->len);

    if (n < 1 || n > 100) {
        return "a number from 1 to 100 is expected";
    }

    *connections = n;

    return NGX_CONF_OK;
}


char *
ngx_http_hype_conf_zone(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_hype_main_conf_t *hmcf = conf;

    u_char     *p;
    ssize_t     size;
    ngx_str_t  *value, name, s;

    if (hmcf->zone) {
        return "is duplicate";
    }

    value = cf->args->elts;
    name = value[1];

    p = (u_char *) ngx_strchr(name.data, ':');
    if (p == NULL || p == name.data) {
        return ngx_http_hype_conf_invalid(cf, &value[1],
                                          "\"name:size\" is expected");
    }

    name.len = p - name.data;

    s.data = p + 1;
    s.len = value[1].data + value[1].len - s.data;

    size = ngx_parse_size(&s);
    if (size == NGX_ERROR) {
        return ngx_http_hype_conf_invalid(cf, &value[1],
                                          "a size such as \"8m\" is expected "
                                          "after the name");
    }

    if (size < (ssize_t) (8 * ngx_pagesize)) {
        return ngx_http_hype_conf_invalid(cf, &value[1],
                                          "the zone is too small");
    }

    if (ngx_http_hype_conf_add_zone(cf, hmcf, &name, size) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    return ngx_http_hype_conf_params(cf, 2, ngx_http_hype_zone_params,
                                     hmcf->cache);
}


char *
ngx_http_hype_conf_add_zone(ngx_conf_t *cf, ngx_http_hype_main_conf_t *hmcf,
    ngx_str_t *name, size_t size)
{
    ngx_http_hype_cache_t  *cache;

    cache = ngx_pcalloc(cf->pool, sizeof(ngx_http_hype_cache_t));
    if (cache == NULL) {
        return NGX_CONF_ERROR;
    }

    cache->valid = 10 * 60 * 1000;
    cache->unknown = 10 * 1000;

    hmcf->zone = ngx_shared_memory_add(cf, name, size, &ngx_http_hype_module);
    if (hmcf->zone == NULL) {
        return NGX_CONF_ERROR;
    }

    hmcf->zone->init = ngx_http_hype_cache_init_zone;
    hmcf->zone->data = cache;
    hmcf->cache = cache;

    return NGX_CONF_OK;
}


char *
ngx_http_hype_conf_spool(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_hype_main_conf_t *hmcf = conf;

    ngx_str_t  *value;

    if (hmcf->spool.max_size) {
        return "is duplicate";
    }

    hmcf->spool.max_size = 1024 * 1024 * 1024;
    hmcf->spool.sync = NGX_HTTP_HYPE_SPOOL_SYNC_OFF;

    value = cf->args->elts;

    if (value[1].len == 0) {
        return ngx_http_hype_conf_invalid(cf, &value[1], "a path is expected");
    }

    if (ngx_strcmp(value[1].data, "off") == 0) {

        if (cf->args->nelts > 2) {
            return ngx_http_hype_conf_invalid(cf, &value[2],
                                              "\"off\" has no parameters");
        }

        return NGX_CONF_OK;
    }

    if (ngx_http_hype_conf_params(cf, 2, ngx_http_hype_spool_params,
                                  &hmcf->spool)
        != NGX_CONF_OK)
    {
        return NGX_CONF_ERROR;
    }

    return ngx_http_hype_conf_set_spool_path(cf, hmcf, &value[1]);
}


static char *
ngx_http_hype_conf_max_size(ngx_conf_t *cf, ngx_str_t *value, void *field,
    void *post)
{
    off_t *size = field;

    *size = ngx_parse_offset(value);

    return (*size < NGX_HTTP_HYPE_SPOOL_MIN)
           ? "a size of 64k or more is expected" : NGX_CONF_OK;
}


static char *
ngx_http_hype_conf_sync(ngx_conf_t *cf, ngx_str_t *value, void *field,
    void *post)
{
    ngx_msec_t *sync = field;

    if (ngx_strcmp(value->data, "off") == 0) {
        *sync = NGX_HTTP_HYPE_SPOOL_SYNC_OFF;
        return NGX_CONF_OK;
    }

    if (ngx_strcmp(value->data, "always") == 0) {
        *sync = NGX_HTTP_HYPE_SPOOL_SYNC_ALWAYS;
        return NGX_CONF_OK;
    }

    return (ngx_http_hype_conf_param_msec(cf, value, field, post)
            == NGX_CONF_OK)
           ? NGX_CONF_OK
           : "\"off\", \"always\" or a time above 0 is expected";
}


/*
 * nginx would give an ordinary file to the workers' user, and tell of a
 * directory that it can't make without file and line.
 */

static ngx_int_t
ngx_http_hype_conf_check_spool(ngx_conf_t *cf, ngx_str_t *name)
{
    u_char           *p, *parent;
    ngx_file_info_t   fi;

    if (ngx_file_info(name->data, &fi) != NGX_FILE_ERROR) {

        if (ngx_is_dir(&fi)) {
            return NGX_OK;
        }

        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"hype_spool\" path \"%V\" is not a "
                           "directory", name);
        return NGX_ERROR;
    }

    if (ngx_errno != NGX_ENOENT) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           "\"hype_spool\" can't use \"%V\"", name);
        return NGX_ERROR;
    }

    parent = ngx_pnalloc(cf->temp_pool, name->len + 1);
    if (parent == NULL) {
        return NGX_ERROR;
    }

    (void) ngx_cpystrn(parent, name->data, name->len + 1);

    p = (u_char *) strrchr((char *) parent, '/');

    if (p == NULL || p == parent) {
        return NGX_OK;
    }

    *p = '\0';

    if (access((char *) parent, W_OK|X_OK) == -1) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           "\"hype_spool\" can't create \"%V\" in \"%s\"",
                           name, parent);
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* as client_body_temp_path: made by the master, for the workers' user */

char *
ngx_http_hype_conf_set_spool_path(ngx_conf_t *cf,
    ngx_http_hype_main_conf_t *hmcf, ngx_str_t *name)
{
    ngx_path_t  *path;

    path = ngx_pcalloc(cf->pool, sizeof(ngx_path_t));
    if (path == NULL) {
        return NGX_CONF_ERROR;
    }

    path->name = *name;

    if (path->name.len && path->name.data[path->name.len - 1] == '/') {
        path->name.len--;
    }

    if (ngx_conf_full_name(cf->cycle, &path->name, 0) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    if (ngx_http_hype_conf_check_spool(cf, &path->name) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    path->conf_file = cf->conf_file->file.name.data;
    path->line = cf->conf_file->line;

    hmcf->spool.path = path;

    if (ngx_add_path(cf, &hmcf->spool.path) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


char *
ngx_http_hype_conf_status(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_hype_loc_conf_t *hlcf = conf;

    char                      *reason;
    ngx_str_t                 *value;
    ngx_http_core_loc_conf_t  *clcf;

    if (hlcf->status != NGX_CONF_UNSET_UINT) {
        return "is duplicate";
    }

    hlcf->status = NGX_HTTP_HYPE_STATUS_JSON;
    hlcf->reports = 0;

    ngx_http_hype_conf_needs_database(cf);

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    clcf->handler = ngx_http_hype_status_handler;

    value = cf->args->elts;

    if (cf->args->nelts == 1) {
        return NGX_CONF_OK;
    }

    reason = ngx_http_hype_conf_word(cf, ngx_http_hype_status, &value[1],
                                     &hlcf->status);
    if (reason) {
        return ngx_http_hype_conf_invalid(cf, &value[1], reason);
    }

    if (cf->args->nelts > 2 && hlcf->status != NGX_HTTP_HYPE_STATUS_HTML) {
        return ngx_http_hype_conf_invalid(cf, &value[2],
                                          "\"reports=\" after \"html\" is "
                                          "expected");
    }

    return ngx_http_hype_conf_params(cf, 2, ngx_http_hype_status_params, hlcf);
}
