
#include "ngx_http_hype_conf.h"


#define NGX_HTTP_HYPE_COOKIE_SAMESITE  0x01
#define NGX_HTTP_HYPE_COOKIE_SECURE    0x02
#define NGX_HTTP_HYPE_COOKIE_HTTPONLY  0x04
#define NGX_HTTP_HYPE_COOKIE_DOMAIN    0x08
#define NGX_HTTP_HYPE_COOKIE_PATH      0x10
#define NGX_HTTP_HYPE_COOKIE_MAX_AGE   0x20
#define NGX_HTTP_HYPE_COOKIE_LEGACY    0x40


static char *ngx_http_hype_conf_cookie_name(ngx_http_hype_cookie_t *cookie,
    ngx_str_t *path, ngx_uint_t secure);
static char *ngx_http_hype_conf_cookie_flags(ngx_conf_t *cf,
    ngx_http_hype_cookie_t *cookie, ngx_str_t *samesite, ngx_uint_t secure,
    ngx_uint_t httponly);


/* attributes of a cookie, as RFC 6265bis spells them */

static ngx_str_t  ngx_http_hype_samesite[][2] = {
    { ngx_string("strict"), ngx_string("; SameSite=Strict") },
    { ngx_string("lax"), ngx_string("; SameSite=Lax") },
    { ngx_string("none"), ngx_string("; SameSite=None") },
    { ngx_string("off"), ngx_string("") },
    { ngx_null_string, ngx_null_string }
};


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
