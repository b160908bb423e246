
#include "ngx_http_hype_conf.h"
#include "ngx_http_hype_status.h"


static ngx_int_t ngx_http_hype_conf_check_spool(ngx_conf_t *cf,
    ngx_str_t *name);


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

    ngx_int_t    n;
    ngx_str_t   *value, s;
    ngx_uint_t   i;

    if (hmcf->database) {
        return "is duplicate";
    }

    hmcf->database = 1;
    hmcf->db.connections = 2;
    hmcf->db.connect_timeout = 2000;
    hmcf->db.timeout = 1000;

    value = cf->args->elts;

    for (i = 2; i < cf->args->nelts; i++) {

        if (ngx_http_hype_conf_has_prefix(&value[i], "connections=", &s)) {

            n = ngx_atoi(s.data, s.len);
            if (n == NGX_ERROR || n < 1 || n > 100) {
                return ngx_http_hype_conf_invalid(cf, &value[i],
                                                  "a number from 1 to 100 is "
                                                  "expected");
            }

            hmcf->db.connections = n;
            continue;
        }

        if (ngx_http_hype_conf_has_prefix(&value[i], "connect_timeout=", &s)) {

            hmcf->db.connect_timeout = ngx_parse_time(&s, 0);
            if (hmcf->db.connect_timeout == (ngx_msec_t) NGX_ERROR
                || hmcf->db.connect_timeout == 0)
            {
                return ngx_http_hype_conf_invalid(cf, &value[i],
                                                  "a time above 0 is expected");
            }

            continue;
        }

        if (ngx_http_hype_conf_has_prefix(&value[i], "timeout=", &s)) {

            hmcf->db.timeout = ngx_parse_time(&s, 0);
            if (hmcf->db.timeout == (ngx_msec_t) NGX_ERROR
                || hmcf->db.timeout == 0)
            {
                return ngx_http_hype_conf_invalid(cf, &value[i],
                                                  "a time above 0 is expected");
            }

            continue;
        }

        /* it may be a part of the conninfo without quotes: not shown */

        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid parameter %ui of \"hype_database\": "
                           "\"connections=\", \"connect_timeout=\" or "
                           "\"timeout=\" is expected, and the conninfo in "
                           "quotes before them", i);
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


char *
ngx_http_hype_conf_zone(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_hype_main_conf_t *hmcf = conf;

    u_char      *p;
    char        *rc;
    ssize_t      size;
    ngx_str_t   *value, name, s;
    ngx_uint_t   i;
    ngx_msec_t   valid, unknown, *time;

    if (hmcf->zone) {
        return "is duplicate";
    }

    valid = 10 * 60 * 1000;
    unknown = 10 * 1000;

    value = cf->args->elts;

    for (i = 2; i < cf->args->nelts; i++) {

        if (ngx_http_hype_conf_has_prefix(&value[i], "valid=", &s)) {
            time = &valid;

        } else if (ngx_http_hype_conf_has_prefix(&value[i], "unknown=", &s)) {
            time = &unknown;

        } else {
            return ngx_http_hype_conf_invalid(cf, &value[i],
                                              "\"valid=\" or \"unknown=\" is "
                                              "expected");
        }

        *time = ngx_parse_time(&s, 0);
        if (*time == (ngx_msec_t) NGX_ERROR) {
            return ngx_http_hype_conf_invalid(cf, &value[i],
                                              "a time is expected");
        }
    }

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

    rc = ngx_http_hype_conf_add_zone(cf, hmcf, &name, size);
    if (rc != NGX_CONF_OK) {
        return rc;
    }

    hmcf->cache->valid = valid;
    hmcf->cache->unknown = unknown;

    return NGX_CONF_OK;
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
    cache->log = &cf->cycle->new_log;

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

    ngx_str_t   *value, s;
    ngx_uint_t   i;

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

    for (i = 2; i < cf->args->nelts; i++) {

        if (ngx_http_hype_conf_has_prefix(&value[i], "max_size=", &s)) {

            hmcf->spool.max_size = ngx_parse_offset(&s);
            if (hmcf->spool.max_size < NGX_HTTP_HYPE_SPOOL_MIN) {
                return ngx_http_hype_conf_invalid(cf, &value[i],
                                                  "a size of 64k or more is "
                                                  "expected");
            }

            continue;
        }

        if (ngx_http_hype_conf_has_prefix(&value[i], "sync=", &s)) {

            if (ngx_strcmp(s.data, "off") == 0) {
                hmcf->spool.sync = NGX_HTTP_HYPE_SPOOL_SYNC_OFF;
                continue;
            }

            if (ngx_strcmp(s.data, "always") == 0) {
                hmcf->spool.sync = NGX_HTTP_HYPE_SPOOL_SYNC_ALWAYS;
                continue;
            }

            hmcf->spool.sync = ngx_parse_time(&s, 0);
            if (hmcf->spool.sync == (ngx_msec_t) NGX_ERROR
                || hmcf->spool.sync == 0)
            {
                return ngx_http_hype_conf_invalid(cf, &value[i],
                                                  "\"off\", \"always\" or a "
                                                  "time above 0 is expected");
            }

            continue;
        }

        return ngx_http_hype_conf_invalid(cf, &value[i],
                                          "\"max_size=\" or \"sync=\" is "
                                          "expected");
    }

    return ngx_http_hype_conf_set_spool_path(cf, hmcf, &value[1]);
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
                           "\"hype_spool\" names \"%V\", which is no "
                           "directory", name);
        return NGX_ERROR;
    }

    if (ngx_errno != NGX_ENOENT) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           "\"hype_spool\" can't have \"%V\"", name);
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
                           "\"hype_spool\" can't make \"%V\" in \"%s\"",
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

    ngx_str_t                 *value, s;
    ngx_http_core_loc_conf_t  *clcf;

    if (hlcf->status != NGX_CONF_UNSET_UINT) {
        return "is duplicate";
    }

    hlcf->status = NGX_HTTP_HYPE_STATUS_JSON;
    hlcf->reports = 0;

    ngx_http_hype_conf_needs_database(cf, "hype_status");

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    clcf->handler = ngx_http_hype_status_handler;

    value = cf->args->elts;

    if (cf->args->nelts > 1
        && ngx_http_hype_conf_enum_value(cf, ngx_http_hype_status, &value[1],
                                         &value[1], &hlcf->status)
           != NGX_CONF_OK)
    {
        return NGX_CONF_ERROR;
    }

    if (cf->args->nelts < 3) {
        return NGX_CONF_OK;
    }

    if (hlcf->status != NGX_HTTP_HYPE_STATUS_HTML
        || !ngx_http_hype_conf_has_prefix(&value[2], "reports=", &s))
    {
        return ngx_http_hype_conf_invalid(cf, &value[2],
                                          "\"reports=\" after \"html\" is "
                                          "expected");
    }

    hlcf->reports = ngx_parse_time(&s, 0);
    if (hlcf->reports == (ngx_msec_t) NGX_ERROR || hlcf->reports == 0) {
        return ngx_http_hype_conf_invalid(cf, &value[2],
                                          "a time above 0 is expected");
    }

    return NGX_CONF_OK;
}
