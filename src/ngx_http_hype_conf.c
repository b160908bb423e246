
#include "ngx_http_hype_answer.h"
#include "ngx_http_hype_conf.h"
#include "ngx_http_hype_param.h"
#include "ngx_http_hype_status.h"


#define NGX_HTTP_HYPE_COOKIE_SAMESITE  0x01
#define NGX_HTTP_HYPE_COOKIE_SECURE    0x02
#define NGX_HTTP_HYPE_COOKIE_HTTPONLY  0x04
#define NGX_HTTP_HYPE_COOKIE_DOMAIN    0x08
#define NGX_HTTP_HYPE_COOKIE_PATH      0x10
#define NGX_HTTP_HYPE_COOKIE_MAX_AGE   0x20
#define NGX_HTTP_HYPE_COOKIE_LEGACY    0x40


static char *ngx_http_hype_conf_enum_value(ngx_conf_t *cf, ngx_conf_enum_t *e,
    ngx_str_t *argument, ngx_str_t *value, ngx_uint_t *result);
static char *ngx_http_hype_conf_cookie_name(ngx_http_hype_cookie_t *cookie,
    ngx_str_t *path, ngx_uint_t secure);
static char *ngx_http_hype_conf_cookie_flags(ngx_conf_t *cf,
    ngx_http_hype_cookie_t *cookie, ngx_str_t *samesite, ngx_uint_t secure,
    ngx_uint_t httponly);
static char *ngx_http_hype_conf_invalid(ngx_conf_t *cf, ngx_str_t *value,
    const char *reason);
static ngx_uint_t ngx_http_hype_conf_is_token(ngx_str_t *value);
static ngx_uint_t ngx_http_hype_conf_is_host(ngx_conf_t *cf,
    ngx_str_t *value);
static ngx_uint_t ngx_http_hype_conf_has_control(ngx_str_t *value);
static ngx_uint_t ngx_http_hype_conf_has_prefix(ngx_str_t *value,
    const char *prefix, ngx_str_t *rest);
static void ngx_http_hype_conf_needs_database(ngx_conf_t *cf,
    const char *name);


static ngx_conf_enum_t  ngx_http_hype_mode[] = {
    { ngx_string("redirect"), NGX_HTTP_HYPE_REDIRECT },
    { ngx_string("direct"), NGX_HTTP_HYPE_DIRECT },
    { ngx_string("inline"), NGX_HTTP_HYPE_INLINE },
    { ngx_null_string, 0 }
};

static ngx_conf_enum_t  ngx_http_hype_status[] = {
    { ngx_string("json"), NGX_HTTP_HYPE_STATUS_JSON },
    { ngx_string("prometheus"), NGX_HTTP_HYPE_STATUS_PROMETHEUS },
    { ngx_string("html"), NGX_HTTP_HYPE_STATUS_HTML },
    { ngx_null_string, 0 }
};

/* attributes of a cookie, as RFC 6265bis spells them */

static ngx_str_t  ngx_http_hype_samesite[][2] = {
    { ngx_string("strict"), ngx_string("; SameSite=Strict") },
    { ngx_string("lax"), ngx_string("; SameSite=Lax") },
    { ngx_string("none"), ngx_string("; SameSite=None") },
    { ngx_string("off"), ngx_string("") },
    { ngx_null_string, ngx_null_string }
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

    return ngx_http_hype_conninfo_parse(cf, &value[1], &hmcf->db.info);
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
                                          "\"name:size\" is expected");
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
            if (hmcf->spool.max_size <= 0) {
                return ngx_http_hype_conf_invalid(cf, &value[i],
                                                  "a size above 0 is expected");
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

    path->conf_file = cf->conf_file->file.name.data;
    path->line = cf->conf_file->line;

    hmcf->spool.path = path;

    if (ngx_add_path(cf, &hmcf->spool.path) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


/* as ngx_conf_set_enum_slot(), but the error names the directive, too */

char *
ngx_http_hype_conf_enum(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    char *p = conf;

    ngx_str_t   *value;
    ngx_uint_t  *np;

    np = (ngx_uint_t *) (p + cmd->offset);

    if (*np != NGX_CONF_UNSET_UINT) {
        return "is duplicate";
    }

    value = cf->args->elts;

    return ngx_http_hype_conf_enum_value(cf, cmd->post, &value[1], &value[1],
                                         np);
}


/* "value" is all or a part of the directive's argument */

static char *
ngx_http_hype_conf_enum_value(ngx_conf_t *cf, ngx_conf_enum_t *e,
    ngx_str_t *argument, ngx_str_t *value, ngx_uint_t *result)
{
    u_char            *p, expected[64];
    ngx_conf_enum_t   *start;

    start = e;
    p = expected;

    for ( /* void */ ; e->name.len; e++) {
        if (e->name.len == value->len
            && ngx_strncmp(e->name.data, value->data, value->len) == 0)
        {
            *result = e->value;
            return NGX_CONF_OK;
        }

        p = ngx_slprintf(p, expected + sizeof(expected) - 1, "%s\"%V\"",
                         (e == start) ? "" : (e[1].name.len) ? ", " : " or ",
                         &e->name);
    }

    ngx_slprintf(p, expected + sizeof(expected), " is expected%Z");

    return ngx_http_hype_conf_invalid(cf, argument, (char *) expected);
}


char *
ngx_http_hype_conf_ref(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_hype_loc_conf_t *hlcf = conf;

    ngx_str_t                 *value;
    ngx_http_core_loc_conf_t  *clcf;

    if (hlcf->ref != NGX_CONF_UNSET) {
        return "is duplicate";
    }

    hlcf->ref = 1;

    ngx_http_hype_conf_needs_database(cf, "hype_ref");

    value = cf->args->elts;

    if (cf->args->nelts == 2) {

        if (value[1].len == 0) {
            return ngx_http_hype_conf_invalid(cf, &value[1],
                                              "an identifier is expected");
        }

        hlcf->identifier = ngx_http_hype_conf_compile(cf, &value[1]);
        return hlcf->identifier ? NGX_CONF_OK : NGX_CONF_ERROR;
    }

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (clcf->noname || clcf->named || clcf->exact_match
#if (NGX_PCRE)
        || clcf->regex
#endif
        )
    {
        return "needs an identifier, such as \"$1\", in a location that is "
               "not a prefix";
    }

    hlcf->prefix = clcf->name;

    return NGX_CONF_OK;
}


char *
ngx_http_hype_conf_ref_param(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_hype_loc_conf_t *hlcf = conf;

    ngx_str_t   *value, *name, s;
    ngx_uint_t   i;

    if (hlcf->params != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ngx_strcmp(value[1].data, "off") == 0) {

        if (cf->args->nelts > 2) {
            return ngx_http_hype_conf_invalid(cf, &value[2],
                                              "\"off\" has no parameters");
        }

        hlcf->params = NULL;
        return NGX_CONF_OK;
    }

    ngx_http_hype_conf_needs_database(cf, "hype_ref_param");

    hlcf->params = ngx_array_create(cf->pool, 2, sizeof(ngx_str_t));
    if (hlcf->params == NULL) {
        return NGX_CONF_ERROR;
    }

    for (i = 1; i < cf->args->nelts; i++) {

        if (ngx_http_hype_conf_has_prefix(&value[i], "mode=", &s)) {

            if (hlcf->mode != NGX_CONF_UNSET_UINT) {
                return ngx_http_hype_conf_invalid(cf, &value[i],
                                                  "it was said before");
            }

            if (ngx_http_hype_conf_enum_value(cf, ngx_http_hype_mode, &value[i],
                                         &s, &hlcf->mode)
                != NGX_CONF_OK)
            {
                return NGX_CONF_ERROR;
            }

            continue;
        }

        if (ngx_http_hype_conf_has_prefix(&value[i], "to=", &s)) {

            if (hlcf->to) {
                return ngx_http_hype_conf_invalid(cf, &value[i],
                                                  "it was said before");
            }

            if (!ngx_http_hype_param_to_valid(&s)
                || strpbrk((char *) s.data, " ?#"))
            {
                return ngx_http_hype_conf_invalid(cf, &value[i],
                                                  "a path that begins and "
                                                  "ends with \"/\" is "
                                                  "expected");
            }

            hlcf->to = ngx_http_hype_conf_compile(cf, &s);
            if (hlcf->to == NULL) {
                return NGX_CONF_ERROR;
            }

            continue;
        }

        if (!ngx_http_hype_conf_is_token(&value[i])) {
            return ngx_http_hype_conf_invalid(cf, &value[i],
                                              "it can't be an argument's name");
        }

        name = ngx_array_push(hlcf->params);
        if (name == NULL) {
            return NGX_CONF_ERROR;
        }

        *name = value[i];
    }

    if (hlcf->params->nelts == 0) {
        return "needs the name of an argument";
    }

    if (hlcf->mode == NGX_CONF_UNSET_UINT) {
        hlcf->mode = NGX_HTTP_HYPE_REDIRECT;
    }

    return NGX_CONF_OK;
}


char *
ngx_http_hype_conf_next_param(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_hype_loc_conf_t *hlcf = conf;

    ngx_str_t  *value;

    if (hlcf->next_param.data) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (!ngx_http_hype_conf_is_token(&value[1])) {
        return ngx_http_hype_conf_invalid(cf, &value[1],
                                          "it can't be an argument's name");
    }

    hlcf->next_param = value[1];

    return NGX_CONF_OK;
}


char *
ngx_http_hype_conf_next_hosts(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_hype_loc_conf_t *hlcf = conf;

    ngx_str_t                         *value;
    ngx_uint_t                         i;
    ngx_http_complex_value_t          *cv;
    ngx_http_compile_complex_value_t   ccv;

    if (hlcf->next_hosts != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    value = cf->args->elts;

    hlcf->next_hosts = ngx_array_create(cf->pool, cf->args->nelts - 1,
                                        sizeof(ngx_http_complex_value_t));
    if (hlcf->next_hosts == NULL) {
        return NGX_CONF_ERROR;
    }

    for (i = 1; i < cf->args->nelts; i++) {

        cv = ngx_array_push(hlcf->next_hosts);
        if (cv == NULL) {
            return NGX_CONF_ERROR;
        }

        if (ngx_http_script_variables_count(&value[i]) == 0) {

            ngx_strlow(value[i].data, value[i].data, value[i].len);

            if (!ngx_http_hype_conf_is_host(cf, &value[i])) {
                return ngx_http_hype_conf_invalid(cf, &value[i],
                                                  "a host name is expected");
            }
        }

        ngx_memzero(&ccv, sizeof(ngx_http_compile_complex_value_t));

        ccv.cf = cf;
        ccv.value = &value[i];
        ccv.complex_value = cv;

        if (ngx_http_compile_complex_value(&ccv) != NGX_OK) {
            return NGX_CONF_ERROR;
        }
    }

    return NGX_CONF_OK;
}


char *
ngx_http_hype_conf_fallback(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_hype_loc_conf_t *hlcf = conf;

    ngx_int_t   code;
    ngx_str_t  *value;

    if (hlcf->fallback_code != NGX_CONF_UNSET_UINT) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (value[1].len && value[1].data[0] == '=') {

        code = ngx_atoi(value[1].data + 1, value[1].len - 1);

        if (code < NGX_HTTP_BAD_REQUEST || code > 599 || code == 499) {
            return ngx_http_hype_conf_invalid(cf, &value[1],
                                              "a code from 400 to 599 is "
                                              "expected");
        }

        hlcf->fallback_code = code;

        return NGX_CONF_OK;
    }

    hlcf->fallback_code = 0;

    if (value[1].len == 0
        || (value[1].data[0] != '/' && value[1].data[0] != '$'
            && ngx_strncasecmp(value[1].data, (u_char *) "http://", 7) != 0
            && ngx_strncasecmp(value[1].data, (u_char *) "https://", 8) != 0)
        || ngx_http_hype_conf_has_control(&value[1]))
    {
        return ngx_http_hype_conf_invalid(cf, &value[1],
                                          "a path, a URL, a variable or "
                                          "\"=code\" is expected");
    }

    hlcf->fallback = ngx_http_hype_conf_compile(cf, &value[1]);

    return hlcf->fallback ? NGX_CONF_OK : NGX_CONF_ERROR;
}


char *
ngx_http_hype_conf_cookie(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_hype_loc_conf_t *hlcf = conf;

    char                    *error;
    ngx_str_t               *value, s, *samesite, path;
    ngx_uint_t               i, seen, bit, secure, httponly;
    ngx_http_hype_cookie_t  *cookie;

    if (hlcf->cookie) {
        return "is duplicate";
    }

    cookie = ngx_pcalloc(cf->pool, sizeof(ngx_http_hype_cookie_t));
    if (cookie == NULL) {
        return NGX_CONF_ERROR;
    }

    hlcf->cookie = cookie;

    value = cf->args->elts;

    if (!ngx_http_hype_conf_is_token(&value[1])) {
        return ngx_http_hype_conf_invalid(cf, &value[1],
                                          "it can't be a cookie's name");
    }

    cookie->name = value[1];
    cookie->max_age = 365 * 24 * 60 * 60;

    ngx_str_set(&path, "/");
    samesite = ngx_http_hype_samesite[1];
    httponly = 1;
    secure = 0;
    seen = 0;

    for (i = 2; i < cf->args->nelts; i++) {

        if (ngx_http_hype_conf_has_prefix(&value[i], "domain=", &s)) {

            bit = NGX_HTTP_HYPE_COOKIE_DOMAIN;

            if (s.len == 0 || !ngx_http_hype_answer_attribute(&s)) {
                return ngx_http_hype_conf_invalid(cf, &value[i],
                                                  "a domain is expected");
            }

            cookie->domain = ngx_http_hype_conf_compile(cf, &s);
            if (cookie->domain == NULL) {
                return NGX_CONF_ERROR;
            }

        } else if (ngx_http_hype_conf_has_prefix(&value[i], "path=", &s)) {

            bit = NGX_HTTP_HYPE_COOKIE_PATH;

            if (s.len == 0
                || (s.data[0] != '/' && s.data[0] != '$')
                || !ngx_http_hype_answer_attribute(&s))
            {
                return ngx_http_hype_conf_invalid(cf, &value[i],
                                                  "a path is expected");
            }

            path = s;

        } else if (ngx_http_hype_conf_has_prefix(&value[i], "max_age=", &s)) {

            bit = NGX_HTTP_HYPE_COOKIE_MAX_AGE;

            cookie->max_age = ngx_parse_time(&s, 1);
            if (cookie->max_age == (time_t) NGX_ERROR
                || cookie->max_age == 0)
            {
                return ngx_http_hype_conf_invalid(cf, &value[i],
                                                  "a time above 0 is expected");
            }

        } else if (ngx_http_hype_conf_has_prefix(&value[i], "samesite=", &s)) {

            bit = NGX_HTTP_HYPE_COOKIE_SAMESITE;

            for (samesite = ngx_http_hype_samesite[0];
                 samesite->len;
                 samesite += 2)
            {
                if (samesite->len == s.len
                    && ngx_strcmp(samesite->data, s.data) == 0)
                {
                    break;
                }
            }

            if (samesite->len == 0) {
                return ngx_http_hype_conf_invalid(cf, &value[i],
                                                  "\"strict\", \"lax\", "
                                                  "\"none\" or \"off\" is "
                                                  "expected");
            }

        } else if (ngx_http_hype_conf_has_prefix(&value[i], "legacy=", &s)) {

            bit = NGX_HTTP_HYPE_COOKIE_LEGACY;

            if (!ngx_http_hype_conf_is_token(&s)
                || (s.len == cookie->name.len
                    && ngx_strcmp(s.data, cookie->name.data) == 0))
            {
                return ngx_http_hype_conf_invalid(cf, &value[i],
                                                  "another cookie's name is "
                                                  "expected");
            }

            cookie->legacy = s;

        } else if (ngx_strcmp(value[i].data, "secure") == 0) {
            bit = NGX_HTTP_HYPE_COOKIE_SECURE;
            secure = 1;

        } else if (ngx_strcmp(value[i].data, "nosecure") == 0) {
            bit = NGX_HTTP_HYPE_COOKIE_SECURE;
            secure = 0;

        } else if (ngx_strcmp(value[i].data, "httponly") == 0) {
            bit = NGX_HTTP_HYPE_COOKIE_HTTPONLY;
            httponly = 1;

        } else if (ngx_strcmp(value[i].data, "nohttponly") == 0) {
            bit = NGX_HTTP_HYPE_COOKIE_HTTPONLY;
            httponly = 0;

        } else {
            return ngx_http_hype_conf_invalid(cf, &value[i],
                                              "there is no such parameter");
        }

        if (seen & bit) {
            return ngx_http_hype_conf_invalid(cf, &value[i],
                                              "it was said before");
        }

        seen |= bit;
    }

    cookie->path = ngx_http_hype_conf_compile(cf, &path);
    if (cookie->path == NULL) {
        return NGX_CONF_ERROR;
    }

    /* browsers refuse SameSite=None without Secure */

    if (ngx_strcmp(samesite->data, "none") == 0) {

        if (seen & NGX_HTTP_HYPE_COOKIE_SECURE && !secure) {
            return "with \"samesite=none\" can't be \"nosecure\"";
        }

        secure = 1;
    }

    error = ngx_http_hype_conf_cookie_name(cookie, &path, secure);
    if (error != NGX_CONF_OK) {
        return error;
    }

    return ngx_http_hype_conf_cookie_flags(cf, cookie, &samesite[1], secure,
                                      httponly);
}


/* browsers refuse some names without "secure", too: RFC 6265bis, 4.1.3 */

static char *
ngx_http_hype_conf_cookie_name(ngx_http_hype_cookie_t *cookie,
    ngx_str_t *path, ngx_uint_t secure)
{
    u_char      *name;
    ngx_uint_t   host;

    name = cookie->name.data;
    host = (ngx_strncasecmp(name, (u_char *) "__Host-", 7) == 0);

    if (!secure
        && (host || ngx_strncasecmp(name, (u_char *) "__Secure-", 9) == 0))
    {
        return "with a name such as \"__Secure-...\" or \"__Host-...\" needs "
               "\"secure\"";
    }

    if (host && (cookie->domain || path->len != 1 || path->data[0] != '/')) {
        return "with a name such as \"__Host-...\" can't have a domain, or "
               "another path than \"/\"";
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_hype_conf_cookie_flags(ngx_conf_t *cf, ngx_http_hype_cookie_t *cookie,
    ngx_str_t *samesite, ngx_uint_t secure, ngx_uint_t httponly)
{
    u_char  *p;

    cookie->flags.data = ngx_pnalloc(cf->pool,
                                     samesite->len
                                     + sizeof("; Secure; HttpOnly"));
    if (cookie->flags.data == NULL) {
        return NGX_CONF_ERROR;
    }

    p = ngx_sprintf(cookie->flags.data, "%V%s%s", samesite,
                    secure ? "; Secure" : "",
                    httponly ? "; HttpOnly" : "");

    cookie->flags.len = p - cookie->flags.data;

    return NGX_CONF_OK;
}


char *
ngx_http_hype_conf_confirm(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_hype_loc_conf_t *hlcf = conf;

    ngx_str_t                *value, s;
    ngx_uint_t                i;
    ngx_http_hype_confirm_t  *confirm;

    ngx_http_hype_conf_needs_database(cf, "hype_confirm");

    if (hlcf->confirm == NGX_CONF_UNSET_PTR) {
        hlcf->confirm = ngx_array_create(cf->pool, 1,
                                         sizeof(ngx_http_hype_confirm_t));
        if (hlcf->confirm == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    confirm = ngx_array_push(hlcf->confirm);
    if (confirm == NULL) {
        return NGX_CONF_ERROR;
    }

    ngx_memzero(confirm, sizeof(ngx_http_hype_confirm_t));

    value = cf->args->elts;

    if (value[1].len == 0) {
        return "needs the name of an event";
    }

    confirm->event = ngx_http_hype_conf_compile(cf, &value[1]);
    if (confirm->event == NULL) {
        return NGX_CONF_ERROR;
    }

    for (i = 2; i < cf->args->nelts; i++) {

        if (ngx_http_hype_conf_has_prefix(&value[i], "value=", &s)
            && confirm->value == NULL)
        {
            confirm->value = ngx_http_hype_conf_compile(cf, &s);
            if (confirm->value == NULL) {
                return NGX_CONF_ERROR;
            }

            continue;
        }

        if (ngx_http_hype_conf_has_prefix(&value[i], "if=", &s)
            && confirm->condition == NULL)
        {
            confirm->condition = ngx_http_hype_conf_compile(cf, &s);
            if (confirm->condition == NULL) {
                return NGX_CONF_ERROR;
            }

            continue;
        }

        return ngx_http_hype_conf_invalid(cf, &value[i],
                                          "\"value=\" or \"if=\" is expected, "
                                          "each once");
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


ngx_http_complex_value_t *
ngx_http_hype_conf_compile(ngx_conf_t *cf, ngx_str_t *value)
{
    ngx_http_complex_value_t          *cv;
    ngx_http_compile_complex_value_t   ccv;

    cv = ngx_palloc(cf->pool, sizeof(ngx_http_complex_value_t));
    if (cv == NULL) {
        return NULL;
    }

    ngx_memzero(&ccv, sizeof(ngx_http_compile_complex_value_t));

    ccv.cf = cf;
    ccv.value = value;
    ccv.complex_value = cv;

    return (ngx_http_compile_complex_value(&ccv) == NGX_OK) ? cv : NULL;
}


static char *
ngx_http_hype_conf_invalid(ngx_conf_t *cf, ngx_str_t *value, const char *reason)
{
    ngx_str_t  *name;

    name = cf->args->elts;

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "invalid value \"%V\" in \"%V\": %s", value, name,
                       reason);

    return NGX_CONF_ERROR;
}


/* RFC 9110, 5.6.2; "$" is a variable that can't be there */

static ngx_uint_t
ngx_http_hype_conf_is_token(ngx_str_t *value)
{
    size_t  i;
    u_char  c;

    for (i = 0; i < value->len; i++) {
        c = value->data[i];

        if ((c < '0' || c > '9')
            && ((c | 0x20) < 'a' || (c | 0x20) > 'z')
            && !(c && ngx_strchr("!#%'*+-.^_`|~", c)))
        {
            return 0;
        }
    }

    return value->len != 0;
}


/* one that a URL can lead to; none, if it is empty */

static ngx_uint_t
ngx_http_hype_conf_is_host(ngx_conf_t *cf, ngx_str_t *value)
{
    size_t     dot;
    ngx_str_t  url;

    if (value->len == 0) {
        return 1;
    }

    dot = (value->data[0] == '.');

    url.len = sizeof("http://") - 1 + value->len - dot;

    url.data = ngx_pnalloc(cf->temp_pool, url.len);
    if (url.data == NULL) {
        return 0;
    }

    ngx_sprintf(url.data, "http://%*s", value->len - dot, value->data + dot);

    return ngx_http_hype_next_safe(&url, value, 1);
}


static ngx_uint_t
ngx_http_hype_conf_has_control(ngx_str_t *value)
{
    size_t  i;

    for (i = 0; i < value->len; i++) {
        if (value->data[i] < 0x20 || value->data[i] == 0x7f) {
            return 1;
        }
    }

    return 0;
}


static ngx_uint_t
ngx_http_hype_conf_has_prefix(ngx_str_t *value, const char *prefix,
    ngx_str_t *rest)
{
    size_t  len;

    len = ngx_strlen(prefix);

    if (ngx_strncmp(value->data, prefix, len) != 0) {
        return 0;
    }

    rest->data = value->data + len;
    rest->len = value->len - len;

    return 1;
}


static void
ngx_http_hype_conf_needs_database(ngx_conf_t *cf, const char *name)
{
    ngx_http_hype_main_conf_t  *hmcf;

    hmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_hype_module);

    hmcf->needs = name;
    hmcf->needs_file = cf->conf_file->file.name.data;
    hmcf->needs_line = cf->conf_file->line;
}
