
#include "ngx_http_hype_visit.h"


/* referral links within "next" of one another that are looked into */
#define NGX_HTTP_HYPE_REF_NESTED  8


static ngx_int_t ngx_http_hype_ref_choose(ngx_http_request_t *r,
    ngx_http_hype_ctx_t *ctx, ngx_http_hype_loc_conf_t *hlcf,
    ngx_str_t *target);
static ngx_int_t ngx_http_hype_ref_follow(ngx_http_request_t *r,
    ngx_http_hype_loc_conf_t *hlcf, ngx_str_t *target);
static ngx_int_t ngx_http_hype_ref_by_rule(ngx_http_request_t *r,
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
static ngx_int_t ngx_http_hype_ref_add_hit(ngx_http_request_t *r,
    ngx_http_hype_ctx_t *ctx, ngx_http_hype_loc_conf_t *hlcf,
    ngx_str_t *target);
static ngx_int_t ngx_http_hype_ref_append(ngx_http_request_t *r,
    ngx_str_t *target, ngx_str_t *args, ngx_str_t *instead);


ngx_int_t
ngx_http_hype_ref_target(ngx_http_request_t *r, ngx_http_hype_ctx_t *ctx,
    ngx_http_hype_loc_conf_t *hlcf, ngx_str_t *target)
{
    ngx_int_t  rc;

    rc = ngx_http_hype_ref_choose(r, ctx, hlcf, target);

    return (rc == NGX_OK) ? ngx_http_hype_ref_add_hit(r, ctx, hlcf, target)
                          : rc;
}


/*
 * The first of "next", "hype_destination", the link's destination, the fallback
 * and "/" that does not lead to a referral link again.  NGX_DECLINED: all of
 * them do.
 */

static ngx_int_t
ngx_http_hype_ref_choose(ngx_http_request_t *r, ngx_http_hype_ctx_t *ctx,
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

    if (hlcf->destination) {

        if (ngx_http_hype_value(r, hlcf->destination, target) != NGX_OK) {
            return NGX_ERROR;
        }

        rc = ngx_http_hype_ref_by_rule(r, hlcf, target);
        if (rc != NGX_DECLINED) {
            return rc;
        }
    }

    *target = ctx->link.destination;

    rc = ngx_http_hype_ref_by_rule(r, hlcf, target);
    if (rc != NGX_DECLINED) {
        return rc;
    }

    return ngx_http_hype_ref_default(r, ctx, hlcf, target);
}


/* NGX_DECLINED: there is no such target, or it can't be followed */

static ngx_int_t
ngx_http_hype_ref_by_rule(ngx_http_request_t *r,
    ngx_http_hype_loc_conf_t *hlcf, ngx_str_t *target)
{
    if (target->len == 0) {
        return NGX_DECLINED;
    }

    if (ngx_http_hype_ref_forward_args(r, hlcf, target) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_http_hype_ref_follow(r, hlcf, target);
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

        if (rc == NGX_DECLINED
            && !ngx_http_hype_ref_itself(r, &r->uri, target))
        {
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

        if (ngx_http_hype_value(r, &cv[i], &hosts[i]) != NGX_OK) {
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
    static ngx_str_t  root = ngx_string("/");

    if (hlcf->fallback == NULL) {
        *target = root;
        return NGX_OK;
    }

    if (ngx_http_hype_value(r, hlcf->fallback, target) != NGX_OK) {
        return NGX_ERROR;
    }

    /* a variable may have anything in it */

    if (target->len == 0 || ngx_http_hype_has_control(target)) {
        *target = root;
    }

    return NGX_OK;
}


/* all other arguments, but for those that would be another referral */

static ngx_int_t
ngx_http_hype_ref_forward_args(ngx_http_request_t *r,
    ngx_http_hype_loc_conf_t *hlcf, ngx_str_t *target)
{
    ngx_str_t  args;

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

    return ngx_http_hype_ref_append(r, target, &args, NULL);
}


/* for who gets no cookie of ours: another host, or an app */

static ngx_int_t
ngx_http_hype_ref_add_hit(ngx_http_request_t *r, ngx_http_hype_ctx_t *ctx,
    ngx_http_hype_loc_conf_t *hlcf, ngx_str_t *target)
{
    u_char     *p;
    ngx_str_t   args;

    if (hlcf->hit_param.len == 0
        || !ngx_http_hype_visit_made(ctx)
        || !ngx_http_hype_target_foreign(r, target))
    {
        return NGX_OK;
    }

    args.len = hlcf->hit_param.len + 1 + NGX_HTTP_HYPE_UUID_TEXT_LEN;

    args.data = ngx_pnalloc(r->pool, args.len);
    if (args.data == NULL) {
        return NGX_ERROR;
    }

    p = ngx_cpymem(args.data, hlcf->hit_param.data, hlcf->hit_param.len);
    *p++ = '=';
    (void) ngx_http_hype_uuid_format(p, ctx->hit);

    /* a "next" may bring another's */

    return ngx_http_hype_ref_append(r, target, &args, &hlcf->hit_param);
}


/* before the fragment, and instead of arguments of a name, if there is one */

static ngx_int_t
ngx_http_hype_ref_append(ngx_http_request_t *r, ngx_str_t *target,
    ngx_str_t *args, ngx_str_t *instead)
{
    u_char     *p, *url, *last, *fragment, *mark;
    ngx_str_t   query;

    last = target->data + target->len;

    fragment = ngx_strlchr(target->data, last, '#');
    if (fragment == NULL) {
        fragment = last;
    }

    url = ngx_pnalloc(r->pool, target->len + 1 + args->len);
    if (url == NULL) {
        return NGX_ERROR;
    }

    p = ngx_cpymem(url, target->data, fragment - target->data);
    mark = ngx_strlchr(url, p, '?');

    if (mark && instead) {
        query.data = mark + 1;
        query.len = p - query.data;

        p = query.data + ngx_http_hype_args_remove(query.data, &query,
                                                   instead, 1);
    }

    if (mark == NULL) {
        *p++ = '?';

    } else if (p[-1] != '?' && p[-1] != '&') {
        *p++ = '&';
    }

    p = ngx_cpymem(p, args->data, args->len);
    p = ngx_cpymem(p, fragment, last - fragment);

    target->data = url;
    target->len = p - url;

    return NGX_OK;
}
