
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include "ngx_http_hype_store.h"


/*
 * Microseconds that a batch may take while visits come, at least; where they
 * have another connection; and when none come.
 */
#define NGX_HTTP_HYPE_STORE_SHORT      1000
#define NGX_HTTP_HYPE_STORE_BESIDE     4000
#define NGX_HTTP_HYPE_STORE_LONG       100000

/* milliseconds since the last visit, for it to be quiet */
#define NGX_HTTP_HYPE_STORE_QUIET      1000


#define NGX_HTTP_HYPE_STORE_MAINTAIN   (24 * 60 * 60 * 1000)
#define NGX_HTTP_HYPE_STORE_MAINTAIN_RETRY       (15 * 60 * 1000)
#define NGX_HTTP_HYPE_STORE_MAINTENANCE_TIMEOUT  (10 * 60 * 1000)


static void ngx_http_hype_store_gather_handler(ngx_event_t *ev);
static void ngx_http_hype_store_work(void *data,
    ngx_http_hype_db_conn_t *conn);
static ngx_uint_t ngx_http_hype_store_write(ngx_http_hype_store_t *store,
    ngx_http_hype_db_conn_t *conn);
static ngx_uint_t ngx_http_hype_store_visited(ngx_http_hype_store_t *store);
static ngx_uint_t ngx_http_hype_store_spare(ngx_http_hype_store_t *store,
    ngx_http_hype_db_conn_t *conn);
static ngx_uint_t ngx_http_hype_store_target(ngx_http_hype_store_t *store);
static void ngx_http_hype_store_away(void *data);
static void ngx_http_hype_store_away_handler(ngx_event_t *ev);
static void ngx_http_hype_store_away_item(void *data,
    ngx_http_hype_item_t *item);
static void ngx_http_hype_store_notify(void *data, ngx_str_t *channel,
    ngx_str_t *payload);
static void ngx_http_hype_store_maintain_handler(ngx_event_t *ev);
static void ngx_http_hype_store_maintained(void *data,
    ngx_http_hype_db_outcome_e outcome, PGresult *res);


ngx_http_hype_store_t *
ngx_http_hype_store_create(ngx_cycle_t *cycle, ngx_http_hype_db_conf_t *db,
    ngx_http_hype_spool_conf_t *spool, ngx_http_hype_cache_t *cache)
{
    ngx_uint_t               n;
    ngx_http_hype_store_t   *store;
    ngx_http_hype_stream_t  *stream;

    store = ngx_pcalloc(cycle->pool, sizeof(ngx_http_hype_store_t));
    if (store == NULL) {
        return NULL;
    }

    store->worker = ngx_http_hype_metrics_join(cache->metrics, cycle->pool);
    if (store->worker == NULL) {
        return NULL;
    }

    store->db = ngx_http_hype_db_create(cycle, db, cache->metrics,
                                        store->worker);
    if (store->db == NULL) {
        return NULL;
    }

    store->db->work = ngx_http_hype_store_work;
    store->db->notify = ngx_http_hype_store_notify;
    store->db->away = ngx_http_hype_store_away;
    store->db->data = store;

    store->cache = cache;
    store->log = cycle->log;

    ngx_http_hype_park_init(&store->park, db->timeout,
                            &store->worker->waiting, cycle->log);

    store->links.cache = cache;
    store->links.db = store->db;
    store->links.park = &store->park;
    store->links.log = cycle->log;

    ngx_http_hype_links_init(&store->links);

    store->report.db = store->db;
    store->report.park = &store->park;
    store->report.log = cycle->log;

    ngx_http_hype_report_init(&store->report);

    ngx_http_hype_event_init(&store->gather,
                             ngx_http_hype_store_gather_handler,
                             store, store->log, 0);

    ngx_http_hype_event_init(&store->away, ngx_http_hype_store_away_handler,
                             store, store->log, 0);

    ngx_http_hype_event_init(&store->maintain,
                             ngx_http_hype_store_maintain_handler,
                             store, store->log, 1);

    for (n = 0; n < NGX_HTTP_HYPE_STREAMS; n++) {
        stream = &store->streams[n];

        stream->db = store->db;
        stream->cache = cache;
        stream->park = &store->park;
        stream->worker = store->worker;
        stream->log = cycle->log;
    }

    if (ngx_http_hype_streams_init(store->streams, spool, cycle) != NGX_OK) {
        return NULL;
    }

    store->derive.db = store->db;
    store->derive.metrics = cache->metrics;
    store->derive.log = cycle->log;

    ngx_http_hype_derive_init(&store->derive);

    if (ngx_worker == 0) {
        ngx_add_timer(&store->maintain, 1);
    }

    return store;
}


void
ngx_http_hype_store_close(ngx_http_hype_store_t *store)
{
    ngx_http_hype_db_close(store->db);
    ngx_http_hype_streams_close(store->streams);
    ngx_http_hype_report_close(&store->report);

    store->worker->pid = 0;
}


ngx_int_t
ngx_http_hype_store_hit(ngx_http_hype_store_t *store, ngx_str_t *identifier,
    ngx_http_hype_row_t *row, ngx_uint_t spool, ngx_http_hype_wait_t *wait)
{
    u_char                  *p;
    size_t                   size;
    ngx_int_t                rc;
    ngx_uint_t               live;
    ngx_http_hype_item_t    *item;
    ngx_http_hype_stream_t  *stream;

    stream = &store->streams[NGX_HTTP_HYPE_STREAM_HITS];

    size = ngx_http_hype_record_hit_length(identifier, row);

    live = identifier->len == 0
           && ngx_http_hype_stream_room(stream, size)
           && ngx_http_hype_db_available(store->db, NGX_HTTP_HYPE_DB_HITS);

    if (spool || !live) {
        p = ngx_http_hype_spool_reserve(&stream->spool, size);

        if (p) {
            (void) ngx_http_hype_record_hit(p, identifier, row);

            ngx_http_hype_spool_commit(&stream->spool, size, wait);

            return NGX_AGAIN;
        }
    }

    item = ngx_http_hype_queue_alloc(&stream->queue, size);
    if (item == NULL) {
        wait->status = NGX_ERROR;
        return NGX_OK;
    }

    (void) ngx_http_hype_record_hit(item->record, identifier, row);

    if (live) {
        store->visited = ngx_current_msec;

        ngx_http_hype_park(&store->park, wait, &item->waits, item,
                           NGX_DECLINED);
        ngx_http_hype_queue_push(&stream->queue, item);

        /* all hits of a turn of the event loop are one batch */

        ngx_post_event(&store->gather, &ngx_posted_events);

        return NGX_AGAIN;
    }

    rc = ngx_http_hype_stream_keep(stream, item->record, size);

    wait->status = (rc == NGX_OK) ? NGX_DECLINED : NGX_ERROR;

    ngx_free(item);

    return NGX_OK;
}


void
ngx_http_hype_store_keep_hit(ngx_http_hype_store_t *store,
    ngx_str_t *identifier, ngx_http_hype_row_t *row)
{
    u_char  *record;
    size_t   size;

    size = ngx_http_hype_record_hit_length(identifier, row);

    record = ngx_alloc(size, store->log);
    if (record == NULL) {
        ngx_http_hype_count(store->cache, NGX_HTTP_HYPE_DROPPED, 1);
        return;
    }

    (void) ngx_http_hype_record_hit(record, identifier, row);

    (void) ngx_http_hype_stream_keep(
                                   &store->streams[NGX_HTTP_HYPE_STREAM_HITS],
                                   record, size);

    ngx_free(record);
}


void
ngx_http_hype_store_event(ngx_http_hype_store_t *store,
    ngx_http_hype_record_type_e type, ngx_http_hype_event_t *event)
{
    u_char  *record;
    size_t   size;

    size = ngx_http_hype_record_event_length(event);

    record = ngx_alloc(size, store->log);
    if (record == NULL) {
        ngx_http_hype_count(store->cache, NGX_HTTP_HYPE_DROPPED, 1);
        return;
    }

    (void) ngx_http_hype_record_event(record, type, event);

    (void) ngx_http_hype_stream_keep(
                             &store->streams[type - NGX_HTTP_HYPE_RECORD_HIT],
                             record, size);

    ngx_free(record);
}


static void
ngx_http_hype_store_gather_handler(ngx_event_t *ev)
{
    ngx_http_hype_store_t  *store;

    store = ev->data;

    ngx_http_hype_db_wake(store->db, NGX_HTTP_HYPE_DB_HITS);
}


void
ngx_http_hype_store_expire(ngx_http_hype_store_t *store,
    ngx_http_hype_wait_t *wait)
{
    if (wait->owner) {
        ngx_http_hype_stream_expire(&store->streams[NGX_HTTP_HYPE_STREAM_HITS],
                                    wait->owner);
    }
}


static void
ngx_http_hype_store_work(void *data, ngx_http_hype_db_conn_t *conn)
{
    ngx_http_hype_store_t *store = data;

    ngx_http_hype_db_statement_t  st;

    ngx_memzero(&st, sizeof(ngx_http_hype_db_statement_t));

    st.data = store;

    if (conn->roles & NGX_HTTP_HYPE_DB_DERIVE) {
        ngx_http_hype_derive_work(&store->derive, conn);
        return;
    }

    if (conn->roles & NGX_HTTP_HYPE_DB_CARE) {

        if (store->maintaining) {
            st.sql = "SELECT hype.maintain()";
            st.timeout = NGX_HTTP_HYPE_STORE_MAINTENANCE_TIMEOUT;
            st.handler = ngx_http_hype_store_maintained;

            store->maintaining = 0;
            ngx_http_hype_db_send(conn, &st);
            return;
        }

        if (ngx_http_hype_report_work(&store->report, conn)) {
            return;
        }
    }

    /* where there is but one connection, hits have every other turn */

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
 * Hits that somebody waits for have every other turn, and the others take the
 * rest in turn.
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
 * Whether a connection may take what nobody waits for.  While visits come,
 * another one is to be free for them, if there are several; it asks again when
 * it has written theirs.
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


/* a visitor waits for the batch under way: no longer than for his own */

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


static void
ngx_http_hype_store_away(void *data)
{
    ngx_http_hype_store_t *store = data;

    ngx_post_event(&store->away, &ngx_posted_events);
}


/* nobody need wait for what is not available; it may be again by now */

static void
ngx_http_hype_store_away_handler(ngx_event_t *ev)
{
    ngx_http_hype_store_t  *store;

    store = ev->data;

    ngx_http_hype_links_away(&store->links);
    ngx_http_hype_report_away(&store->report);

    if (!ngx_http_hype_db_available(store->db, NGX_HTTP_HYPE_DB_HITS)) {
        ngx_http_hype_queue_each(
                             &store->streams[NGX_HTTP_HYPE_STREAM_HITS].queue,
                             ngx_http_hype_store_away_item, store);
    }
}


static void
ngx_http_hype_store_away_item(void *data, ngx_http_hype_item_t *item)
{
    ngx_http_hype_store_t *store = data;

    if (ngx_queue_empty(&item->waits)) {
        return;
    }

    ngx_http_hype_park_wake_all(&store->park, &item->waits, NGX_DECLINED);

    ngx_http_hype_stream_expire(&store->streams[NGX_HTTP_HYPE_STREAM_HITS],
                                item);
}


static void
ngx_http_hype_store_notify(void *data, ngx_str_t *channel,
    ngx_str_t *payload)
{
    ngx_http_hype_store_t *store = data;

    if (ngx_strcmp(channel->data, "hype_link") == 0) {
        ngx_http_hype_links_changed(&store->links, payload);
        return;
    }

    ngx_http_hype_derive_notify(&store->derive);
}


static void
ngx_http_hype_store_maintain_handler(ngx_event_t *ev)
{
    ngx_http_hype_store_t  *store;

    store = ev->data;

    /* this worker also hears of claims, so it is connected all the time */

    store->maintaining = 1;

    ngx_http_hype_db_wake(store->db, NGX_HTTP_HYPE_DB_LINKS);
    ngx_http_hype_db_wake(store->db, NGX_HTTP_HYPE_DB_CARE);

    ngx_add_timer(ev, NGX_HTTP_HYPE_STORE_MAINTAIN_RETRY);
}


static void
ngx_http_hype_store_maintained(void *data,
    ngx_http_hype_db_outcome_e outcome, PGresult *res)
{
    ngx_http_hype_store_t *store = data;

    if (outcome == NGX_HTTP_HYPE_DB_DONE) {
        ngx_add_timer(&store->maintain, NGX_HTTP_HYPE_STORE_MAINTAIN);

        ngx_log_error(NGX_LOG_INFO, store->log, 0,
                      "hype: the database is maintained for today");
    }
}
