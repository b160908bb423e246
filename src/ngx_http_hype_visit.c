
#include "ngx_http_hype_visit.h"


/* bytes of a column's text, which may become three times as many */
#define NGX_HTTP_HYPE_VISIT_TEXT  65536


static void ngx_http_hype_cleanup(void *data);
static void ngx_http_hype_resume(ngx_http_hype_parked_t *parked);
static void ngx_http_hype_expire(ngx_http_hype_parked_t *parked);
static void ngx_http_hype_suspend(ngx_http_request_t *r);
static void ngx_http_hype_visit_judge(ngx_http_hype_ctx_t *ctx);
static uint64_t ngx_http_hype_visit_time(ngx_http_request_t *r);
static ngx_int_t ngx_http_hype_visit_make(ngx_http_request_t *r,
    ngx_http_hype_ctx_t *ctx, ngx_http_hype_loc_conf_t *hlcf);
static ngx_uint_t ngx_http_hype_visit_skipped(ngx_http_request_t *r,
    ngx_http_hype_loc_conf_t *hlcf);
static ngx_uint_t ngx_http_hype_visit_prefetch(ngx_http_request_t *r);
static ngx_int_t ngx_http_hype_visit_store(ngx_http_request_t *r,
    ngx_http_hype_ctx_t *ctx, ngx_http_hype_loc_conf_t *hlcf);
static ngx_int_t ngx_http_hype_visit_who(ngx_http_request_t *r,
    ngx_http_hype_ctx_t *ctx, ngx_http_hype_loc_conf_t *hlcf,
    ngx_uint_t *late);
static void ngx_http_hype_visit_ip(ngx_http_request_t *r, ngx_uint_t ip,
    u_char *addr, ngx_http_hype_row_t *row);
static void ngx_http_hype_visit_stored(ngx_http_hype_ctx_t *ctx);


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

/* what a browser says when it fetches a page that nobody may look at */

static ngx_str_t  ngx_http_hype_prefetch_headers[] = {
    ngx_string("sec-purpose"),
    ngx_string("purpose"),
    ngx_string("x-purpose"),
    ngx_string("x-moz"),
    ngx_null_string
};

static ngx_str_t  ngx_http_hype_prefetch_values[] = {
    ngx_string("prefetch"),
    ngx_string("prerender"),
    ngx_string("preview"),
    ngx_null_string
};


ngx_http_hype_ctx_t *
ngx_http_hype_get_ctx(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t   *cln;
    ngx_http_hype_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_hype_module);

    if (ctx || !(r->internal || r->filter_finalize)) {
        return ctx;
    }

    /* an internal redirect clears the contexts, but not the clean-ups */

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

    ctx->parked.resume = ngx_http_hype_resume;
    ctx->parked.expire = ngx_http_hype_expire;
    ctx->parked.data = ctx;

    ctx->wait.parked = &ctx->parked;
    ctx->wait.pool = r->pool;
    ctx->ticket.parked = &ctx->parked;

    cln->handler = ngx_http_hype_cleanup;
    ngx_http_set_ctx(r, ctx, ngx_http_hype_module);

    return ctx;
}


static void
ngx_http_hype_cleanup(void *data)
{
    ngx_http_hype_ctx_t *ctx = data;

    ngx_http_hype_park_leave(&ctx->store->park, &ctx->parked);
    ngx_http_hype_links_leave(&ctx->wait);
    ngx_http_hype_store_leave(&ctx->ticket);
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
ngx_http_hype_resume(ngx_http_hype_parked_t *parked)
{
    ngx_connection_t     *c;
    ngx_http_request_t   *r;
    ngx_http_hype_ctx_t  *ctx;

    ctx = parked->data;
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
ngx_http_hype_expire(ngx_http_hype_parked_t *parked)
{
    ngx_http_hype_ctx_t  *ctx;

    ctx = parked->data;

    ngx_http_hype_links_leave(&ctx->wait);

    if (ctx->state == NGX_HTTP_HYPE_STORE) {
        ngx_http_hype_store_expire(ctx->store, &ctx->ticket);
    }
}


ngx_int_t
ngx_http_hype_visit_find(ngx_http_request_t *r, ngx_http_hype_ctx_t *ctx)
{
    ngx_int_t  rc;

    switch (ctx->state) {

    case NGX_HTTP_HYPE_START:

        ngx_log_debug1(NGX_LOG_DEBUG_HTTP, r->connection->log, 0,
                       "http hype look-up of \"%V\"", &ctx->identifier);

        if (!ngx_http_hype_identifier_valid(&ctx->identifier)) {
            ctx->outcome = NGX_HTTP_HYPE_OUTCOME_UNKNOWN;
            ctx->state = NGX_HTTP_HYPE_DONE;
            break;
        }

        rc = ngx_http_hype_links_find(&ctx->store->links, &ctx->identifier,
                                      &ctx->wait);

        if (rc == NGX_AGAIN) {
            ctx->state = NGX_HTTP_HYPE_FIND;
            ngx_http_hype_suspend(r);
            return NGX_AGAIN;
        }

        if (rc == NGX_ERROR) {
            return NGX_ERROR;
        }

        ctx->wait.rc = rc;
        ngx_http_hype_visit_judge(ctx);
        break;

    case NGX_HTTP_HYPE_FIND:

        if (ctx->wait.rc == NGX_ERROR) {
            return NGX_ERROR;
        }

        ngx_http_hype_visit_judge(ctx);
        break;
    }

    return NGX_OK;
}


static void
ngx_http_hype_visit_judge(ngx_http_hype_ctx_t *ctx)
{
    ngx_http_hype_link_t  *link;

    link = &ctx->wait.link;

    ngx_log_debug3(NGX_LOG_DEBUG_HTTP, ctx->request->connection->log, 0,
                   "http hype found: %i, known: %d, link: %L",
                   ctx->wait.rc, link->known, link->id);

    if (ctx->wait.rc == NGX_DECLINED) {

        /* the database is away: what the link is will be seen later */

        ngx_memzero(link, sizeof(ngx_http_hype_link_t));
        ctx->state = NGX_HTTP_HYPE_FOUND;
        return;
    }

    if (!link->known) {
        ctx->outcome = NGX_HTTP_HYPE_OUTCOME_UNKNOWN;

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


/* when the request came, in milliseconds since the Unix epoch */

static uint64_t
ngx_http_hype_visit_time(ngx_http_request_t *r)
{
    return (uint64_t) r->start_sec * 1000 + r->start_msec;
}


ngx_int_t
ngx_http_hype_visit_record(ngx_http_request_t *r, ngx_http_hype_ctx_t *ctx)
{
    ngx_int_t                  rc;
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

    if (ctx->wait.link.known
        && (ctx->outcome == NGX_HTTP_HYPE_OUTCOME_HIT
            || ctx->outcome == NGX_HTTP_HYPE_OUTCOME_SPOOLED))
    {
        ngx_http_hype_metrics_hit(ctx->store->cache->metrics,
                                  &ctx->identifier);
    }

    ngx_log_debug1(NGX_LOG_DEBUG_HTTP, r->connection->log, 0,
                   "http hype answered: %V",
                   &ngx_http_hype_outcomes[ctx->outcome]);

    return NGX_OK;
}


/*
 * A "map" with regular expressions, such as one for bots, would change the $1
 * of the location, which its own directives are still to see.
 */

static ngx_int_t
ngx_http_hype_visit_make(ngx_http_request_t *r, ngx_http_hype_ctx_t *ctx,
    ngx_http_hype_loc_conf_t *hlcf)
{
    ngx_int_t    rc;
#if (NGX_PCRE)
    int         *captures;
    u_char      *data;
    ngx_uint_t   n, again;

    captures = r->captures;
    data = r->captures_data;
    n = r->ncaptures;
    again = r->realloc_captures;

    r->realloc_captures = 1;
#endif

    if (ngx_http_hype_visit_skipped(r, hlcf)) {
        ctx->outcome = NGX_HTTP_HYPE_OUTCOME_SKIPPED;
        ctx->state = NGX_HTTP_HYPE_DONE;
        rc = NGX_OK;

    } else {
        ctx->state = NGX_HTTP_HYPE_STORE;
        rc = ngx_http_hype_visit_store(r, ctx, hlcf);
    }

#if (NGX_PCRE)
    r->captures = captures;
    r->captures_data = data;
    r->ncaptures = n;
    r->realloc_captures = again;
#endif

    return rc;
}


static ngx_uint_t
ngx_http_hype_visit_skipped(ngx_http_request_t *r,
    ngx_http_hype_loc_conf_t *hlcf)
{
    return r->method == NGX_HTTP_HEAD
           || ngx_http_test_predicates(r, hlcf->no_hit) != NGX_OK
           || ngx_http_hype_visit_prefetch(r);
}


static ngx_uint_t
ngx_http_hype_visit_prefetch(ngx_http_request_t *r)
{
    ngx_str_t        *name, *value;
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    part = &r->headers_in.headers.part;
    h = part->elts;

    for (i = 0; /* void */ ; i++) {

        if (i >= part->nelts) {
            if (part->next == NULL) {
                return 0;
            }

            part = part->next;
            h = part->elts;
            i = 0;
        }

        for (name = ngx_http_hype_prefetch_headers; name->len; name++) {
            if (h[i].key.len == name->len
                && ngx_strncmp(h[i].lowcase_key, name->data, name->len) == 0)
            {
                break;
            }
        }

        if (name->len == 0) {
            continue;
        }

        for (value = ngx_http_hype_prefetch_values; value->len; value++) {
            if (ngx_strlcasestrn(h[i].value.data,
                                 h[i].value.data + h[i].value.len,
                                 value->data, value->len - 1))
            {
                return 1;
            }
        }
    }
}


static ngx_int_t
ngx_http_hype_visit_store(ngx_http_request_t *r, ngx_http_hype_ctx_t *ctx,
    ngx_http_hype_loc_conf_t *hlcf)
{
    u_char                 addr[16];
    ngx_str_t              bot;
    ngx_uint_t             late;
    ngx_http_hype_row_t    row;
    ngx_http_hype_link_t  *link;

    ngx_memzero(&row, sizeof(ngx_http_hype_row_t));

    if (ngx_http_hype_visit_who(r, ctx, hlcf, &late) != NGX_OK) {
        return NGX_ERROR;
    }

    if (ctx->has_visitor) {
        row.visitor = ctx->visitor;
    }

    if (ctx->user.len) {
        row.authenticated = 1;
        row.user_id = ctx->user;
    }

    if (hlcf->bot) {
        if (ngx_http_complex_value(r, hlcf->bot, &bot) != NGX_OK) {
            return NGX_ERROR;
        }

        row.bot = (bot.len && !(bot.len == 1 && bot.data[0] == '0'));
    }

    link = &ctx->wait.link;

    row.link = link->id;
    row.created = ngx_http_hype_visit_time(r);
    row.next = ctx->next;

    if (r->headers_in.user_agent) {
        row.user_agent = r->headers_in.user_agent->value;
    }

    if (r->headers_in.referer) {
        row.referer = r->headers_in.referer->value;
    }

    ngx_http_hype_cut(&row.user_id);
    ngx_http_hype_cut(&row.next);
    ngx_http_hype_cut(&row.user_agent);
    ngx_http_hype_cut(&row.referer);

    ngx_http_hype_visit_ip(r, hlcf->ip, addr, &row);

    ngx_http_hype_uuid_time(&ctx->store->uuids, row.id, row.created);

    ngx_memcpy(ctx->hit, row.id, NGX_HTTP_HYPE_UUID_LEN);
    ctx->has_hit = 1;

    /* a link may have the id 0, which in a row stands for none */

    return ngx_http_hype_store_hit(ctx->store,
                                   link->id ? &(ngx_str_t) ngx_null_string
                                            : &ctx->identifier,
                                   &row, late,
                                   hlcf->durability == NGX_HTTP_HYPE_SPOOL,
                                   &ctx->ticket);
}


void
ngx_http_hype_cut(ngx_str_t *text)
{
    text->len = ngx_min(text->len, NGX_HTTP_HYPE_VISIT_TEXT);
}


/* a user who is known has no need of a visitor, and gets no cookie */

static ngx_int_t
ngx_http_hype_visit_who(ngx_http_request_t *r, ngx_http_hype_ctx_t *ctx,
    ngx_http_hype_loc_conf_t *hlcf, ngx_uint_t *late)
{
    *late = 0;

    if (hlcf->user
        && ngx_http_hype_user(r, hlcf, &ctx->user) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (ctx->user.len
        || ngx_http_test_predicates(r, hlcf->no_cookie) != NGX_OK)
    {
        return NGX_OK;
    }

    if (ngx_http_hype_visitor(r, hlcf->cookie, ctx->visitor) == NGX_OK) {
        *late = 1;

    } else {
        ngx_http_hype_uuid_random(&ctx->store->uuids, ctx->visitor);
    }

    ctx->has_visitor = 1;
    ctx->set_cookie = 1;

    return NGX_OK;
}


/*
 * A "map" of what the application will answer is evaluated here, without its
 * answer, and has to be so again when that is there: the values of variables
 * are put back as they were.
 */

ngx_int_t
ngx_http_hype_user(ngx_http_request_t *r, ngx_http_hype_loc_conf_t *hlcf,
    ngx_str_t *user)
{
    size_t                      size;
    ngx_int_t                   rc;
    ngx_http_upstream_t        *u;
    ngx_http_variable_value_t  *saved;
    ngx_http_core_main_conf_t  *cmcf;

    cmcf = ngx_http_get_module_main_conf(r, ngx_http_core_module);

    size = cmcf->variables.nelts * sizeof(ngx_http_variable_value_t);

    saved = ngx_palloc(r->pool, size);
    if (saved == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(saved, r->variables, size);
    u = r->upstream;

#if (NGX_HTTP_CACHE)

    /* the application said it to another one, for whom the page was stored */

    if (r->cached) {
        r->upstream = NULL;
    }

#endif

    rc = ngx_http_complex_value(r, hlcf->user, user);

    r->upstream = u;
    ngx_memcpy(r->variables, saved, size);

    return rc;
}


ngx_int_t
ngx_http_hype_keep_user(ngx_http_request_t *r, ngx_http_hype_loc_conf_t *hlcf)
{
    ngx_str_t             user;
    ngx_http_hype_ctx_t  *ctx;

    ctx = ngx_http_hype_get_ctx(r);

    if (ctx && ctx->user.len) {
        return NGX_OK;
    }

    if (ngx_http_hype_user(r, hlcf, &user) != NGX_OK) {
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


ngx_int_t
ngx_http_hype_visitor(ngx_http_request_t *r, ngx_http_hype_cookie_t *cookie,
    u_char *uuid)
{
    ngx_int_t  rc, legacy;

    rc = ngx_http_hype_cookie(r, &cookie->name, uuid);

    if (rc == NGX_OK || cookie->legacy.len == 0) {
        return rc;
    }

    legacy = ngx_http_hype_cookie(r, &cookie->legacy, uuid);

    return (legacy == NGX_DECLINED) ? rc : legacy;
}


ngx_int_t
ngx_http_hype_cookie(ngx_http_request_t *r, ngx_str_t *name, u_char *uuid)
{
    ngx_int_t          rc, found;
    ngx_table_elt_t   *h;
#if (nginx_version < 1023000)
    ngx_uint_t         i;
    ngx_table_elt_t  **headers;
#endif

    found = NGX_DECLINED;

#if (nginx_version < 1023000)

    headers = r->headers_in.cookies.elts;

    for (i = 0; i < r->headers_in.cookies.nelts; i++) {
        h = headers[i];
#else

    for (h = r->headers_in.cookie; h; h = h->next) {
#endif

        rc = ngx_http_hype_cookie_find(&h->value, name, uuid);

        if (rc == NGX_OK) {
            return NGX_OK;
        }

        if (rc == NGX_ERROR) {
            found = NGX_ERROR;
        }
    }

    return found;
}


/* after realip; masked to what names a network rather than a person */

static void
ngx_http_hype_visit_ip(ngx_http_request_t *r, ngx_uint_t ip, u_char *addr,
    ngx_http_hype_row_t *row)
{
    struct sockaddr      *sa;
    struct sockaddr_in   *sin;
#if (NGX_HAVE_INET6)
    struct sockaddr_in6  *sin6;
#endif

    if (ip == NGX_HTTP_HYPE_IP_OFF) {
        return;
    }

    sa = r->connection->sockaddr;

    switch (sa->sa_family) {

    case AF_INET:
        sin = (struct sockaddr_in *) sa;
        ngx_memcpy(addr, &sin->sin_addr, 4);
        row->ip_len = 4;
        break;

#if (NGX_HAVE_INET6)
    case AF_INET6:
        sin6 = (struct sockaddr_in6 *) sa;

        if (IN6_IS_ADDR_V4MAPPED(&sin6->sin6_addr)) {
            ngx_memcpy(addr, &sin6->sin6_addr.s6_addr[12], 4);
            row->ip_len = 4;
            break;
        }

        ngx_memcpy(addr, &sin6->sin6_addr, 16);
        row->ip_len = 16;
        break;
#endif

    default:
        return;
    }

    if (ip == NGX_HTTP_HYPE_IP_MASKED) {
        if (row->ip_len == 4) {
            addr[3] = 0;

        } else {
            ngx_memzero(addr + 6, 10);
        }
    }

    row->ip = addr;
}


static void
ngx_http_hype_visit_stored(ngx_http_hype_ctx_t *ctx)
{
    ctx->state = NGX_HTTP_HYPE_DONE;

    switch (ctx->ticket.status) {

    case NGX_HTTP_HYPE_TICKET_COMMITTED:
        ctx->outcome = NGX_HTTP_HYPE_OUTCOME_HIT;
        break;

    case NGX_HTTP_HYPE_TICKET_SPOOLED:
        ctx->outcome = NGX_HTTP_HYPE_OUTCOME_SPOOLED;
        break;

    default:
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
    ngx_http_clear_location(r);

    r->headers_out.location = ngx_list_push(&r->headers_out.headers);
    if (r->headers_out.location == NULL) {
        return NGX_ERROR;
    }

    r->headers_out.location->hash = 1;
#if (nginx_version >= 1023000)
    r->headers_out.location->next = NULL;
#endif
    ngx_str_set(&r->headers_out.location->key, "Location");
    r->headers_out.location->value = *location;

    ctx->redirected = 1;

    return NGX_HTTP_MOVED_TEMPORARILY;
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
    ngx_table_elt_t  *h;

    h = ngx_list_push(&r->headers_out.headers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    h->hash = 1;
#if (nginx_version >= 1023000)
    h->next = NULL;
#endif
    h->key.len = ngx_strlen(key);
    h->key.data = (u_char *) key;
    h->value = *value;

    return NGX_OK;
}
