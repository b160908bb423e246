
#include "ngx_http_hype_visit.h"


typedef enum {
    NGX_HTTP_HYPE_VARIABLE_IDENTIFIER = 0,
    NGX_HTTP_HYPE_VARIABLE_OUTCOME,
    NGX_HTTP_HYPE_VARIABLE_REFERRER,
    NGX_HTTP_HYPE_VARIABLE_DESTINATION,
    NGX_HTTP_HYPE_VARIABLE_ASKED
} ngx_http_hype_variable_e;


static ngx_int_t ngx_http_hype_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_hype_variable_hit(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_hype_variable_visitor(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_hype_variable_user(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static void ngx_http_hype_variable_set(ngx_http_variable_value_t *v,
    ngx_str_t *value);
static ngx_int_t ngx_http_hype_variable_uuid(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, u_char *uuid);


/*
 * The place of the first one belongs to the request and stays through internal
 * redirects, as a context does not.  With a space in its name, no configuration
 * can have the variable.
 */

static ngx_http_variable_t  ngx_http_hype_vars[] = {

    { ngx_string("hype asked"), NULL, ngx_http_hype_variable,
      NGX_HTTP_HYPE_VARIABLE_ASKED, 0, 0 },

    { ngx_string("hype_identifier"), NULL, ngx_http_hype_variable,
      NGX_HTTP_HYPE_VARIABLE_IDENTIFIER, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("hype_visitor"), NULL,
      ngx_http_hype_variable_visitor, 0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("hype_hit"), NULL,
      ngx_http_hype_variable_hit, 0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("hype_outcome"), NULL, ngx_http_hype_variable,
      NGX_HTTP_HYPE_VARIABLE_OUTCOME, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("hype_user"), NULL,
      ngx_http_hype_variable_user, 0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("hype_referrer"), NULL, ngx_http_hype_variable,
      NGX_HTTP_HYPE_VARIABLE_REFERRER, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("hype_destination"), NULL, ngx_http_hype_variable,
      NGX_HTTP_HYPE_VARIABLE_DESTINATION, NGX_HTTP_VAR_NOCACHEABLE, 0 },

      ngx_http_null_variable
};


static ngx_int_t
ngx_http_hype_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v,
    uintptr_t data)
{
    ngx_str_t            *value;
    ngx_http_hype_ctx_t  *ctx;

    ctx = ngx_http_hype_get_ctx(r->main);
    value = NULL;

    switch (ctx ? data : NGX_HTTP_HYPE_VARIABLE_ASKED) {

    case NGX_HTTP_HYPE_VARIABLE_IDENTIFIER:

        /* another one may have anything in it, a line end for instance */

        if (ngx_http_hype_identifier_valid(&ctx->identifier)) {
            value = &ctx->identifier;
        }

        break;

    case NGX_HTTP_HYPE_VARIABLE_OUTCOME:
        value = &ngx_http_hype_outcomes[ctx->outcome];
        break;

    case NGX_HTTP_HYPE_VARIABLE_REFERRER:

        if (ngx_http_hype_visit_made(ctx)) {
            value = &ctx->link.user_id;
        }

        break;

    case NGX_HTTP_HYPE_VARIABLE_DESTINATION:

        /* the link's own, whatever the target is */

        value = &ctx->link.destination;
        break;
    }

    ngx_http_hype_variable_set(v, value);

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

    ngx_str_null(&user);

    if (hlcf->user && ngx_http_hype_said(r, hlcf->user, &user) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_http_hype_variable_set(v, &user);

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


ngx_int_t
ngx_http_hype_variables_asked(ngx_conf_t *cf)
{
    return ngx_http_get_variable_index(cf, &ngx_http_hype_vars[0].name);
}


ngx_int_t
ngx_http_hype_ask(ngx_http_request_t *r)
{
    ngx_http_hype_main_conf_t  *hmcf;

    /* a subrequest is internal, too */

    if (!r->internal) {
        hmcf = ngx_http_get_module_main_conf(r, ngx_http_hype_module);
        r->variables[hmcf->asked].data = (u_char *) r->method;
    }

    return NGX_DECLINED;
}


ngx_uint_t
ngx_http_hype_is_read(ngx_http_request_t *r)
{
    return (r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))
           && (r != r->main || r->method == ngx_http_hype_asked(r));
}
