
#include "ngx_http_hype_visit.h"


static ngx_int_t ngx_http_hype_variable_identifier(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_hype_variable_visitor(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_hype_variable_hit(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_hype_variable_outcome(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_hype_variable_user(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_hype_variable_referrer(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_hype_variable_destination(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_hype_variable_asked(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static void ngx_http_hype_variable_set(ngx_http_variable_value_t *v,
    ngx_str_t *value);
static ngx_int_t ngx_http_hype_variable_uuid(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, u_char *uuid);


static ngx_http_variable_t  ngx_http_hype_vars[] = {

    { ngx_string("hype_identifier"), NULL,
      ngx_http_hype_variable_identifier, 0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("hype_visitor"), NULL,
      ngx_http_hype_variable_visitor, 0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("hype_hit"), NULL,
      ngx_http_hype_variable_hit, 0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("hype_outcome"), NULL,
      ngx_http_hype_variable_outcome, 0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("hype_user"), NULL,
      ngx_http_hype_variable_user, 0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("hype_referrer"), NULL,
      ngx_http_hype_variable_referrer, 0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("hype_destination"), NULL,
      ngx_http_hype_variable_destination, 0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

      ngx_http_null_variable
};


static ngx_int_t
ngx_http_hype_variable_identifier(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_http_hype_ctx_t  *ctx;

    ctx = ngx_http_hype_get_ctx(r->main);

    /* another one may have anything in it, a line end for instance */

    if (ctx && !ngx_http_hype_identifier_valid(&ctx->identifier)) {
        ctx = NULL;
    }

    ngx_http_hype_variable_set(v, ctx ? &ctx->identifier : NULL);

    return NGX_OK;
}


/* of the hit, or the one whose cookie it is */

static ngx_int_t
ngx_http_hype_variable_visitor(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    u_char                     uuid[NGX_HTTP_HYPE_UUID_LEN];
    ngx_http_hype_ctx_t       *ctx;
    ngx_http_hype_loc_conf_t  *hlcf;

    ctx = ngx_http_hype_get_ctx(r->main);

    if (ctx && ctx->has_visitor) {
        return ngx_http_hype_variable_uuid(r, v, ctx->visitor);
    }

    hlcf = ngx_http_get_module_loc_conf(r, ngx_http_hype_module);

    if (ngx_http_hype_visitor(r, hlcf->cookie, uuid) == NGX_OK) {
        return ngx_http_hype_variable_uuid(r, v, uuid);
    }

    v->not_found = 1;

    return NGX_OK;
}


static ngx_int_t
ngx_http_hype_variable_hit(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_http_hype_ctx_t  *ctx;

    ctx = ngx_http_hype_get_ctx(r->main);

    if (ctx && ctx->has_hit) {
        return ngx_http_hype_variable_uuid(r, v, ctx->hit);
    }

    v->not_found = 1;

    return NGX_OK;
}


static ngx_int_t
ngx_http_hype_variable_outcome(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_http_hype_ctx_t  *ctx;

    ctx = ngx_http_hype_get_ctx(r->main);

    ngx_http_hype_variable_set(v, ctx ? &ngx_http_hype_outcomes[ctx->outcome]
                                      : NULL);

    return NGX_OK;
}


static ngx_int_t
ngx_http_hype_variable_user(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_str_t                  user;
    ngx_http_hype_ctx_t       *ctx;
    ngx_http_hype_loc_conf_t  *hlcf;

    ctx = ngx_http_hype_get_ctx(r->main);

    if (ctx && ctx->user.len) {
        ngx_http_hype_variable_set(v, &ctx->user);
        return NGX_OK;
    }

    hlcf = ngx_http_get_module_loc_conf(r, ngx_http_hype_module);

    if (hlcf->user == NULL) {
        v->not_found = 1;
        return NGX_OK;
    }

    if (ngx_http_hype_user(r, hlcf, &user) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_http_hype_variable_set(v, &user);

    return NGX_OK;
}


static ngx_int_t
ngx_http_hype_variable_referrer(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_http_hype_ctx_t  *ctx;

    ctx = ngx_http_hype_get_ctx(r->main);

    ngx_http_hype_variable_set(v, (ctx && ngx_http_hype_visit_made(ctx))
                                  ? &ctx->link.user_id : NULL);

    return NGX_OK;
}


/* the link's own, whatever the target is */

static ngx_int_t
ngx_http_hype_variable_destination(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_http_hype_ctx_t  *ctx;

    ctx = ngx_http_hype_get_ctx(r->main);

    ngx_http_hype_variable_set(v, ctx ? &ctx->link.destination : NULL);

    return NGX_OK;
}


/* it has no value: only its place is used */

static ngx_int_t
ngx_http_hype_variable_asked(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    v->not_found = 1;

    return NGX_OK;
}


static void
ngx_http_hype_variable_set(ngx_http_variable_value_t *v, ngx_str_t *value)
{
    if (value == NULL || value->len == 0) {
        v->not_found = 1;
        return;
    }

    v->len = value->len;
    v->data = value->data;
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;
}


static ngx_int_t
ngx_http_hype_variable_uuid(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, u_char *uuid)
{
    ngx_str_t  text;

    text.len = NGX_HTTP_HYPE_UUID_TEXT_LEN;

    text.data = ngx_pnalloc(r->pool, text.len);
    if (text.data == NULL) {
        return NGX_ERROR;
    }

    (void) ngx_http_hype_uuid_format(text.data, uuid);

    ngx_http_hype_variable_set(v, &text);

    return NGX_OK;
}


ngx_int_t
ngx_http_hype_variables_add(ngx_conf_t *cf)
{
    ngx_http_variable_t  *var, *v;

    for (v = ngx_http_hype_vars; v->name.len; v++) {
        var = ngx_http_add_variable(cf, &v->name, v->flags);
        if (var == NULL) {
            return NGX_ERROR;
        }

        var->get_handler = v->get_handler;
        var->data = v->data;
    }

    return NGX_OK;
}


/*
 * A variable's place belongs to the request and stays through internal
 * redirects, as a context does not.  With a space in its name, no
 * configuration can have the variable.
 */

ngx_int_t
ngx_http_hype_variables_asked(ngx_conf_t *cf)
{
    ngx_http_variable_t  *var;

    static ngx_str_t  name = ngx_string("hype asked");

    var = ngx_http_add_variable(cf, &name, 0);
    if (var == NULL) {
        return NGX_ERROR;
    }

    var->get_handler = ngx_http_hype_variable_asked;

    return ngx_http_get_variable_index(cf, &name);
}


ngx_int_t
ngx_http_hype_ask(ngx_http_request_t *r)
{
    ngx_http_hype_main_conf_t  *hmcf;

    if (r == r->main && !r->internal) {
        hmcf = ngx_http_get_module_main_conf(r, ngx_http_hype_module);
        r->variables[hmcf->asked].len = r->method;
    }

    return NGX_DECLINED;
}


ngx_uint_t
ngx_http_hype_asked(ngx_http_request_t *r)
{
    ngx_http_hype_main_conf_t  *hmcf;

    hmcf = ngx_http_get_module_main_conf(r, ngx_http_hype_module);

    return r->variables[hmcf->asked].len;
}


ngx_uint_t
ngx_http_hype_is_read(ngx_http_request_t *r)
{
    return (r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))
           && (r != r->main || r->method == ngx_http_hype_asked(r));
}
