
#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_http_hype_column.h"
#include "ngx_http_hype_links.h"
#include "ngx_http_hype_uri.h"


/* identifiers in one query */
#define NGX_HTTP_HYPE_LINKS_MAX   1000

/* milliseconds between two looks for what another worker has found */
#define NGX_HTTP_HYPE_LINKS_POLL  5


static ngx_uint_t ngx_http_hype_links_take(ngx_http_hype_links_t *links,
    size_t *size);
static void ngx_http_hype_links_handler(void *data,
    ngx_http_hype_db_outcome_e outcome, PGresult *res);
static void ngx_http_hype_links_row(ngx_http_hype_links_t *links,
    PGresult *res, int row);
static void ngx_http_hype_links_value(PGresult *res, int row, int column,
    ngx_str_t *value);
static void ngx_http_hype_links_done(ngx_http_hype_links_t *links,
    ngx_http_hype_lookup_t *lookup, ngx_http_hype_link_t *link);


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


ngx_uint_t
ngx_http_hype_links_work(ngx_http_hype_links_t *links,
    ngx_http_hype_db_conn_t *conn)
{
    int                            length;
    size_t                         size;
    u_char                        *p, *array;
    ngx_uint_t                     n;
    ngx_queue_t                   *q;
    const char                    *value;
    ngx_http_hype_lookup_t        *lookup;
    ngx_http_hype_db_statement_t   st;

    static const Oid               types[] = { NGX_HTTP_HYPE_ARRAY_TEXT };

    if (ngx_queue_empty(&links->pending)
        || !ngx_queue_empty(&links->flight))
    {
        return 0;
    }

    n = ngx_http_hype_links_take(links, &size);

    if (!ngx_queue_empty(&links->foreign) && !links->poll.timer_set) {
        ngx_add_timer(&links->poll, NGX_HTTP_HYPE_LINKS_POLL);
    }

    if (n == 0) {
        return 0;
    }

    array = ngx_alloc(size, ngx_cycle->log);
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

        p = ngx_http_hype_column_bytes(p, lookup->data,
                                       lookup->node.str.len);
    }

    value = (char *) array;
    length = size;

    ngx_memzero(&st, sizeof(ngx_http_hype_db_statement_t));

    st.sql = ngx_http_hype_links_sql;
    st.nparams = 1;
    st.types = types;
    st.values = &value;
    st.lengths = &length;
    st.handler = ngx_http_hype_links_handler;
    st.data = links;

    links->sent = ngx_current_msec;

    ngx_http_hype_db_send(conn, &st);

    ngx_free(array);

    return 1;
}


/*
 * Moves what nobody else asks for to "flight", and returns its number; "size"
 * is that of the array
 */

static ngx_uint_t
ngx_http_hype_links_take(ngx_http_hype_links_t *links, size_t *size)
{
    ngx_uint_t               n;
    ngx_queue_t             *q;
    ngx_http_hype_lookup_t  *lookup;

    n = 0;
    *size = NGX_HTTP_HYPE_ARRAY_HEADER;

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

        *size += 4 + lookup->node.str.len;
        n++;
    }

    return n;
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
    ngx_str_t                identifier;
    ngx_http_hype_link_t     link;
    ngx_http_hype_lookup_t  *lookup;

    identifier.data = (u_char *) PQgetvalue(res, row, 0);
    identifier.len = PQgetlength(res, row, 0);

    lookup = ngx_http_hype_links_known(links, &identifier);
    if (lookup == NULL) {
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
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "hype: the destination of link \"%V\" has a control "
                      "character and is not used", &identifier);
        link.destination.len = 0;
    }

    ngx_http_hype_links_done(links, lookup, &link);
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


/* what another worker has not found by now may be asked for here */

void
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
