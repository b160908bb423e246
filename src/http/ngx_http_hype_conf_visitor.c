
#include "ngx_http_hype_conf.h"


enum {
    NGX_HTTP_HYPE_SAMESITE_STRICT = 0,
    NGX_HTTP_HYPE_SAMESITE_LAX,
    NGX_HTTP_HYPE_SAMESITE_NONE,
    NGX_HTTP_HYPE_SAMESITE_OFF
};


/* what "hype_cookie" says */

typedef struct {
    ngx_http_hype_cookie_t   cookie;
    ngx_str_t                path;
    ngx_uint_t               samesite;
    ngx_uint_t               secure;
    ngx_uint_t               httponly;
} ngx_http_hype_conf_cookie_t;


static char *ngx_http_hype_conf_cookie_domain(ngx_conf_t *cf,
    ngx_str_t *value, void *field, void *post);
static char *ngx_http_hype_conf_cookie_path(ngx_conf_t *cf,
    ngx_str_t *value, void *field, void *post);
static char *ngx_http_hype_conf_cookie_max_age(ngx_conf_t *cf,
    ngx_str_t *value, void *field, void *post);
static char *ngx_http_hype_conf_cookie_legacy(ngx_conf_t *cf,
    ngx_str_t *value, void *field, void *post);
static char *ngx_http_hype_conf_cookie_name(
    ngx_http_hype_conf_cookie_t *said);
static char *ngx_http_hype_conf_cookie_flags(ngx_conf_t *cf,
    ngx_http_hype_conf_cookie_t *said);


static ngx_conf_enum_t  ngx_http_hype_samesite[] = {
    { ngx_string("strict"), NGX_HTTP_HYPE_SAMESITE_STRICT },
    { ngx_string("lax"), NGX_HTTP_HYPE_SAMESITE_LAX },
    { ngx_string("none"), NGX_HTTP_HYPE_SAMESITE_NONE },
    { ngx_string("off"), NGX_HTTP_HYPE_SAMESITE_OFF },
    { ngx_null_string, 0 }
};


/* the attribute, as RFC 6265bis spells it */

static const char  *ngx_http_hype_samesite_attributes[] = {
    "; SameSite=Strict", "; SameSite=Lax", "; SameSite=None", ""
};


static ngx_http_hype_conf_param_t  ngx_http_hype_cookie_params[] = {

    { ngx_string("domain="),
      ngx_http_hype_conf_cookie_domain,
      offsetof(ngx_http_hype_conf_cookie_t, cookie.domain), NULL },

    { ngx_string("path="),
      ngx_http_hype_conf_cookie_path,
      offsetof(ngx_http_hype_conf_cookie_t, path), NULL },

    { ngx_string("max_age="),
      ngx_http_hype_conf_cookie_max_age,
      offsetof(ngx_http_hype_conf_cookie_t, cookie.max_age), NULL },

    { ngx_string("samesite="),
      ngx_http_hype_conf_param_enum,
      offsetof(ngx_http_hype_conf_cookie_t, samesite),
      ngx_http_hype_samesite },

    { ngx_string("legacy="),
      ngx_http_hype_conf_cookie_legacy,
      offsetof(ngx_http_hype_conf_cookie_t, cookie.legacy), NULL },

    { ngx_string("secure"),
      ngx_http_hype_conf_param_flag,
      offsetof(ngx_http_hype_conf_cookie_t, secure), (void *) 1 },

    { ngx_string("nosecure"),
      ngx_http_hype_conf_param_flag,
      offsetof(ngx_http_hype_conf_cookie_t, secure), (void *) 0 },

    { ngx_string("httponly"),
      ngx_http_hype_conf_param_flag,
      offsetof(ngx_http_hype_conf_cookie_t, httponly), (void *) 1 },

    { ngx_string("nohttponly"),
      ngx_http_hype_conf_param_flag,
      offsetof(ngx_http_hype_conf_cookie_t, httponly), (void *) 0 },

    { ngx_null_string, NULL, 0, "unknown parameter" }
};


static ngx_http_hype_conf_param_t  ngx_http_hype_confirm_params[] = {

    { ngx_string("value="),
      ngx_http_hype_conf_param_value,
      offsetof(ngx_http_hype_confirm_t, value), NULL },

    { ngx_string("if="),
      ngx_http_hype_conf_param_value,
      offsetof(ngx_http_hype_confirm_t, condition), NULL },

    { ngx_null_string, NULL, 0, "\"value=\" or \"if=\" is expected" }
};


char *
ngx_http_hype_conf_cookie(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_hype_loc_conf_t *hlcf = conf;

    char                         *error;
    ngx_str_t                    *value;
    ngx_http_hype_cookie_t       *cookie;
    ngx_http_hype_conf_cookie_t   said;

    if (hlcf->cookie) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (!ngx_http_hype_conf_is_token(&value[1])) {
        return ngx_http_hype_conf_invalid(cf, &value[1],
                                          "it can't be a cookie's name");
    }

    ngx_memzero(&said, sizeof(ngx_http_hype_conf_cookie_t));

    said.cookie.name = value[1];
    said.cookie.max_age = 365 * 24 * 60 * 60;
    said.samesite = NGX_HTTP_HYPE_SAMESITE_LAX;
    said.secure = NGX_CONF_UNSET_UINT;
    said.httponly = 1;

    ngx_str_set(&said.path, "/");

    error = ngx_http_hype_conf_params(cf, 2, ngx_http_hype_cookie_params,
                                      &said);
    if (error != NGX_CONF_OK) {
        return error;
    }

    /* browsers refuse SameSite=None without Secure */

    if (said.samesite == NGX_HTTP_HYPE_SAMESITE_NONE) {

        if (said.secure == 0) {
            return "with \"samesite=none\" can't be \"nosecure\"";
        }

        said.secure = 1;
    }

    ngx_conf_init_uint_value(said.secure, 0);

    error = ngx_http_hype_conf_cookie_name(&said);
    if (error != NGX_CONF_OK) {
        return error;
    }

    cookie = ngx_palloc(cf->pool, sizeof(ngx_http_hype_cookie_t));
    if (cookie == NULL) {
        return NGX_CONF_ERROR;
    }

    said.cookie.path = ngx_http_hype_conf_compile(cf, &said.path);
    if (said.cookie.path == NULL) {
        return NGX_CONF_ERROR;
    }

    if (ngx_http_hype_conf_cookie_flags(cf, &said) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    *cookie = said.cookie;
    hlcf->cookie = cookie;

    return NGX_CONF_OK;
}


static char *
ngx_http_hype_conf_cookie_domain(ngx_conf_t *cf, ngx_str_t *value,
    void *field, void *post)
{
    if (value->len == 0 || !ngx_http_hype_answer_attribute(value)) {
        return "a domain is expected";
    }

    return ngx_http_hype_conf_param_value(cf, value, field, post);
}


static char *
ngx_http_hype_conf_cookie_path(ngx_conf_t *cf, ngx_str_t *value, void *field,
    void *post)
{
    ngx_str_t *path = field;

    if (value->len == 0
        || (value->data[0] != '/' && value->data[0] != '$')
        || !ngx_http_hype_answer_attribute(value))
    {
        return "a path is expected";
    }

    *path = *value;

    return NGX_CONF_OK;
}


static char *
ngx_http_hype_conf_cookie_max_age(ngx_conf_t *cf, ngx_str_t *value,
    void *field, void *post)
{
    time_t *max_age = field;

    *max_age = ngx_parse_time(value, 1);

    return (*max_age == (time_t) NGX_ERROR || *max_age == 0)
           ? "a time above 0 is expected" : NGX_CONF_OK;
}


static char *
ngx_http_hype_conf_cookie_legacy(ngx_conf_t *cf, ngx_str_t *value,
    void *field, void *post)
{
    ngx_str_t  *legacy, *args;

    legacy = field;
    args = cf->args->elts;

    if (!ngx_http_hype_conf_is_token(value)
        || (value->len == args[1].len
            && ngx_strcmp(value->data, args[1].data) == 0))
    {
        return "another cookie's name is expected";
    }

    *legacy = *value;

    return NGX_CONF_OK;
}


/* browsers refuse some names without "secure", too: RFC 6265bis, 4.1.3 */

static char *
ngx_http_hype_conf_cookie_name(ngx_http_hype_conf_cookie_t *said)
{
    u_char      *name;
    ngx_uint_t   host;

    name = said->cookie.name.data;
    host = (ngx_strncasecmp(name, (u_char *) "__Host-", 7) == 0);

    if (!said->secure
        && (host || ngx_strncasecmp(name, (u_char *) "__Secure-", 9) == 0))
    {
        return "with a name such as \"__Secure-...\" or \"__Host-...\" needs "
               "\"secure\"";
    }

    if (host
        && (said->cookie.domain
            || said->path.len != 1 || said->path.data[0] != '/'))
    {
        return "with a name such as \"__Host-...\" can't have a domain, or "
               "another path than \"/\"";
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_hype_conf_cookie_flags(ngx_conf_t *cf,
    ngx_http_hype_conf_cookie_t *said)
{
    u_char     *p;
    ngx_str_t  *flags;

    flags = &said->cookie.flags;

    p = ngx_pnalloc(cf->pool,
                    sizeof("; SameSite=Strict; Secure; HttpOnly"));
    if (p == NULL) {
        return NGX_CONF_ERROR;
    }

    flags->data = p;
    flags->len = ngx_sprintf(p, "%s%s%s",
                             ngx_http_hype_samesite_attributes[said->samesite],
                             said->secure ? "; Secure" : "",
                             said->httponly ? "; HttpOnly" : "")
                 - p;

    return NGX_CONF_OK;
}


char *
ngx_http_hype_conf_code(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_hype_loc_conf_t *hlcf = conf;

    ngx_str_t  *value;

    if (hlcf->code != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (value[1].len == 0 || ngx_strcmp(value[1].data, "off") == 0) {
        hlcf->code = NULL;
        return NGX_CONF_OK;
    }

    ngx_http_hype_conf_needs_database(cf);

    hlcf->code = ngx_http_hype_conf_compile(cf, &value[1]);

    return hlcf->code ? NGX_CONF_OK : NGX_CONF_ERROR;
}


char *
ngx_http_hype_conf_confirm(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_hype_loc_conf_t *hlcf = conf;

    ngx_str_t                *value;
    ngx_http_hype_confirm_t  *confirm;

    ngx_http_hype_conf_needs_database(cf);

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

    return ngx_http_hype_conf_params(cf, 2, ngx_http_hype_confirm_params,
                                     confirm);
}
