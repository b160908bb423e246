
#include "ngx_http_hype_visit.h"


/* referral links within "next" of one another that are looked into */
#define NGX_HTTP_HYPE_REF_NESTED  8


static ngx_int_t ngx_http_hype_ref_start(ngx_http_request_t *r,
    ngx_http_hype_ctx_t *ctx, ngx_http_hype_loc_conf_t *hlcf);
static ngx_int_t ngx_http_hype_ref_identifier(ngx_http_request_t *r,
    ngx_http_hype_loc_conf_t *hlcf, ngx_str_t *identifier);
static void ngx_http_hype_ref_suffix(ngx_http_request_t *r, ngx_str_t *prefix,
    ngx_str_t *suffix);
static ngx_int_t ngx_http_hype_ref_answer(ngx_http_request_t *r,
    ngx_http_hype_ctx_t *ctx, ngx_http_hype_loc_conf_t *hlcf);
static ngx_int_t ngx_http_hype_ref_target(ngx_http_request_t *r,
    ngx_http_hype_ctx_t *ctx, ngx_http_hype_loc_conf_t *hlcf,
    ngx_str_t *target);
static ngx_int_t ngx_http_hype_ref_follow(ngx_http_request_t *r,
    ngx_http_hype_loc_conf_t *hlcf, ngx_str_t *target);
static ngx_int_t ngx_http_hype_ref_default(ngx_http_request_t *r,
    ngx_http_hype_ctx_t *ctx, ngx_http_hype_loc_conf_t *hlcf,
    ngx_str_t *target);
static ngx_int_t ngx_http_hype_ref_ends(ngx_http_request_t *r,
    ngx_str_t *fallback);
static ngx_uint_t ngx_http_hype_ref_itself(ngx_http_request_t *r,
    ngx_str_t *uri, ngx_str_t *target);
static ngx_uint_t ngx_http_hype_ref_next_safe(ngx_http_request_t *r,
    ngx_http_hype_loc_conf_t *hlcf, ngx_str_t *next);
static ngx_int_t ngx_http_hype_ref_fallback(ngx_http_request_t *r,
    ngx_http_hype_loc_conf_t *hlcf, ngx_str_t *target);
static ngx_int_t ngx_http_hype_ref_forward_args(ngx_http_request_t *r,
    ngx_http_hype_loc_conf_t *hlcf, ngx_str_t *target);


ngx_int_t
ngx_http_hype_ref_handler(ngx_http_request_t *r,
    ngx_http_hype_loc_conf_t *hlcf)
{
    ngx_int_t             rc;
    ngx_http_hype_ctx_t  *ctx;

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

    if (rc == NGX_OK
        && ctx->state == NGX_HTTP_HYPE_FOUND
        && ngx_http_hype_purpose_refuse(r, ctx) == NGX_DONE)
    {
        return NGX_DONE;
    }

    if (rc == NGX_OK) {
        rc = ngx_http_hype_visit_record(r, ctx);
    }

    if (rc == NGX_AGAIN) {
        return NGX_AGAIN;
    }

    if (rc == NGX_ERROR) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
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
        if (ngx_http_complex_value(r, hlcf->identifier, identifier)
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


/*
 * The first of "next", the link's destination, the fallback and "/" that does
 * not lead to a referral link again.  NGX_DECLINED: all of them do.
 */

static ngx_int_t
ngx_http_hype_ref_target(ngx_http_request_t *r, ngx_http_hype_ctx_t *ctx,
    ngx_http_hype_loc_conf_t *hlcf, ngx_str_t *target)
{
    ngx_int_t  rc;

    if (ngx_http_hype_ref_next_safe(r, hlcf, &ctx->next)) {
        *target = ctx->next;

        rc = ngx_http_hype_ref_follow(r, hlcf, target);
        if (rc != NGX_DECLINED) {
            return rc;
        }
    }

    *target = ctx->link.destination;

    if (target->len) {

        if (ngx_http_hype_ref_forward_args(r, hlcf, target) != NGX_OK) {
            return NGX_ERROR;
        }

        rc = ngx_http_hype_ref_follow(r, hlcf, target);
        if (rc != NGX_DECLINED) {
            return rc;
        }
    }

    return ngx_http_hype_ref_default(r, ctx, hlcf, target);
}


/*
 * Where the target is a referral link too, what that would have for "next" is
 * followed instead.  NGX_DECLINED: it has none that is safe.
 */

static ngx_int_t
ngx_http_hype_ref_follow(ngx_http_request_t *r,
    ngx_http_hype_loc_conf_t *hlcf, ngx_str_t *target)
{
    ngx_int_t   rc;
    ngx_str_t   next;
    ngx_uint_t  n;

    for (n = 0; n < NGX_HTTP_HYPE_REF_NESTED; n++) {

        if (ngx_http_hype_escape(r, target, target) != NGX_OK) {
            return NGX_ERROR;
        }

        rc = ngx_http_hype_target(r, target, &next);

        if (rc != NGX_DECLINED
            || !ngx_http_hype_ref_next_safe(r, hlcf, &next))
        {
            return rc;
        }

        *target = next;
    }

    return NGX_DECLINED;
}


/*
 * The fallback may be a referral link, for visits that have made no hit; but
 * not this one again, nor one with variables, which may differ each time.
 * The last resort is "/".  If that is a referral link too, its fallback may
 * lead back here, with a hit each time: NGX_DECLINED.
 */

static ngx_int_t
ngx_http_hype_ref_default(ngx_http_request_t *r, ngx_http_hype_ctx_t *ctx,
    ngx_http_hype_loc_conf_t *hlcf, ngx_str_t *target)
{
    ngx_int_t                  rc;
    ngx_str_t                  fallback, next;
    ngx_http_hype_loc_conf_t  *root;

    if (ngx_http_hype_ref_fallback(r, hlcf, target) != NGX_OK
        || ngx_http_hype_escape(r, target, &fallback) != NGX_OK)
    {
        return NGX_ERROR;
    }

    *target = fallback;

    if (ngx_http_hype_ref_forward_args(r, hlcf, target) != NGX_OK) {
        return NGX_ERROR;
    }

    rc = ngx_http_hype_ref_follow(r, hlcf, target);

    if (rc != NGX_DECLINED) {
        return rc;
    }

    rc = ngx_http_hype_ref_ends(r, &fallback);

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    if (rc == NGX_DECLINED
        || ngx_http_hype_visit_made(ctx)
        || ctx->outcome == NGX_HTTP_HYPE_OUTCOME_SKIPPED
        || (hlcf->fallback && hlcf->fallback->lengths)
        || ngx_http_hype_ref_itself(r, &r->uri, &fallback))
    {
        ngx_str_set(target, "/");

        rc = ngx_http_hype_target(r, target, &next);

        if (rc == NGX_DECLINED && !ngx_http_hype_ref_itself(r, &r->uri, target)) {
            root = ngx_http_hype_target_ref(r, target);

            /* it has no other fallback than "/", and ends it */

            return (root && root->fallback == NULL) ? NGX_OK : NGX_DECLINED;
        }

        return rc;
    }

    return NGX_OK;
}


/*
 * Where the link that is the fallback is unknown, too, its own fallback is
 * followed.  NGX_DECLINED: that is one more referral link, which may have this
 * one for its fallback.
 */

static ngx_int_t
ngx_http_hype_ref_ends(ngx_http_request_t *r, ngx_str_t *fallback)
{
    ngx_str_t                  target, next, path;
    ngx_http_hype_loc_conf_t  *hlcf;

    hlcf = ngx_http_hype_target_ref(r, fallback);

    if (hlcf == NULL || hlcf->fallback == NULL) {
        return NGX_OK;
    }

    if (ngx_http_hype_ref_fallback(r, hlcf, &target) != NGX_OK
        || ngx_http_hype_escape(r, &target, &target) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (ngx_http_hype_target_path(r, fallback, &path) == NGX_OK
        && ngx_http_hype_ref_itself(r, &path, &target))
    {
        return NGX_OK;
    }

    return ngx_http_hype_target(r, &target, &next);
}


/* whether it has that path, or may have it on another host */

static ngx_uint_t
ngx_http_hype_ref_itself(ngx_http_request_t *r, ngx_str_t *uri,
    ngx_str_t *target)
{
    ngx_str_t  path;

    return ngx_http_hype_target_path(r, target, &path) != NGX_OK
           || (path.len == uri->len
               && ngx_memcmp(path.data, uri->data, path.len) == 0);
}


static ngx_uint_t
ngx_http_hype_ref_next_safe(ngx_http_request_t *r,
    ngx_http_hype_loc_conf_t *hlcf, ngx_str_t *next)
{
    ngx_str_t                 *hosts;
    ngx_uint_t                 i;
    ngx_http_complex_value_t  *cv;

    if (next->len == 0) {
        return 0;
    }

    if (next->data[0] == '/' || hlcf->next_hosts == NULL) {
        return ngx_http_hype_next_safe(next, NULL, 0);
    }

    hosts = ngx_palloc(r->pool, hlcf->next_hosts->nelts * sizeof(ngx_str_t));
    if (hosts == NULL) {
        return 0;
    }

    cv = hlcf->next_hosts->elts;

    for (i = 0; i < hlcf->next_hosts->nelts; i++) {

        if (ngx_http_complex_value(r, &cv[i], &hosts[i]) != NGX_OK) {
            return 0;
        }

        if (cv[i].lengths) {
            ngx_strlow(hosts[i].data, hosts[i].data, hosts[i].len);
        }
    }

    return ngx_http_hype_next_safe(next, hosts, i);
}


static ngx_int_t
ngx_http_hype_ref_fallback(ngx_http_request_t *r,
    ngx_http_hype_loc_conf_t *hlcf, ngx_str_t *target)
{
    size_t  i;

    static ngx_str_t  root = ngx_string("/");

    if (hlcf->fallback == NULL) {
        *target = root;
        return NGX_OK;
    }

    if (ngx_http_complex_value(r, hlcf->fallback, target) != NGX_OK) {
        return NGX_ERROR;
    }

    /* a variable may have anything in it */

    for (i = 0; i < target->len; i++) {
        if (target->data[i] < 0x20 || target->data[i] == 0x7f) {
            target->len = 0;
        }
    }

    if (target->len == 0) {
        *target = root;
    }

    return NGX_OK;
}


/*
 * All other arguments, but for those that would be another referral, come
 * before the target's fragment.
 */

static ngx_int_t
ngx_http_hype_ref_forward_args(ngx_http_request_t *r,
    ngx_http_hype_loc_conf_t *hlcf, ngx_str_t *target)
{
    u_char     *p, *url, *last, *fragment;
    ngx_str_t   args;

    if (!hlcf->forward_args || r->args.len == 0) {
        return NGX_OK;
    }

    args.data = ngx_pnalloc(r->pool, r->args.len);
    if (args.data == NULL) {
        return NGX_ERROR;
    }

    args.len = ngx_http_hype_args_remove(args.data, &r->args,
                                         &hlcf->next_param, 1);
    if (hlcf->params) {
        args.len = ngx_http_hype_args_remove(args.data, &args,
                                             hlcf->params->elts,
                                             hlcf->params->nelts);
    }

    if (args.len == 0) {
        return NGX_OK;
    }

    last = target->data + target->len;

    fragment = ngx_strlchr(target->data, last, '#');
    if (fragment == NULL) {
        fragment = last;
    }

    url = ngx_pnalloc(r->pool, target->len + 1 + args.len);
    if (url == NULL) {
        return NGX_ERROR;
    }

    p = ngx_cpymem(url, target->data, fragment - target->data);

    if (ngx_strlchr(url, p, '?') == NULL) {
        *p++ = '?';

    } else if (p[-1] != '?' && p[-1] != '&') {
        *p++ = '&';
    }

    p = ngx_cpymem(p, args.data, args.len);
    p = ngx_cpymem(p, fragment, last - fragment);

    target->data = url;
    target->len = p - url;

    return NGX_OK;
}
