
#include "ngx_http_hype_visit.h"


static void ngx_http_hype_cleanup(void *data);
static void ngx_http_hype_suspend(ngx_http_request_t *r);
static void ngx_http_hype_resume(ngx_http_hype_wait_t *wait);
static void ngx_http_hype_expire(ngx_http_hype_wait_t *wait);
static ngx_int_t ngx_http_hype_visit_look_up(ngx_http_request_t *r,
    ngx_http_hype_ctx_t *ctx, ngx_str_t *identifier);
static void ngx_http_hype_visit_judge(ngx_http_hype_ctx_t *ctx);
static void ngx_http_hype_visit_stored(ngx_http_hype_ctx_t *ctx);
static ngx_table_elt_t *ngx_http_hype_push_header(ngx_http_request_t *r,
    const char *key, ngx_str_t *value);
static ngx_int_t ngx_http_hype_redirect_scheme(ngx_http_request_t *r,
    ngx_str_t *uri);


ngx_str_t  ngx_http_hype_outcomes[] = {
    ngx_string("hit"),
    ngx_string("skipped"),
    ngx_string("unknown"),
    ngx_string("disabled"),
    ngx_string("expired"),
    ngx_string("spooled"),
    ngx_string("dropped"),
    ngx_null_string
};


/* an internal redirect clears the contexts, but not the clean-ups */

ngx_http_hype_ctx_t *
ngx_http_hype_restore_ctx(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t   *cln;
    ngx_http_hype_ctx_t  *ctx;

    for (cln = r->pool->cleanup; cln; cln = cln->next) {
        if (cln->handler == ngx_http_hype_cleanup) {
            ctx = cln->data;
            ngx_http_set_ctx(r, ctx, ngx_http_hype_module);
            return ctx;
        }
    }

    return NULL;
}


ngx_http_hype_ctx_t *
ngx_http_hype_create_ctx(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t         *cln;
    ngx_http_hype_ctx_t        *ctx;
    ngx_http_hype_main_conf_t  *hmcf;

    hmcf = ngx_http_get_module_main_conf(r, ngx_http_hype_module);

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_hype_ctx_t));
    if (cln == NULL) {
        return NULL;
    }

    ctx = cln->data;
    ngx_memzero(ctx, sizeof(ngx_http_hype_ctx_t));

    ctx->request = r;
    ctx->store = hmcf->store;
    ctx->outcome = NGX_HTTP_HYPE_OUTCOME_NONE;

    ctx->wait.resume = ngx_http_hype_resume;
    ctx->wait.expire = ngx_http_hype_expire;
    ctx->wait.data = ctx;
    ctx->wait.pool = r->pool;
    ctx->wait.result = &ctx->link;

    cln->handler = ngx_http_hype_cleanup;
    ngx_http_set_ctx(r, ctx, ngx_http_hype_module);

    return ctx;
}


static void
ngx_http_hype_cleanup(void *data)
{
    ngx_http_hype_ctx_t *ctx = data;

    ngx_http_hype_park_leave(&ctx->store->park, &ctx->wait);
}


/*
 * While it is parked, a request does not look at its client: a hit counts
 * also if the client has gone, and the wait has an end.
 */

static void
ngx_http_hype_suspend(ngx_http_request_t *r)
{
    ngx_log_debug0(NGX_LOG_DEBUG_HTTP, r->connection->log, 0,
                   "http hype parked");

    r->read_event_handler = ngx_http_block_reading;
    r->write_event_handler = ngx_http_request_empty_handler;
}


static void
ngx_http_hype_resume(ngx_http_hype_wait_t *wait)
{
    ngx_connection_t     *c;
    ngx_http_request_t   *r;
    ngx_http_hype_ctx_t  *ctx;

    ctx = wait->data;
    r = ctx->request;
    c = r->connection;

    ngx_http_set_log_request(c->log, r);

    ngx_log_debug1(NGX_LOG_DEBUG_HTTP, c->log, 0,
                   "http hype resume, state: %ui", ctx->state);

    r->write_event_handler = ngx_http_core_run_phases;

    /* what came of a body in the meantime, nobody will be told of again */

    if (r->discard_body && c->read->ready) {
        ngx_post_event(c->read, &ngx_posted_events);
    }

    ngx_http_core_run_phases(r);
    ngx_http_run_posted_requests(c);
}


static void
ngx_http_hype_expire(ngx_http_hype_wait_t *wait)
{
    ngx_http_hype_ctx_t  *ctx;

    ctx = wait->data;

    if (ctx->state == NGX_HTTP_HYPE_STORE) {
        ngx_http_hype_store_expire(ctx->store, wait);
    }
}


ngx_int_t
ngx_http_hype_visit_find(ngx_http_request_t *r, ngx_http_hype_ctx_t *ctx)
{
    ngx_int_t  rc;

    switch (ctx->state) {

    case NGX_HTTP_HYPE_START:

        rc = ngx_http_hype_identifier_valid(&ctx->identifier)
             ? NGX_OK
             : ngx_http_hype_visit_fold(r, &ctx->identifier,
                                        &ctx->identifier);

        if (rc == NGX_DECLINED) {
            ctx->outcome = NGX_HTTP_HYPE_OUTCOME_UNKNOWN;
            ctx->state = NGX_HTTP_HYPE_DONE;
            return NGX_OK;
        }

        if (rc == NGX_OK) {
            rc = ngx_http_hype_visit_look_up(r, ctx, &ctx->identifier);
        }

        if (rc != NGX_OK) {
            return rc;
        }

        break;

    case NGX_HTTP_HYPE_FIND:

        if (ctx->wait.status == NGX_ERROR) {
            return NGX_ERROR;
        }

        break;

    default:
        return NGX_OK;
    }

    if (ctx->wait.status == NGX_OK
        && !ctx->link.known
        && ctx->folded.len == 0)
    {
        rc = ngx_http_hype_visit_fold(r, &ctx->identifier, &ctx->folded);

        if (rc == NGX_OK) {
            rc = ngx_http_hype_visit_look_up(r, ctx, &ctx->folded);
        }

        if (rc == NGX_AGAIN || rc == NGX_ERROR) {
            return rc;
        }
    }

    ngx_http_hype_visit_judge(ctx);

    return (ctx->state == NGX_HTTP_HYPE_FOUND)
           ? ngx_http_hype_purpose_refuse(r, ctx) : NGX_OK;
}


static ngx_int_t
ngx_http_hype_visit_look_up(ngx_http_request_t *r, ngx_http_hype_ctx_t *ctx,
    ngx_str_t *identifier)
{
    ngx_int_t  rc;

    ngx_log_debug1(NGX_LOG_DEBUG_HTTP, r->connection->log, 0,
                   "http hype look-up of \"%V\"", identifier);

    rc = ngx_http_hype_links_find(&ctx->store->links, identifier, &ctx->wait);

    if (rc == NGX_AGAIN) {
        ctx->state = NGX_HTTP_HYPE_FIND;
        ngx_http_hype_suspend(r);
        return NGX_AGAIN;
    }

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    ctx->wait.status = rc;

    return NGX_OK;
}


static void
ngx_http_hype_visit_judge(ngx_http_hype_ctx_t *ctx)
{
    ngx_http_hype_link_t     *link;
    ngx_http_hype_metrics_t  *metrics;

    link = &ctx->link;

    ngx_log_debug3(NGX_LOG_DEBUG_HTTP, ctx->request->connection->log, 0,
                   "http hype found: %i, known: %d, link: %L",
                   ctx->wait.status, link->known, link->id);

    if (ctx->folded.len && (ctx->wait.status == NGX_DECLINED || link->known)) {
        ctx->identifier = ctx->folded;
    }

    if (ctx->wait.status == NGX_DECLINED) {

        /* the database is away: what the link is will be seen later */

        ngx_memzero(link, sizeof(ngx_http_hype_link_t));
        ctx->state = NGX_HTTP_HYPE_FOUND;
        return;
    }

    if (!link->known) {
        ctx->outcome = NGX_HTTP_HYPE_OUTCOME_UNKNOWN;
        metrics = ctx->store->cache->metrics;
        ngx_http_hype_metrics_visit(metrics, &metrics->unknown,
                                    &ctx->identifier);

    } else if (link->disabled) {
        ctx->outcome = NGX_HTTP_HYPE_OUTCOME_DISABLED;

    } else if (link->expires
               && (uint64_t) link->expires
                  <= ngx_http_hype_visit_time(ctx->request))
    {
        ctx->outcome = NGX_HTTP_HYPE_OUTCOME_EXPIRED;

    } else {
        ctx->state = NGX_HTTP_HYPE_FOUND;
        return;
    }

    ctx->state = NGX_HTTP_HYPE_DONE;
}


ngx_int_t
ngx_http_hype_visit_record(ngx_http_request_t *r, ngx_http_hype_ctx_t *ctx)
{
    ngx_int_t                  rc;
    ngx_http_hype_metrics_t   *metrics;
    ngx_http_hype_loc_conf_t  *hlcf;

    hlcf = ngx_http_get_module_loc_conf(r, ngx_http_hype_module);

    switch (ctx->state) {

    case NGX_HTTP_HYPE_FOUND:

        rc = ngx_http_hype_visit_make(r, ctx, hlcf);

        if (rc == NGX_AGAIN) {
            ngx_http_hype_suspend(r);
            return NGX_AGAIN;
        }

        if (rc == NGX_ERROR) {
            return NGX_ERROR;
        }

        if (ctx->outcome != NGX_HTTP_HYPE_OUTCOME_SKIPPED) {
            ngx_http_hype_visit_stored(ctx);
        }

        break;

    case NGX_HTTP_HYPE_STORE:
        ngx_http_hype_visit_stored(ctx);
        break;
    }

    if (ctx->outcome != NGX_HTTP_HYPE_OUTCOME_DROPPED) {
        ngx_http_hype_count(ctx->store->cache, ctx->outcome, 1);
    }

    if (ctx->link.known
        && (ctx->outcome == NGX_HTTP_HYPE_OUTCOME_HIT
            || ctx->outcome == NGX_HTTP_HYPE_OUTCOME_SPOOLED))
    {
        metrics = ctx->store->cache->metrics;
        ngx_http_hype_metrics_visit(metrics, &metrics->links,
                                    &ctx->identifier);
    }

    ngx_log_debug1(NGX_LOG_DEBUG_HTTP, r->connection->log, 0,
                   "http hype answered: %V",
                   &ngx_http_hype_outcomes[ctx->outcome]);

    return NGX_OK;
}


ngx_int_t
ngx_http_hype_keep_user(ngx_http_request_t *r, ngx_http_hype_loc_conf_t *hlcf)
{
    ngx_str_t             user;
    ngx_http_hype_ctx_t  *ctx;

    ctx = ngx_http_hype_get_ctx(r);

    if ((ctx && ctx->user.len) || !ngx_http_hype_asked(r)) {
        return NGX_OK;
    }

    if (ngx_http_hype_said(r, hlcf->user, &user) != NGX_OK) {
        return NGX_ERROR;
    }

    if (user.len == 0) {
        return NGX_OK;
    }

    if (ctx == NULL) {
        ctx = ngx_http_hype_create_ctx(r);
        if (ctx == NULL) {
            return NGX_ERROR;
        }
    }

    ctx->user = user;

    return NGX_OK;
}


static void
ngx_http_hype_visit_stored(ngx_http_hype_ctx_t *ctx)
{
    ctx->state = NGX_HTTP_HYPE_DONE;

    switch (ctx->wait.status) {

    case NGX_OK:
        ctx->outcome = NGX_HTTP_HYPE_OUTCOME_HIT;
        break;

    case NGX_DECLINED:
        ctx->outcome = NGX_HTTP_HYPE_OUTCOME_SPOOLED;
        break;

    default: /* NGX_ERROR */
        ctx->outcome = NGX_HTTP_HYPE_OUTCOME_DROPPED;
    }
}


ngx_uint_t
ngx_http_hype_visit_made(ngx_http_hype_ctx_t *ctx)
{
    return ctx->outcome == NGX_HTTP_HYPE_OUTCOME_HIT
           || ctx->outcome == NGX_HTTP_HYPE_OUTCOME_SPOOLED
           || ctx->outcome == NGX_HTTP_HYPE_OUTCOME_DROPPED;
}


ngx_int_t
ngx_http_hype_redirect(ngx_http_request_t *r, ngx_http_hype_ctx_t *ctx,
    ngx_str_t *location)
{
    ngx_str_t  uri;

    if (ngx_http_hype_escape(r, location, &uri) != NGX_OK
        || ngx_http_hype_redirect_scheme(r, &uri) != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_http_clear_location(r);

    r->headers_out.location = ngx_http_hype_push_header(r, "Location", &uri);
    if (r->headers_out.location == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ctx->redirected = 1;

    return NGX_HTTP_MOVED_TEMPORARILY;
}


/*
 * With "absolute_redirect on", nginx takes what begins with "/" for a path, and
 * puts this host before it: also before "//host/path".
 */

static ngx_int_t
ngx_http_hype_redirect_scheme(ngx_http_request_t *r, ngx_str_t *uri)
{
    u_char                    *p;
    ngx_str_t                  scheme;
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    if (!clcf->absolute_redirect
        || uri->len < 2 || uri->data[0] != '/' || uri->data[1] != '/')
    {
        return NGX_OK;
    }

    if (ngx_http_hype_is_tls(r)) {
        ngx_str_set(&scheme, "https:");

    } else {
        ngx_str_set(&scheme, "http:");
    }

    p = ngx_pnalloc(r->pool, scheme.len + uri->len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(ngx_cpymem(p, scheme.data, scheme.len), uri->data, uri->len);

    uri->data = p;
    uri->len += scheme.len;

    return NGX_OK;
}


ngx_int_t
ngx_http_hype_escape(ngx_http_request_t *r, ngx_str_t *src, ngx_str_t *uri)
{
    u_char  *p;
    size_t   len;

    len = ngx_http_hype_uri_escape(NULL, src);

    if (len == src->len) {
        *uri = *src;
        return NGX_OK;
    }

    p = ngx_pnalloc(r->pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    uri->len = ngx_http_hype_uri_escape(p, src);
    uri->data = p;

    return NGX_OK;
}


ngx_int_t
ngx_http_hype_not_allowed(ngx_http_request_t *r)
{
    static ngx_str_t  methods = ngx_string("GET, HEAD");

    if (ngx_http_hype_add_header(r, "Allow", &methods) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return NGX_HTTP_NOT_ALLOWED;
}


ngx_int_t
ngx_http_hype_add_header(ngx_http_request_t *r, const char *key,
    ngx_str_t *value)
{
    return ngx_http_hype_push_header(r, key, value) ? NGX_OK : NGX_ERROR;
}


static ngx_table_elt_t *
ngx_http_hype_push_header(ngx_http_request_t *r, const char *key,
    ngx_str_t *value)
{
    ngx_table_elt_t  *h;

    h = ngx_list_push(&r->headers_out.headers);
    if (h == NULL) {
        return NULL;
    }

    h->hash = 1;
#if (nginx_version >= 1023000)
    h->next = NULL;
#endif
    h->key.len = ngx_strlen(key);
    h->key.data = (u_char *) key;
    h->value = *value;

    return h;
}
