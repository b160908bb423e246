
#include "ngx_http_hype_visit.h"


/* bytes of a text that the site names, and of one that a visitor sends */
#define NGX_HTTP_HYPE_VISIT_NAME  65536
#define NGX_HTTP_HYPE_VISIT_TEXT  2048


/* of the regular expression that was matched last */

typedef struct {
    int         *captures;
    u_char      *data;
    ngx_uint_t   n;
    ngx_uint_t   again;    /* they are not to be changed where they are */
} ngx_http_hype_captures_t;


static void ngx_http_hype_captures_keep(ngx_http_request_t *r,
    ngx_http_hype_captures_t *captures);
static void ngx_http_hype_captures_restore(ngx_http_request_t *r,
    ngx_http_hype_captures_t *captures);
static ngx_uint_t ngx_http_hype_visit_skipped(ngx_http_request_t *r,
    ngx_http_hype_ctx_t *ctx, ngx_http_hype_loc_conf_t *hlcf);
static ngx_int_t ngx_http_hype_visit_store(ngx_http_request_t *r,
    ngx_http_hype_ctx_t *ctx, ngx_http_hype_loc_conf_t *hlcf);
static ngx_int_t ngx_http_hype_visit_who(ngx_http_request_t *r,
    ngx_http_hype_ctx_t *ctx, ngx_http_hype_loc_conf_t *hlcf);
static void ngx_http_hype_visit_args(ngx_http_request_t *r,
    ngx_http_hype_ctx_t *ctx, ngx_http_hype_loc_conf_t *hlcf, u_char *buf,
    ngx_str_t *args);
static ngx_int_t ngx_http_hype_cookie_line(ngx_str_t *line, ngx_str_t *name,
    u_char *uuids, ngx_uint_t *n, ngx_uint_t max);
static void ngx_http_hype_visit_ip(ngx_http_request_t *r, ngx_uint_t ip,
    u_char *addr, ngx_http_hype_row_t *row);


uint64_t
ngx_http_hype_visit_time(ngx_http_request_t *r)
{
#if (freenginx && nginx_version >= 1029000)

    ngx_time_t  *tp;

    /* it has the time of a clock that does not begin in 1970 */

    tp = ngx_timeofday();

    return (uint64_t) tp->sec * 1000 + tp->msec
           - (ngx_current_msec - r->start_time);

#else

    return (uint64_t) r->start_sec * 1000 + r->start_msec;

#endif
}


ngx_int_t
ngx_http_hype_visit_make(ngx_http_request_t *r, ngx_http_hype_ctx_t *ctx,
    ngx_http_hype_loc_conf_t *hlcf)
{
    if (ngx_http_hype_visit_skipped(r, ctx, hlcf)) {
        ctx->outcome = NGX_HTTP_HYPE_OUTCOME_SKIPPED;
        ctx->state = NGX_HTTP_HYPE_DONE;

        return NGX_OK;
    }

    ctx->state = NGX_HTTP_HYPE_STORE;

    return ngx_http_hype_visit_store(r, ctx, hlcf);
}


/*
 * A "map" with regular expressions, such as one for bots or users, would change
 * the $1 of the location, which its own directives are still to see.
 */

static void
ngx_http_hype_captures_keep(ngx_http_request_t *r,
    ngx_http_hype_captures_t *captures)
{
#if (NGX_PCRE)
    captures->captures = r->captures;
    captures->data = r->captures_data;
    captures->n = r->ncaptures;
    captures->again = r->realloc_captures;

    r->realloc_captures = 1;
#endif
}


static void
ngx_http_hype_captures_restore(ngx_http_request_t *r,
    ngx_http_hype_captures_t *captures)
{
#if (NGX_PCRE)
    r->captures = captures->captures;
    r->captures_data = captures->data;
    r->ncaptures = captures->n;
    r->realloc_captures = captures->again;
#endif
}


static ngx_uint_t
ngx_http_hype_visit_skipped(ngx_http_request_t *r, ngx_http_hype_ctx_t *ctx,
    ngx_http_hype_loc_conf_t *hlcf)
{
    return r->method == NGX_HTTP_HEAD
           || ngx_http_hype_predicates(r, hlcf->no_hit) != NGX_OK
           || (ctx->purpose
               & (NGX_HTTP_HYPE_PREFETCH|NGX_HTTP_HYPE_EMBEDDED));
}


static ngx_int_t
ngx_http_hype_visit_store(ngx_http_request_t *r, ngx_http_hype_ctx_t *ctx,
    ngx_http_hype_loc_conf_t *hlcf)
{
    u_char                 addr[16], args[NGX_HTTP_HYPE_VISIT_TEXT];
    ngx_str_t              names;
    ngx_http_hype_row_t    row;
    ngx_http_hype_link_t  *link;

    ngx_memzero(&row, sizeof(ngx_http_hype_row_t));

    if (ngx_http_hype_visit_who(r, ctx, hlcf) != NGX_OK) {
        return NGX_ERROR;
    }

    if (ctx->has_visitor) {
        row.visitor = ctx->visitor;
    }

    if (ctx->user.len) {
        row.authenticated = 1;
        row.user_id = ctx->user;
    }

    link = &ctx->link;

    row.link = link->id;
    row.next = ctx->next;

    if (hlcf->keep_args) {
        ngx_http_hype_visit_args(r, ctx, hlcf, args, &row.args);
    }

    if (ngx_http_hype_visit_row(r, hlcf, &row, addr) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_memcpy(ctx->hit, row.id, NGX_HTTP_HYPE_UUID_LEN);
    ctx->has_hit = 1;

    ngx_str_null(&names);

    /* a link may have the id 0, which in a row stands for none */

    if (link->id == 0
        && ngx_http_hype_visit_names(r, &ctx->identifier, &names) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_hype_store_hit(ctx->store, &names, &row,
                                   hlcf->durability == NGX_HTTP_HYPE_SPOOL,
                                   &ctx->wait);
}


ngx_int_t
ngx_http_hype_visit_row(ngx_http_request_t *r, ngx_http_hype_loc_conf_t *hlcf,
    ngx_http_hype_row_t *row, u_char *addr)
{
    ngx_str_t                   bot;
    ngx_http_hype_main_conf_t  *hmcf;

    hmcf = ngx_http_get_module_main_conf(r, ngx_http_hype_module);

    if (hlcf->bot) {
        if (ngx_http_hype_value(r, hlcf->bot, &bot) != NGX_OK) {
            return NGX_ERROR;
        }

        row->bot = (bot.len && !(bot.len == 1 && bot.data[0] == '0'));
    }

    row->created = ngx_http_hype_visit_time(r);

    if (r->headers_in.user_agent) {
        row->user_agent = r->headers_in.user_agent->value;
    }

    if (r->headers_in.referer) {
        row->referer = r->headers_in.referer->value;
    }

    ngx_http_hype_cut(&row->user_id);
    ngx_http_hype_utf8_cut(&row->next, NGX_HTTP_HYPE_VISIT_TEXT);
    ngx_http_hype_utf8_cut(&row->user_agent, NGX_HTTP_HYPE_VISIT_TEXT);
    ngx_http_hype_utf8_cut(&row->referer, NGX_HTTP_HYPE_VISIT_TEXT);

    ngx_http_hype_visit_ip(r, hlcf->ip, addr, row);

    ngx_http_hype_uuid_time(&hmcf->store->uuids, row->id, row->created);

    return NGX_OK;
}


void
ngx_http_hype_cut(ngx_str_t *text)
{
    text->len = ngx_min(text->len, NGX_HTTP_HYPE_VISIT_NAME);
}


/*
 * A "hype_ref_param" that redirects to here has left them in the URL of "next".
 * Those of other visits by the parameter are in that URL, too.
 */

static void
ngx_http_hype_visit_args(ngx_http_request_t *r, ngx_http_hype_ctx_t *ctx,
    ngx_http_hype_loc_conf_t *hlcf, u_char *buf, ngx_str_t *args)
{
    u_char     *p, *last;
    ngx_str_t   query;

    args->data = buf;

    if (hlcf->ref) {
        args->len = ngx_http_hype_args_keep(buf, NGX_HTTP_HYPE_VISIT_TEXT,
                                            &r->args, hlcf->keep_args->elts,
                                            hlcf->keep_args->nelts);
    }

    if (args->len == 0 && ctx->next.len) {
        last = ctx->next.data + ctx->next.len;

        /* a "?" of a fragment begins no query */

        p = memchr(ctx->next.data, '#', ctx->next.len);
        if (p) {
            last = p;
        }

        p = memchr(ctx->next.data, '?', last - ctx->next.data);
        if (p == NULL) {
            return;
        }

        query.data = p + 1;
        query.len = last - query.data;

        args->len = ngx_http_hype_args_keep(buf, NGX_HTTP_HYPE_VISIT_TEXT,
                                            &query, hlcf->keep_args->elts,
                                            hlcf->keep_args->nelts);
    }

    ngx_http_hype_utf8_cut(args, NGX_HTTP_HYPE_VISIT_TEXT);
}


/* a user who is known has no need of a visitor, and gets no cookie */

static ngx_int_t
ngx_http_hype_visit_who(ngx_http_request_t *r, ngx_http_hype_ctx_t *ctx,
    ngx_http_hype_loc_conf_t *hlcf)
{
    if (hlcf->user
        && ngx_http_hype_said(r, hlcf->user, &ctx->user) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (ctx->user.len
        || ngx_http_hype_predicates(r, hlcf->no_cookie) != NGX_OK)
    {
        return NGX_OK;
    }

    if (ngx_http_hype_visitor(r, hlcf->cookie, ctx->visitor) != NGX_OK) {
        ngx_http_hype_uuid_time(&ctx->store->uuids, ctx->visitor,
                                ngx_http_hype_visit_time(r));
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
ngx_http_hype_said(ngx_http_request_t *r, ngx_http_complex_value_t *cv,
    ngx_str_t *value)
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

    rc = ngx_http_hype_value(r, cv, value);

    r->upstream = u;
    ngx_memcpy(r->variables, saved, size);

    return rc;
}


ngx_int_t
ngx_http_hype_value(ngx_http_request_t *r, ngx_http_complex_value_t *cv,
    ngx_str_t *value)
{
    ngx_int_t                 rc;
    ngx_http_hype_captures_t  captures;

    ngx_http_hype_captures_keep(r, &captures);

    rc = ngx_http_complex_value(r, cv, value);

    ngx_http_hype_captures_restore(r, &captures);

    return rc;
}


ngx_int_t
ngx_http_hype_predicates(ngx_http_request_t *r, ngx_array_t *predicates)
{
    ngx_int_t                 rc;
    ngx_http_hype_captures_t  captures;

    ngx_http_hype_captures_keep(r, &captures);

    rc = ngx_http_test_predicates(r, predicates);

    ngx_http_hype_captures_restore(r, &captures);

    return rc;
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
    ngx_uint_t  n;

    n = 1;

    return ngx_http_hype_cookie_all(r, name, uuid, &n);
}


ngx_int_t
ngx_http_hype_cookie_all(ngx_http_request_t *r, ngx_str_t *name,
    u_char *uuids, ngx_uint_t *n)
{
    ngx_int_t          found;
    ngx_uint_t         max;
    ngx_table_elt_t   *h;
#if (nginx_version < 1023000)
    ngx_uint_t         i;
    ngx_table_elt_t  **headers;
#endif

    max = *n;
    *n = 0;
    found = NGX_DECLINED;

#if (nginx_version < 1023000)

    headers = r->headers_in.cookies.elts;

    for (i = 0; i < r->headers_in.cookies.nelts; i++) {
        h = headers[i];
#else

    for (h = r->headers_in.cookie; h; h = h->next) {
#endif

        if (ngx_http_hype_cookie_line(&h->value, name, uuids, n, max)
            != NGX_DECLINED)
        {
            found = NGX_ERROR;
        }

        if (*n == max) {
            break;
        }
    }

    return *n ? NGX_OK : found;
}


/* adds those that are not there yet; NGX_DECLINED: none has that name */

static ngx_int_t
ngx_http_hype_cookie_line(ngx_str_t *line, ngx_str_t *name, u_char *uuids,
    ngx_uint_t *n, ngx_uint_t max)
{
    u_char      *uuid;
    ngx_int_t    rc, found;
    ngx_str_t    rest;
    ngx_uint_t   i;

    rest = *line;
    found = NGX_DECLINED;

    while (*n < max) {

        uuid = uuids + *n * NGX_HTTP_HYPE_UUID_LEN;

        rc = ngx_http_hype_cookie_next(&rest, name, uuid);

        if (rc == NGX_DECLINED) {
            break;
        }

        found = NGX_OK;

        if (rc != NGX_OK) {
            continue;
        }

        for (i = 0; i < *n; i++) {
            if (ngx_memcmp(uuids + i * NGX_HTTP_HYPE_UUID_LEN, uuid,
                           NGX_HTTP_HYPE_UUID_LEN)
                == 0)
            {
                break;
            }
        }

        if (i == *n) {
            (*n)++;
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
