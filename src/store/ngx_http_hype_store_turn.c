
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include "ngx_http_hype_store.h"


/*
 * How long a batch that no visitor waits for may take, in microseconds: at
 * least, while visits come; while visits have another connection; and while no
 * visits come.
 */
#define NGX_HTTP_HYPE_STORE_SHORT      1000
#define NGX_HTTP_HYPE_STORE_BESIDE     4000
#define NGX_HTTP_HYPE_STORE_LONG       100000

/* no visits come if the last one was so many milliseconds ago */
#define NGX_HTTP_HYPE_STORE_QUIET      1000


static ngx_uint_t ngx_http_hype_store_write(ngx_http_hype_store_t *store,
    ngx_http_hype_db_conn_t *conn);
static ngx_uint_t ngx_http_hype_store_visited(ngx_http_hype_store_t *store);
static ngx_uint_t ngx_http_hype_store_spare(ngx_http_hype_store_t *store,
    ngx_http_hype_db_conn_t *conn);
static ngx_uint_t ngx_http_hype_store_target(ngx_http_hype_store_t *store);


void
ngx_http_hype_store_work(void *data, ngx_http_hype_db_conn_t *conn)
{
    ngx_http_hype_store_t *store = data;

    if (conn->roles & NGX_HTTP_HYPE_DB_DERIVE) {
        ngx_http_hype_derive_work(&store->derive, conn);
        return;
    }

    if (conn->roles & NGX_HTTP_HYPE_DB_PAGES) {
        if (!ngx_http_hype_relay_work(&store->relay, conn)) {
            (void) ngx_http_hype_report_work(&store->owner, conn);
        }

        return;
    }

    if (conn->roles & NGX_HTTP_HYPE_DB_CHORES) {
        if (!ngx_http_hype_store_maintain(store, conn)) {
            (void) ngx_http_hype_report_work(&store->report, conn);
        }

        return;
    }

    /* with only one connection, hits have every other turn */

    if (store->looked) {
        store->looked = 0;

        if (ngx_http_hype_store_write(store, conn)) {
            return;
        }
    }

    if (conn->roles & NGX_HTTP_HYPE_DB_LINKS) {
        store->looked = 1;

        if (ngx_http_hype_links_work(&store->links, conn)) {
            return;
        }

        store->looked = 0;
    }

    (void) ngx_http_hype_store_write(store, conn);
}


/*
 * Hits that a visitor waits for have every other turn.  The streams share the
 * other turns.
 */

static ngx_uint_t
ngx_http_hype_store_write(ngx_http_hype_store_t *store,
    ngx_http_hype_db_conn_t *conn)
{
    ngx_uint_t               i, n, done, target;
    ngx_http_hype_stream_t  *hits, *stream;

    if (!(conn->roles & NGX_HTTP_HYPE_DB_HITS)) {
        return 0;
    }

    if (ngx_http_hype_batch_prepare(conn)) {
        return 1;
    }

    hits = &store->streams[NGX_HTTP_HYPE_STREAM_HITS];

    conn->flags &= ~NGX_HTTP_HYPE_CONN_BACKLOG;

    if (!ngx_http_hype_store_spare(store, conn)) {
        return ngx_http_hype_stream_write(hits, conn, 0);
    }

    if (store->others && ngx_http_hype_stream_write(hits, conn, 0)) {
        store->others = 0;
        return 1;
    }

    target = ngx_http_hype_store_target(store);

    for (i = 0; i < NGX_HTTP_HYPE_STREAMS; i++) {
        n = (store->next + i) % NGX_HTTP_HYPE_STREAMS;
        stream = &store->streams[n];

        done = (stream == hits)
               ? ngx_http_hype_stream_drain(stream, conn, target)
               : ngx_http_hype_stream_work(stream, conn, target);

        if (done) {
            store->next = n + 1;
            store->others = 1;
            conn->flags |= NGX_HTTP_HYPE_CONN_BACKLOG;
            return 1;
        }
    }

    return ngx_http_hype_stream_write(hits, conn, 0);
}


static ngx_uint_t
ngx_http_hype_store_visited(ngx_http_hype_store_t *store)
{
    return ngx_current_msec - store->visited <= NGX_HTTP_HYPE_STORE_QUIET;
}


/*
 * Whether a connection may send what no visitor waits for.  While visits come,
 * another connection has to be left for them, if there are several.  This one
 * asks again when it has written visits.
 */

static ngx_uint_t
ngx_http_hype_store_spare(ngx_http_hype_store_t *store,
    ngx_http_hype_db_conn_t *conn)
{
    ngx_uint_t                i, n;
    ngx_http_hype_db_conn_t  *other;

    if (!ngx_http_hype_store_visited(store)) {
        return 1;
    }

    n = 0;

    for (i = 0; i < store->db->nconns; i++) {
        other = &store->db->conns[i];

        if (other == conn || !(other->roles & NGX_HTTP_HYPE_DB_HITS)) {
            continue;
        }

        if (!(other->flags & NGX_HTTP_HYPE_CONN_BACKLOG)) {
            return 1;
        }

        n++;
    }

    return n == 0;
}


/* a visitor may wait for this batch: no longer than for the visitor's own */

static ngx_uint_t
ngx_http_hype_store_target(ngx_http_hype_store_t *store)
{
    ngx_uint_t  least;

    if (!ngx_http_hype_store_visited(store)) {
        return NGX_HTTP_HYPE_STORE_LONG;
    }

    /* one for links, and at least two for hits: see "spare" */

    least = (store->db->conf->connections > 2) ? NGX_HTTP_HYPE_STORE_BESIDE
                                               : NGX_HTTP_HYPE_STORE_SHORT;

    return ngx_max(store->streams[NGX_HTTP_HYPE_STREAM_HITS].queue.time,
                   least);
}
