
#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_http_hype_links.h"
#include "ngx_http_hype_array.h"
#include "ngx_http_hype_column.h"
#include "ngx_http_hype_uri.h"


/* identifiers in one query */
#define NGX_HTTP_HYPE_LINKS_MAX   1000

/* milliseconds between two looks for what another worker has found */
#define NGX_HTTP_HYPE_LINKS_POLL  5

/* and between two times that all links are looked up again */
#define NGX_HTTP_HYPE_LINKS_DISTRUST  1000


struct ngx_http_hype_lookup_s {
    ngx_str_node_t            node;
    ngx_queue_t               queue;
    ngx_queue_t               waits;
    ngx_uint_t                changed;  /* since it was asked for */
    u_char                    data[NGX_HTTP_HYPE_IDENTIFIER_MAX];
};


static ngx_int_t ngx_http_hype_links_cached(ngx_http_hype_links_t *links,
    ngx_str_t *identifier, ngx_pool_t *pool, ngx_http_hype_link_t *link);
static ngx_http_hype_lookup_t *ngx_http_hype_links_lookup(
    ngx_http_hype_links_t *links, ngx_str_t *identifier);
static void ngx_http_hype_links_handler(void *data,
    ngx_http_hype_db_outcome_e outcome, PGresult *res);
static void ngx_http_hype_links_row(ngx_http_hype_links_t *links,
    PGresult *res, int row);
static void ngx_http_hype_links_value(PGresult *res, int row, int column,
    ngx_str_t *value);
static void ngx_http_hype_links_done(ngx_http_hype_links_t *links,
    ngx_http_hype_lookup_t *lookup, ngx_http_hype_link_t *link);
static void ngx_http_hype_links_wake(ngx_http_hype_links_t *links,
    ngx_http_hype_lookup_t *lookup, ngx_http_hype_link_t *link);
static ngx_int_t ngx_http_hype_links_copy(ngx_pool_t *pool,
    ngx_http_hype_link_t *dst, ngx_http_hype_link_t *src);
static void ngx_http_hype_links_free(ngx_http_hype_links_t *links,
    ngx_http_hype_lookup_t *lookup);
static void ngx_http_hype_links_poll_handler(ngx_event_t *ev);
static void ngx_http_hype_links_distrust(ngx_http_hype_links_t *links);
static void ngx_http_hype_links_distrust_handler(ngx_event_t *ev);
static void ngx_http_hype_links_fail(ngx_http_hype_links_t *links,
    ngx_queue_t *queue);


/*
 * "expires" may be infinite, which no number of milliseconds is; greatest()
 * takes no notice of a NULL
 */

#define NGX_HTTP_HYPE_LINKS_COLUMNS                                           \
    "id, user_id, destination, disabled, "                                    \
    "CASE WHEN expires IS NOT NULL THEN "                                     \
    "(extract(epoch FROM least(greatest(expires, '1970-01-02Z'), "            \
    "'9999-01-01Z')) * 1000)::bigint END "                                    \
    "FROM hype.referral_link "

static const char  ngx_http_hype_links_sql[] =
    "SELECT identifier, " NGX_HTTP_HYPE_LINKS_COLUMNS
    "WHERE identifier = ANY ($1) "
    "UNION ALL "
    "SELECT a.identifier, " NGX_HTTP_HYPE_LINKS_COLUMNS
    "JOIN hype.link_alias a ON a.referral_link_id = id "
    "WHERE a.identifier = ANY ($1)";


void
ngx_http_hype_links_init(ngx_http_hype_links_t *links,
    ngx_http_hype_cache_t *cache, ngx_http_hype_db_t *db,
    ngx_http_hype_park_t *park, ngx_log_t *log)
{
    links->cache = cache;
    links->db = db;
    links->park = park;
    links->log = log;

    ngx_rbtree_init(&links->rbtree, &links->sentinel,
                    ngx_str_rbtree_insert_value);
    ngx_queue_init(&links->pending);
    ngx_queue_init(&links->flight);
    ngx_queue_init(&links->foreign);

    ngx_http_hype_event_init(&links->poll, ngx_http_hype_links_poll_handler,
                             links, links->log, 1);

    ngx_http_hype_event_init(&links->distrust,
                             ngx_http_hype_links_distrust_handler,
                             links, links->log, 1);
}


ngx_int_t
ngx_http_hype_links_find(ngx_http_hype_links_t *links, ngx_str_t *identifier,
    ngx_http_hype_wait_t *wait)
{
    ngx_int_t                rc, status;
    ngx_http_hype_db_t      *db;
    ngx_http_hype_link_t    *link;
    ngx_http_hype_lookup_t  *lookup;

    db = links->db;
    link = wait->result;

    rc = ngx_http_hype_links_cached(links, identifier, wait->pool, link);

    if (rc == NGX_OK && (db->listening || db->pooled)) {
        ngx_http_hype_count(links->cache, NGX_HTTP_HYPE_CACHE_HITS, 1);
        return NGX_OK;
    }

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    /* what is to be asked for again may still serve while that can't be */

    status = (rc == NGX_DECLINED || !link->known) ? NGX_DECLINED : NGX_OK;

    if (!ngx_http_hype_db_available(db, NGX_HTTP_HYPE_DB_LINKS)) {

        if (rc == NGX_OK) {

            /* that it is unknown was true a moment ago */

            status = NGX_OK;
        }

        if (status == NGX_OK) {
            ngx_http_hype_count(links->cache, NGX_HTTP_HYPE_CACHE_STALE, 1);
        }

        return status;
    }

    ngx_http_hype_count(links->cache, NGX_HTTP_HYPE_CACHE_MISSES, 1);

    lookup = ngx_http_hype_links_lookup(links, identifier);
    if (lookup == NULL) {
        return NGX_ERROR;
    }

    ngx_http_hype_park(links->park, wait, &lookup->waits, NULL, status);

    ngx_http_hype_db_wake(db, NGX_HTTP_HYPE_DB_LINKS);

    return NGX_AGAIN;
}


/* trusts what was loaded since changes are heard, and all may have changed */

static ngx_int_t
ngx_http_hype_links_cached(ngx_http_hype_links_t *links,
    ngx_str_t *identifier, ngx_pool_t *pool, ngx_http_hype_link_t *link)
{
    ngx_msec_t  since;

    since = links->db->listening;

    if (since && links->since
        && (ngx_msec_int_t) (links->since - since) > 0)
    {
        since = links->since;
    }

    return ngx_http_hype_cache_get(links->cache, identifier, since, pool,
                                   link);
}


static ngx_http_hype_lookup_t *
ngx_http_hype_links_lookup(ngx_http_hype_links_t *links,
    ngx_str_t *identifier)
{
    ngx_str_node_t          *node;
    ngx_http_hype_lookup_t  *lookup;

    /* all have the same key: the tree compares strings then */

    node = ngx_str_rbtree_lookup(&links->rbtree, identifier, 0);

    if (node) {
        return (ngx_http_hype_lookup_t *)
               ((u_char *) node - offsetof(ngx_http_hype_lookup_t, node));
    }

    lookup = ngx_alloc(sizeof(ngx_http_hype_lookup_t), links->log);
    if (lookup == NULL) {
        return NULL;
    }

    ngx_memcpy(lookup->data, identifier->data, identifier->len);

    lookup->node.node.key = 0;
    lookup->node.str.len = identifier->len;
    lookup->node.str.data = lookup->data;

    ngx_queue_init(&lookup->waits);
    ngx_queue_insert_tail(&links->pending, &lookup->queue);
    ngx_rbtree_insert(&links->rbtree, &lookup->node.node);

    return lookup;
}


ngx_uint_t
ngx_http_hype_links_work(ngx_http_hype_links_t *links,
    ngx_http_hype_db_conn_t *conn)
{
    int                            lengths[1];
    size_t                         size;
    u_char                        *p, *array;
    ngx_uint_t                     n;
    ngx_queue_t                   *q;
    const char                    *values[1];
    ngx_http_hype_lookup_t        *lookup;
    ngx_http_hype_db_statement_t   st;

    static const Oid               types[] = { NGX_HTTP_HYPE_ARRAY_TEXT };

    if (ngx_queue_empty(&links->pending)
        || !ngx_queue_empty(&links->flight))
    {
        return 0;
    }

    n = 0;
    size = NGX_HTTP_HYPE_ARRAY_HEADER;

    while (n < NGX_HTTP_HYPE_LINKS_MAX && !ngx_queue_empty(&links->pending)) {

        q = ngx_queue_head(&links->pending);
        lookup = ngx_queue_data(q, ngx_http_hype_lookup_t, queue);

        if (ngx_queue_empty(&lookup->waits)) {

            /* nobody waits for it any more */

            ngx_http_hype_links_free(links, lookup);
            continue;
        }

        ngx_queue_remove(q);

        if (!ngx_http_hype_cache_begin_lookup(links->cache, &lookup->node.str,
                                     links->db->conf->timeout))
        {
            ngx_queue_insert_tail(&links->foreign, q);
            continue;
        }

        ngx_queue_insert_tail(&links->flight, q);
        lookup->changed = 0;

        size += 4 + lookup->node.str.len;
        n++;
    }

    if (!ngx_queue_empty(&links->foreign) && !links->poll.timer_set) {
        ngx_add_timer(&links->poll, NGX_HTTP_HYPE_LINKS_POLL);
    }

    if (n == 0) {
        return 0;
    }

    array = ngx_alloc(size, links->log);
    if (array == NULL) {
        ngx_http_hype_links_fail(links, &links->flight);
        return 0;
    }

    p = ngx_http_hype_array_header(array, NGX_HTTP_HYPE_ARRAY_TEXT, n);

    for (q = ngx_queue_head(&links->flight);
         q != ngx_queue_sentinel(&links->flight);
         q = ngx_queue_next(q))
    {
        lookup = ngx_queue_data(q, ngx_http_hype_lookup_t, queue);

        p = ngx_http_hype_put32(p, lookup->node.str.len);
        p = ngx_cpymem(p, lookup->data, lookup->node.str.len);
    }

    values[0] = (char *) array;
    lengths[0] = size;

    ngx_memzero(&st, sizeof(ngx_http_hype_db_statement_t));

    st.sql = ngx_http_hype_links_sql;
    st.nparams = 1;
    st.types = types;
    st.values = values;
    st.lengths = lengths;
    st.handler = ngx_http_hype_links_handler;
    st.data = links;

    links->sent = ngx_current_msec;

    ngx_http_hype_db_send(conn, &st);

    ngx_free(array);

    return 1;
}


static void
ngx_http_hype_links_handler(void *data, ngx_http_hype_db_outcome_e outcome,
    PGresult *res)
{
    ngx_http_hype_links_t *links = data;

    int                      i;
    ngx_queue_t             *q;
    ngx_http_hype_link_t     link;
    ngx_http_hype_lookup_t  *lookup;

    if (outcome != NGX_HTTP_HYPE_DB_DONE) {

        /* it is asked again, as long as somebody waits for it */

        while (!ngx_queue_empty(&links->flight)) {
            q = ngx_queue_last(&links->flight);
            lookup = ngx_queue_data(q, ngx_http_hype_lookup_t, queue);

            ngx_queue_remove(q);
            ngx_queue_insert_head(&links->pending, q);

            ngx_http_hype_cache_end_lookup(links->cache, &lookup->node.str);
        }

        return;
    }

    for (i = 0; i < PQntuples(res); i++) {
        ngx_http_hype_links_row(links, res, i);
    }

    /* those that are left are unknown */

    ngx_memzero(&link, sizeof(ngx_http_hype_link_t));
    ngx_str_set(&link.user_id, "");
    ngx_str_set(&link.destination, "");

    while (!ngx_queue_empty(&links->flight)) {
        q = ngx_queue_head(&links->flight);
        lookup = ngx_queue_data(q, ngx_http_hype_lookup_t, queue);

        ngx_http_hype_links_done(links, lookup, &link);
    }
}


static void
ngx_http_hype_links_row(ngx_http_hype_links_t *links, PGresult *res, int row)
{
    ngx_str_t              identifier;
    ngx_str_node_t        *node;
    ngx_http_hype_link_t   link;

    identifier.data = (u_char *) PQgetvalue(res, row, 0);
    identifier.len = PQgetlength(res, row, 0);

    node = ngx_str_rbtree_lookup(&links->rbtree, &identifier, 0);
    if (node == NULL) {
        return;
    }

    ngx_memzero(&link, sizeof(ngx_http_hype_link_t));

    link.known = 1;
    link.id = strtoll(PQgetvalue(res, row, 1), NULL, 10);
    link.disabled = (*PQgetvalue(res, row, 4) == 't');

    if (!PQgetisnull(res, row, 5)) {
        link.expires = ngx_atoof((u_char *) PQgetvalue(res, row, 5),
                                 PQgetlength(res, row, 5));
    }

    ngx_http_hype_links_value(res, row, 2, &link.user_id);
    ngx_http_hype_links_value(res, row, 3, &link.destination);

    if (ngx_http_hype_has_control(&link.destination)) {
        ngx_log_error(NGX_LOG_ERR, links->log, 0,
                      "hype: the destination of link \"%V\" has a control "
                      "character and is not used", &identifier);
        link.destination.len = 0;
    }

    ngx_http_hype_links_done(links, (ngx_http_hype_lookup_t *)
               ((u_char *) node - offsetof(ngx_http_hype_lookup_t, node)),
               &link);
}


static void
ngx_http_hype_links_value(PGresult *res, int row, int column,
    ngx_str_t *value)
{
    value->data = (u_char *) PQgetvalue(res, row, column);
    value->len = PQgetlength(res, row, column);
}


static void
ngx_http_hype_links_done(ngx_http_hype_links_t *links,
    ngx_http_hype_lookup_t *lookup, ngx_http_hype_link_t *link)
{
    if (!lookup->changed) {
        ngx_http_hype_cache_put(links->cache, &lookup->node.str, link,
                                links->sent);
    }

    ngx_http_hype_cache_end_lookup(links->cache, &lookup->node.str);

    ngx_http_hype_links_wake(links, lookup, link);
}


/* those who wait have the link, or with NULL go on with what they have */

static void
ngx_http_hype_links_wake(ngx_http_hype_links_t *links,
    ngx_http_hype_lookup_t *lookup, ngx_http_hype_link_t *link)
{
    ngx_queue_t           *q;
    ngx_http_hype_wait_t  *wait;

    while (!ngx_queue_empty(&lookup->waits)) {
        q = ngx_queue_head(&lookup->waits);
        wait = ngx_queue_data(q, ngx_http_hype_wait_t, place);

        if (link) {
            wait->status = ngx_http_hype_links_copy(wait->pool, wait->result,
                                                    link);
        }

        ngx_http_hype_park_wake(links->park, wait);
    }

    ngx_http_hype_links_free(links, lookup);
}


static ngx_int_t
ngx_http_hype_links_copy(ngx_pool_t *pool, ngx_http_hype_link_t *dst,
    ngx_http_hype_link_t *src)
{
    *dst = *src;

    dst->user_id.data = ngx_pstrdup(pool, &src->user_id);
    dst->destination.data = ngx_pstrdup(pool, &src->destination);

    if (dst->user_id.data == NULL || dst->destination.data == NULL) {
        return NGX_ERROR;
    }

    return NGX_OK;
}


static void
ngx_http_hype_links_free(ngx_http_hype_links_t *links,
    ngx_http_hype_lookup_t *lookup)
{
    ngx_queue_remove(&lookup->queue);
    ngx_rbtree_delete(&links->rbtree, &lookup->node.node);
    ngx_free(lookup);
}


void
ngx_http_hype_links_release(ngx_http_hype_links_t *links)
{
    if (ngx_http_hype_db_available(links->db, NGX_HTTP_HYPE_DB_LINKS)) {
        return;
    }

    ngx_http_hype_links_fail(links, &links->pending);
    ngx_http_hype_links_fail(links, &links->foreign);
}


static void
ngx_http_hype_links_fail(ngx_http_hype_links_t *links, ngx_queue_t *queue)
{
    ngx_queue_t             *q;
    ngx_http_hype_lookup_t  *lookup;

    while (!ngx_queue_empty(queue)) {
        q = ngx_queue_head(queue);
        lookup = ngx_queue_data(q, ngx_http_hype_lookup_t, queue);

        ngx_http_hype_links_wake(links, lookup, NULL);
    }
}


/* what another worker has not found by now may be asked for here */

static void
ngx_http_hype_links_poll_handler(ngx_event_t *ev)
{
    ngx_int_t                rc;
    ngx_queue_t             *q;
    ngx_http_hype_link_t     link;
    ngx_http_hype_wait_t    *wait;
    ngx_http_hype_links_t   *links;
    ngx_http_hype_lookup_t  *lookup;

    links = ev->data;

    while (!ngx_queue_empty(&links->foreign)) {
        q = ngx_queue_head(&links->foreign);
        lookup = ngx_queue_data(q, ngx_http_hype_lookup_t, queue);

        if (!ngx_queue_empty(&lookup->waits)) {
            wait = ngx_queue_data(ngx_queue_head(&lookup->waits),
                                  ngx_http_hype_wait_t, place);

            rc = ngx_http_hype_links_cached(links, &lookup->node.str,
                                            wait->pool, &link);

            if (rc == NGX_OK && (links->db->listening || links->db->pooled)) {
                ngx_http_hype_links_wake(links, lookup, &link);
                continue;
            }
        }

        ngx_queue_remove(q);
        ngx_queue_insert_tail(&links->pending, q);
    }

    ngx_http_hype_db_wake(links->db, NGX_HTTP_HYPE_DB_LINKS);
}


void
ngx_http_hype_links_changed(ngx_http_hype_links_t *links,
    ngx_str_t *identifier)
{
    ngx_str_node_t          *node;
    ngx_http_hype_lookup_t  *lookup;

    if (identifier->len == 0) {

        /* anybody who can connect may send this: not as often as he likes */

        if (!links->distrust.timer_set) {
            ngx_http_hype_links_distrust(links);
            return;
        }

        links->distrusted = 1;
        return;
    }

    node = ngx_str_rbtree_lookup(&links->rbtree, identifier, 0);

    if (node) {
        lookup = (ngx_http_hype_lookup_t *)
                 ((u_char *) node - offsetof(ngx_http_hype_lookup_t, node));
        lookup->changed = 1;
    }

    ngx_http_hype_cache_delete(links->cache, identifier);
}


/* what was asked for up to now can't be trusted */

static void
ngx_http_hype_links_distrust(ngx_http_hype_links_t *links)
{
    links->distrusted = 0;
    links->since = ngx_current_msec + 1;

    ngx_add_timer(&links->distrust, NGX_HTTP_HYPE_LINKS_DISTRUST);
}


static void
ngx_http_hype_links_distrust_handler(ngx_event_t *ev)
{
    ngx_http_hype_links_t  *links;

    links = ev->data;

    /* the connection may be gone: what comes is trusted when there is one */

    if (links->distrusted && links->db->listening) {
        ngx_http_hype_links_distrust(links);
    }

    links->distrusted = 0;
}
