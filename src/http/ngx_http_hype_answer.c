
#include "ngx_http_hype_visit.h"


/* visitors of one request that are claimed, far more than a browser has */
#define NGX_HTTP_HYPE_VISITORS  16


/* who is to be claimed or confirmed */

typedef struct {
    ngx_http_hype_ctx_t       *ctx;
    ngx_str_t                  user;
    ngx_int_t                  cookie;    /* as ngx_http_hype_cookie() says */
    ngx_int_t                  legacy;    /* the same of its former name */
    u_char                    *visitor;   /* of the hit or cookie, or NULL */
    ngx_uint_t                 n;         /* visitors of the cookies */
    u_char                     uuids[NGX_HTTP_HYPE_VISITORS
                                     * NGX_HTTP_HYPE_UUID_LEN];
} ngx_http_hype_answer_t;


static ngx_int_t ngx_http_hype_answer_who(ngx_http_request_t *r,
    ngx_http_hype_answer_t *a, ngx_http_hype_loc_conf_t *hlcf);
static ngx_int_t ngx_http_hype_answer_known(ngx_http_request_t *r,
    ngx_http_hype_answer_t *a, ngx_http_hype_loc_conf_t *hlcf,
    ngx_http_hype_store_t *store);
static void ngx_http_hype_answer_claim(ngx_http_hype_answer_t *a,
    u_char *visitor, ngx_http_hype_store_t *store);
static ngx_uint_t ngx_http_hype_answer_done(ngx_http_request_t *r,
    ngx_http_hype_answer_t *a, ngx_http_hype_loc_conf_t *hlcf);
static ngx_int_t ngx_http_hype_answer_code(ngx_http_request_t *r,
    ngx_http_hype_answer_t *a, ngx_http_hype_loc_conf_t *hlcf);
static ngx_int_t ngx_http_hype_answer_confirm(ngx_http_request_t *r,
    ngx_http_hype_answer_t *a, ngx_http_hype_loc_conf_t *hlcf,
    ngx_http_hype_store_t *store);
static ngx_int_t ngx_http_hype_answer_event(ngx_http_request_t *r,
    ngx_http_hype_confirm_t *confirm, ngx_http_hype_event_t *event);
static uint64_t ngx_http_hype_answer_time(void);


ngx_int_t
ngx_http_hype_answer(ngx_http_request_t *r)
{
    ngx_uint_t                  cookie;
    ngx_http_hype_ctx_t        *ctx;
    ngx_http_hype_answer_t      a;
    ngx_http_hype_loc_conf_t   *hlcf;
    ngx_http_hype_main_conf_t  *hmcf;

    ctx = ngx_http_hype_get_ctx(r);

    if (!ngx_http_hype_asked(r)
        || (ctx == NULL && !ngx_http_hype_answers_all(r)))
    {
        return NGX_OK;
    }

    hlcf = ngx_http_get_module_loc_conf(r, ngx_http_hype_module);
    hmcf = ngx_http_get_module_main_conf(r, ngx_http_hype_module);

    ngx_memzero(&a, offsetof(ngx_http_hype_answer_t, uuids));

    if (ctx && ctx->refused) {
        return ngx_http_hype_answer_cache_control(r, 1);
    }

    a.ctx = ctx;
    cookie = 0;

    if (ngx_http_hype_answer_who(r, &a, hlcf) != NGX_OK) {
        return NGX_ERROR;
    }

    if (a.user.len) {
        if (ngx_http_hype_answer_known(r, &a, hlcf, hmcf->store) != NGX_OK) {
            return NGX_ERROR;
        }

        cookie = (a.cookie != NGX_DECLINED || a.legacy != NGX_DECLINED);

    } else if (ctx && ctx->set_cookie) {
        if (ngx_http_hype_answer_set_cookie(r, hlcf->cookie,
                                            &hlcf->cookie->name, ctx->visitor)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        cookie = 1;
    }

    if ((hlcf->code || hlcf->confirm)
        && ngx_http_hype_answer_done(r, &a, hlcf))
    {
        if (hlcf->code
            && ngx_http_hype_answer_code(r, &a, hlcf) != NGX_OK)
        {
            return NGX_ERROR;
        }

        if (hlcf->confirm
            && ngx_http_hype_answer_confirm(r, &a, hlcf, hmcf->store)
               != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    if (cookie || (ctx && ctx->redirected)) {
        return ngx_http_hype_answer_cache_control(r, ctx && ctx->redirected);
    }

    return NGX_OK;
}


/* the cheap questions first, as most requests have no cookie of ours */

static ngx_int_t
ngx_http_hype_answer_who(ngx_http_request_t *r, ngx_http_hype_answer_t *a,
    ngx_http_hype_loc_conf_t *hlcf)
{
    u_char  uuid[NGX_HTTP_HYPE_UUID_LEN];

    a->n = NGX_HTTP_HYPE_VISITORS;
    a->cookie = ngx_http_hype_cookie_all(r, &hlcf->cookie->name, a->uuids,
                                         &a->n);
    a->legacy = NGX_DECLINED;

    if (hlcf->cookie->legacy.len && a->cookie == NGX_OK) {

        /* whoever can set the old one must not add a visitor to ours */

        a->legacy = ngx_http_hype_cookie(r, &hlcf->cookie->legacy, uuid);

    } else if (hlcf->cookie->legacy.len) {
        a->n = NGX_HTTP_HYPE_VISITORS;
        a->legacy = ngx_http_hype_cookie_all(r, &hlcf->cookie->legacy,
                                             a->uuids, &a->n);
    }

    if (a->ctx && a->ctx->has_visitor) {
        a->visitor = a->ctx->visitor;

    } else if (a->n) {
        a->visitor = a->uuids;
    }

    /* whose hit it is, wherever the request has got to since */

    if (a->ctx) {
        a->user = a->ctx->user;
        ngx_http_hype_cut(&a->user);
    }

    if (hlcf->user == NULL
        || a->user.len
        || (a->cookie == NGX_DECLINED && a->legacy == NGX_DECLINED
            && a->visitor == NULL && hlcf->confirm == NULL
            && hlcf->code == NULL))
    {
        return NGX_OK;
    }

    if (ngx_http_hype_said(r, hlcf->user, &a->user) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_http_hype_cut(&a->user);

    return NGX_OK;
}


/* all cookies of ours are one person's, of whichever visitors they are */

static ngx_int_t
ngx_http_hype_answer_known(ngx_http_request_t *r, ngx_http_hype_answer_t *a,
    ngx_http_hype_loc_conf_t *hlcf, ngx_http_hype_store_t *store)
{
    u_char                  *uuid;
    ngx_uint_t               i;
    ngx_http_hype_cookie_t  *cookie;

    cookie = hlcf->cookie;

    if (a->visitor) {
        ngx_http_hype_answer_claim(a, a->visitor, store);
    }

    for (i = 0; i < a->n; i++) {
        uuid = a->uuids + i * NGX_HTTP_HYPE_UUID_LEN;

        if (a->visitor == NULL
            || ngx_memcmp(a->visitor, uuid, NGX_HTTP_HYPE_UUID_LEN) != 0)
        {
            ngx_http_hype_answer_claim(a, uuid, store);
        }
    }

    if (a->cookie != NGX_DECLINED
        && ngx_http_hype_answer_set_cookie(r, cookie, &cookie->name, NULL)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (a->legacy != NGX_DECLINED
        && ngx_http_hype_answer_set_cookie(r, cookie, &cookie->legacy, NULL)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


static void
ngx_http_hype_answer_claim(ngx_http_hype_answer_t *a, u_char *visitor,
    ngx_http_hype_store_t *store)
{
    ngx_http_hype_event_t  event;

    ngx_memzero(&event, sizeof(ngx_http_hype_event_t));

    event.visitor = visitor;
    event.user_id = a->user;
    event.created = ngx_http_hype_answer_time();

    ngx_http_hype_count(store->cache, NGX_HTTP_HYPE_CLAIMS, 1);

    ngx_http_hype_store_event(store, NGX_HTTP_HYPE_RECORD_CLAIM, &event);
}


/* whether somebody who is known did what the page is for */

static ngx_uint_t
ngx_http_hype_answer_done(ngx_http_request_t *r, ngx_http_hype_answer_t *a,
    ngx_http_hype_loc_conf_t *hlcf)
{
    /* a redirect that takes "?ref=" out is no answer of the page */

    if (a->ctx && a->ctx->redirected && !hlcf->ref) {
        return 0;
    }

    return r->headers_out.status >= NGX_HTTP_OK
           && r->headers_out.status < NGX_HTTP_BAD_REQUEST
           && (a->user.len || a->visitor)
           && !(ngx_http_hype_purpose(r)
                & (NGX_HTTP_HYPE_PREFETCH|NGX_HTTP_HYPE_SPECULATIVE));
}


static ngx_int_t
ngx_http_hype_answer_code(ngx_http_request_t *r, ngx_http_hype_answer_t *a,
    ngx_http_hype_loc_conf_t *hlcf)
{
    ngx_str_t  code;

    if (ngx_http_hype_asked(r) == NGX_HTTP_HEAD) {
        return NGX_OK;
    }

    if (ngx_http_hype_said(r, hlcf->code, &code) != NGX_OK) {
        return NGX_ERROR;
    }

    if (code.len == 0) {
        return NGX_OK;
    }

    return ngx_http_hype_visit_code(r, hlcf, &code, &a->user, a->visitor);
}


static ngx_int_t
ngx_http_hype_answer_confirm(ngx_http_request_t *r, ngx_http_hype_answer_t *a,
    ngx_http_hype_loc_conf_t *hlcf, ngx_http_hype_store_t *store)
{
    ngx_int_t                 rc;
    ngx_uint_t                i;
    ngx_http_hype_event_t     event;
    ngx_http_hype_confirm_t  *confirm;

    confirm = hlcf->confirm->elts;

    for (i = 0; i < hlcf->confirm->nelts; i++) {

        ngx_memzero(&event, sizeof(ngx_http_hype_event_t));

        rc = ngx_http_hype_answer_event(r, &confirm[i], &event);

        if (rc == NGX_DECLINED) {
            continue;
        }

        if (rc != NGX_OK) {
            return NGX_ERROR;
        }

        event.visitor = a->visitor;
        event.user_id = a->user;
        event.created = ngx_http_hype_answer_time();

        ngx_http_hype_count(store->cache, NGX_HTTP_HYPE_CONFIRMS, 1);

        ngx_http_hype_store_event(store, NGX_HTTP_HYPE_RECORD_CONFIRM,
                                  &event);
    }

    return NGX_OK;
}


/* NGX_DECLINED: by its condition, or as it has no name, it is none */

static ngx_int_t
ngx_http_hype_answer_event(ngx_http_request_t *r,
    ngx_http_hype_confirm_t *confirm, ngx_http_hype_event_t *event)
{
    ngx_str_t  value;

    if (confirm->condition) {
        if (ngx_http_hype_said(r, confirm->condition, &value) != NGX_OK) {
            return NGX_ERROR;
        }

        if (value.len == 0 || (value.len == 1 && value.data[0] == '0')) {
            return NGX_DECLINED;
        }
    }

    if (ngx_http_hype_said(r, confirm->event, &event->event) != NGX_OK) {
        return NGX_ERROR;
    }

    if (event->event.len == 0) {
        return NGX_DECLINED;
    }

    if (confirm->value
        && ngx_http_hype_said(r, confirm->value, &event->value) != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_http_hype_cut(&event->event);
    ngx_http_hype_cut(&event->value);

    return NGX_OK;
}


/* milliseconds since the Unix epoch */

static uint64_t
ngx_http_hype_answer_time(void)
{
    ngx_time_t  *tp;

    tp = ngx_timeofday();

    return (uint64_t) tp->sec * 1000 + tp->msec;
}
