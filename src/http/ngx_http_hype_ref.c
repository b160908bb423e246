
#include "ngx_http_hype_visit.h"


static ngx_int_t ngx_http_hype_ref_start(ngx_http_request_t *r,
    ngx_http_hype_ctx_t *ctx, ngx_http_hype_loc_conf_t *hlcf);
static ngx_int_t ngx_http_hype_ref_identifier(ngx_http_request_t *r,
    ngx_http_hype_loc_conf_t *hlcf, ngx_str_t *identifier);
static void ngx_http_hype_ref_suffix(ngx_http_request_t *r, ngx_str_t *prefix,
    ngx_str_t *suffix);
static ngx_int_t ngx_http_hype_ref_answer(ngx_http_request_t *r,
    ngx_http_hype_ctx_t *ctx, ngx_http_hype_loc_conf_t *hlcf);


ngx_int_t
ngx_http_hype_ref_handler(ngx_http_request_t *r,
    ngx_http_hype_loc_conf_t *hlcf)
{
    ngx_int_t             rc;
    ngx_http_hype_ctx_t  *ctx;

    /* the error page of a malformed request is no visit */

    if (!ngx_http_hype_asked(r)) {
        return NGX_HTTP_BAD_REQUEST;
    }

    if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))) {
        return ngx_http_hype_not_allowed(r);
    }

    ctx = ngx_http_hype_get_ctx(r);

    if (ctx == NULL) {
        ctx = ngx_http_hype_create_ctx(r);
        if (ctx == NULL) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }
    }

    switch (ctx->state) {

    case NGX_HTTP_HYPE_START:

        rc = ngx_http_discard_request_body(r);
        if (rc != NGX_OK) {
            return rc;
        }

        if (ngx_http_hype_ref_start(r, ctx, hlcf) != NGX_OK) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        break;

    case NGX_HTTP_HYPE_DONE:

        /* it was counted before an internal redirect */

        return ngx_http_hype_ref_answer(r, ctx, hlcf);
    }

    rc = ngx_http_hype_visit_find(r, ctx);

    if (rc == NGX_OK) {
        rc = ngx_http_hype_visit_record(r, ctx);
    }

    if (rc != NGX_OK) {
        return (rc == NGX_ERROR) ? NGX_HTTP_INTERNAL_SERVER_ERROR : rc;
    }

    return ngx_http_hype_ref_answer(r, ctx, hlcf);
}


static ngx_int_t
ngx_http_hype_ref_start(ngx_http_request_t *r, ngx_http_hype_ctx_t *ctx,
    ngx_http_hype_loc_conf_t *hlcf)
{
    ngx_str_t  next;

    if (ngx_http_hype_ref_identifier(r, hlcf, &ctx->identifier) != NGX_OK) {
        return NGX_ERROR;
    }

    if (r->args.len == 0
        || ngx_http_hype_args_find(&r->args, &hlcf->next_param, 1, &next)
           != NGX_OK)
    {
        return NGX_OK;
    }

    ctx->next.data = ngx_pnalloc(r->pool, next.len);
    if (ctx->next.data == NULL) {
        return NGX_ERROR;
    }

    ctx->next.len = ngx_http_hype_unescape(ctx->next.data, &next);

    return NGX_OK;
}


static ngx_int_t
ngx_http_hype_ref_identifier(ngx_http_request_t *r,
    ngx_http_hype_loc_conf_t *hlcf, ngx_str_t *identifier)
{
    if (hlcf->identifier) {
        if (ngx_http_hype_value(r, hlcf->identifier, identifier)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

    } else {
        ngx_http_hype_ref_suffix(r, &hlcf->prefix, identifier);
    }

    if (identifier->len && identifier->data[identifier->len - 1] == '/') {
        identifier->len--;
    }

    return NGX_OK;
}


/* nothing, if a "rewrite ... break" has left the location's URIs */

static void
ngx_http_hype_ref_suffix(ngx_http_request_t *r, ngx_str_t *prefix,
    ngx_str_t *suffix)
{
    ngx_str_null(suffix);

    if (r->uri.len <= prefix->len
        || ngx_filename_cmp(r->uri.data, prefix->data, prefix->len) != 0)
    {
        return;
    }

    suffix->data = r->uri.data + prefix->len;
    suffix->len = r->uri.len - prefix->len;

    /* "location /ref" */

    if (suffix->data[0] == '/'
        && (prefix->len == 0 || suffix->data[-1] != '/'))
    {
        suffix->data++;
        suffix->len--;
    }
}


static ngx_int_t
ngx_http_hype_ref_answer(ngx_http_request_t *r, ngx_http_hype_ctx_t *ctx,
    ngx_http_hype_loc_conf_t *hlcf)
{
    ngx_int_t  rc;
    ngx_str_t  target;

    if (ctx->outcome == NGX_HTTP_HYPE_OUTCOME_UNKNOWN
        || ctx->outcome == NGX_HTTP_HYPE_OUTCOME_DISABLED
        || ctx->outcome == NGX_HTTP_HYPE_OUTCOME_EXPIRED)
    {
        if (hlcf->fallback_code) {
            return hlcf->fallback_code;
        }
    }

    rc = ngx_http_hype_ref_target(r, ctx, hlcf, &target);

    if (rc == NGX_DECLINED) {
        return NGX_HTTP_NOT_FOUND;
    }

    if (rc != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_hype_redirect(r, ctx, &target);
}
