
#include "ngx_http_hype_visit.h"


static ngx_int_t ngx_http_hype_param_start(ngx_http_request_t *r,
    ngx_http_hype_loc_conf_t *hlcf, ngx_http_hype_ctx_t **ctxp);
static ngx_uint_t ngx_http_hype_param_applies(ngx_http_request_t *r);
static ngx_uint_t ngx_http_hype_param_embedded(ngx_http_request_t *r);
static ngx_int_t ngx_http_hype_param_query(ngx_http_request_t *r,
    ngx_str_t *query);
static ngx_int_t ngx_http_hype_param_url(ngx_http_request_t *r,
    ngx_http_hype_loc_conf_t *hlcf, ngx_str_t *query, ngx_str_t *url);
static ngx_int_t ngx_http_hype_param_redirect(ngx_http_request_t *r,
    ngx_http_hype_ctx_t *ctx, ngx_http_hype_loc_conf_t *hlcf);
static ngx_int_t ngx_http_hype_param_direct(ngx_http_request_t *r,
    ngx_http_hype_ctx_t *ctx);
static ngx_int_t ngx_http_hype_param_inline(ngx_http_request_t *r,
    ngx_http_hype_ctx_t *ctx, ngx_http_hype_loc_conf_t *hlcf);


ngx_int_t
ngx_http_hype_param_handler(ngx_http_request_t *r,
    ngx_http_hype_loc_conf_t *hlcf)
{
    ngx_int_t             rc;
    ngx_http_hype_ctx_t  *ctx;

    ctx = ngx_http_hype_get_ctx(r);

    if (ctx == NULL || ctx->identifier.data == NULL) {
        rc = ngx_http_hype_param_start(r, hlcf, &ctx);
        if (rc != NGX_OK) {
            return rc;
        }
    }

    /* an internal redirect comes here again, after all is done */

    if (ctx->state == NGX_HTTP_HYPE_DONE) {
        return NGX_DECLINED;
    }

    rc = ngx_http_hype_visit_find(r, ctx);

    if (rc == NGX_OK
        && ctx->state == NGX_HTTP_HYPE_FOUND
        && hlcf->mode == NGX_HTTP_HYPE_REDIRECT)
    {
        rc = ngx_http_hype_param_redirect(r, ctx, hlcf);

        if (rc != NGX_DECLINED) {
            ctx->state = NGX_HTTP_HYPE_DONE;
            return rc;
        }

        rc = NGX_OK;
    }

    if (rc == NGX_OK) {
        rc = ngx_http_hype_visit_record(r, ctx);
    }

    if (rc != NGX_OK) {
        return (rc == NGX_ERROR) ? NGX_HTTP_INTERNAL_SERVER_ERROR : rc;
    }

    if (ctx->outcome != NGX_HTTP_HYPE_OUTCOME_SKIPPED
        && !ngx_http_hype_visit_made(ctx))
    {
        return NGX_DECLINED;
    }

    if (hlcf->mode == NGX_HTTP_HYPE_INLINE) {
        return ngx_http_hype_param_inline(r, ctx, hlcf);
    }

    return ngx_http_hype_param_direct(r, ctx);
}


/*
 * What counts is the URL that the client asked for: the arguments may have
 * been changed by "rewrite" since.
 */

static ngx_int_t
ngx_http_hype_param_start(ngx_http_request_t *r,
    ngx_http_hype_loc_conf_t *hlcf, ngx_http_hype_ctx_t **ctxp)
{
    ngx_str_t             query, value;
    ngx_http_hype_ctx_t  *ctx;

    if (!ngx_http_hype_param_applies(r)
        || ngx_http_hype_param_query(r, &query) != NGX_OK
        || ngx_http_hype_args_find(&query, hlcf->params->elts,
                                   hlcf->params->nelts, &value)
           != NGX_OK
        || ngx_http_hype_param_embedded(r))
    {
        return NGX_DECLINED;
    }

    ctx = *ctxp;

    if (ctx == NULL) {
        ctx = ngx_http_hype_create_ctx(r);
        if (ctx == NULL) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }
    }

    ctx->identifier.data = ngx_pnalloc(r->pool, value.len);
    if (ctx->identifier.data == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ctx->identifier.len = ngx_http_hype_unescape(ctx->identifier.data,
                                                 &value);

    if (ngx_http_hype_param_url(r, hlcf, &query, &ctx->next) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    *ctxp = ctx;

    return NGX_OK;
}


/*
 * An error page also comes here when its request was malformed, or refused
 * before it had got here; unless the page is there to decide on the status
 * itself, as with "error_page 404 =".
 */

static ngx_uint_t
ngx_http_hype_param_applies(ngx_http_request_t *r)
{
    return r->err_status == 0 && ngx_http_hype_is_read(r);
}


/*
 * A part of another page makes no hit.  Pages that <link rel=prefetch> asks
 * for are none: a browser may store them, and show them when the link is
 * followed.
 */

static ngx_uint_t
ngx_http_hype_param_embedded(ngx_http_request_t *r)
{
    return (ngx_http_hype_purpose(r)
            & (NGX_HTTP_HYPE_EMBEDDED|NGX_HTTP_HYPE_SPECULATIVE))
           == NGX_HTTP_HYPE_EMBEDDED;
}


static ngx_int_t
ngx_http_hype_param_query(ngx_http_request_t *r, ngx_str_t *query)
{
    u_char  *p, *last;

    last = r->unparsed_uri.data + r->unparsed_uri.len;

    if (!r->complex_uri) {
        query->data = r->args_start;
        query->len = last - r->args_start;

        return NGX_OK;
    }

    /* a "?" of a fragment begins no query */

    for (p = r->unparsed_uri.data; p < last && *p != '?'; p++) {
        if (*p == '#') {
            return NGX_DECLINED;
        }
    }

    if (p == last) {
        return NGX_DECLINED;
    }

    query->data = p + 1;

    p = ngx_strlchr(query->data, last, '#');

    query->len = (p ? p : last) - query->data;

    return NGX_OK;
}


/*
 * The URL without the parameter.  Where that is redirected to, slashes and
 * backslashes that it begins with become one, as what comes behind two of
 * them would be a host.
 */

static ngx_int_t
ngx_http_hype_param_url(ngx_http_request_t *r, ngx_http_hype_loc_conf_t *hlcf,
    ngx_str_t *query, ngx_str_t *url)
{
    u_char  *p, *start, *last;
    size_t   len;

    start = r->unparsed_uri.data;
    last = start + r->unparsed_uri.len;

    /* there is none before the "?" in "http://host?ref=..." */

    if (*start == '/') {
        start++;
    }

    if (hlcf->mode != NGX_HTTP_HYPE_INLINE) {
        while (*start == '/' || *start == '\\') {
            start++;
        }
    }

    url->data = ngx_pnalloc(r->pool, 1 + (last - start));
    if (url->data == NULL) {
        return NGX_ERROR;
    }

    p = url->data;
    *p++ = '/';
    p = ngx_cpymem(p, start, query->data - start);

    len = ngx_http_hype_args_remove(p, query, hlcf->params->elts,
                                    hlcf->params->nelts);

    /* nor is there a "?" for no arguments */

    p += len ? (ngx_int_t) len : -1;

    start = query->data + query->len;
    p = ngx_cpymem(p, start, last - start);

    url->len = p - url->data;

    return NGX_OK;
}


/* NGX_DECLINED: nginx would refuse the URL, for it is too long */

static ngx_int_t
ngx_http_hype_param_redirect(ngx_http_request_t *r, ngx_http_hype_ctx_t *ctx,
    ngx_http_hype_loc_conf_t *hlcf)
{
    u_char                    *p;
    size_t                     len;
    ngx_str_t                  to, location;
    ngx_http_core_srv_conf_t  *cscf;

    if (ngx_http_hype_param_to(r, hlcf->to, "hype_ref_param", &to) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    len = ngx_escape_uri(NULL, ctx->next.data, ctx->next.len,
                         NGX_ESCAPE_URI_COMPONENT);

    location.len = to.len + ctx->identifier.len + 1
                   + hlcf->next_param.len + 1 + ctx->next.len + 2 * len;

    cscf = ngx_http_get_module_srv_conf(r, ngx_http_core_module);

    if (location.len + sizeof("HEAD  HTTP/1.1" CRLF)
        > cscf->large_client_header_buffers.size)
    {
        return NGX_DECLINED;
    }

    location.data = ngx_pnalloc(r->pool, location.len);
    if (location.data == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    p = ngx_sprintf(location.data, "%V%V?%V=", &to, &ctx->identifier,
                    &hlcf->next_param);

    (void) ngx_escape_uri(p, ctx->next.data, ctx->next.len,
                          NGX_ESCAPE_URI_COMPONENT);

    return ngx_http_hype_redirect(r, ctx, &location);
}


ngx_int_t
ngx_http_hype_param_to(ngx_http_request_t *r, ngx_http_complex_value_t *value,
    const char *directive, ngx_str_t *to)
{
    if (value) {

        if (ngx_http_hype_value(r, value, to) != NGX_OK) {
            return NGX_ERROR;
        }

        /* a variable may have anything in it, or nothing: "/$lang/" */

        if (ngx_http_hype_param_to_valid(to)) {
            return NGX_OK;
        }

        /* a line end in it would forge a line of the log */

        if (ngx_http_hype_escape(r, to, to) != NGX_OK) {
            return NGX_ERROR;
        }

        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "invalid \"%s\" path \"%V\"", directive, to);
    }

    ngx_str_set(to, "/ref/");

    return NGX_OK;
}


ngx_uint_t
ngx_http_hype_param_to_valid(ngx_str_t *to)
{
    return to->len
           && to->data[to->len - 1] == '/'
           && to->data[0] == '/'
           && ngx_http_hype_next_safe(to, NULL, 0);
}


/* "//ref/x" has become "/ref/x", which is another location, with a hit */

static ngx_int_t
ngx_http_hype_param_direct(ngx_http_request_t *r, ngx_http_hype_ctx_t *ctx)
{
    ngx_int_t  rc;
    ngx_str_t  target, next;

    if (ngx_http_hype_escape(r, &ctx->next, &target) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    rc = ngx_http_hype_target(r, &target, &next);

    if (rc == NGX_ERROR) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (rc == NGX_DECLINED) {
        ngx_str_set(&target, "/");
    }

    return ngx_http_hype_redirect(r, ctx, &target);
}


/*
 * Whoever comes later in this request sees it without the parameter; also by
 * $request_uri, whose value is kept from its first use on.
 */

static ngx_int_t
ngx_http_hype_param_inline(ngx_http_request_t *r, ngx_http_hype_ctx_t *ctx,
    ngx_http_hype_loc_conf_t *hlcf)
{
    u_char                     *p;
    ngx_http_hype_main_conf_t  *hmcf;

    hmcf = ngx_http_get_module_main_conf(r, ngx_http_hype_module);

    r->unparsed_uri = ctx->next;
    r->variables[hmcf->request_uri].valid = 0;

    if (r->args.len == 0) {
        return NGX_DECLINED;
    }

    p = ngx_pnalloc(r->pool, r->args.len);
    if (p == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    r->args.len = ngx_http_hype_args_remove(p, &r->args, hlcf->params->elts,
                                            hlcf->params->nelts);
    r->args.data = p;

    return NGX_DECLINED;
}
