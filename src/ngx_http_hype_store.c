
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include "ngx_http_hype_store.h"


/* bytes of records that wait in a worker's memory */
#define NGX_HTTP_HYPE_STORE_MAX_SIZE   (16 * 1024 * 1024)

/* records from the spool in a batch: visits that come meanwhile wait for it */
#define NGX_HTTP_HYPE_STORE_CHUNK      256

/* bytes of one log line that are the record's */
#define NGX_HTTP_HYPE_STORE_LOG_LINE   1600

/*
 * milliseconds until a claim or confirm that waits for an open transaction is
 * tried again
 */
#define NGX_HTTP_HYPE_STORE_POSTPONE   500

#define NGX_HTTP_HYPE_STORE_MAINTAIN   (24 * 60 * 60 * 1000)
#define NGX_HTTP_HYPE_STORE_MAINTAIN_RETRY       (15 * 60 * 1000)
#define NGX_HTTP_HYPE_STORE_MAINTENANCE_TIMEOUT  (10 * 60 * 1000)


static void ngx_http_hype_store_queue(ngx_http_hype_store_t *store,
    ngx_http_hype_queue_t *queue);
static void ngx_http_hype_store_timer(ngx_http_hype_store_t *store,
    ngx_event_t *ev, ngx_event_handler_pt handler);
static void ngx_http_hype_store_gather_handler(ngx_event_t *ev);
static ngx_int_t ngx_http_hype_store_keep(ngx_http_hype_store_t *store,
    u_char *record, size_t size);
static void ngx_http_hype_store_drop(ngx_http_hype_store_t *store,
    u_char *record);
static void ngx_http_hype_store_reject(void *data,
    ngx_http_hype_item_t *item, const char *reason);
static ngx_int_t ngx_http_hype_store_postpone(void *data,
    ngx_http_hype_item_t *item);
static void ngx_http_hype_store_postpone_handler(ngx_event_t *ev);
static void ngx_http_hype_store_lost(void *data, u_char *record,
    size_t size);
static void ngx_http_hype_store_progress(void *data);
static void ngx_http_hype_store_wake(void *data);
static void ngx_http_hype_store_work(void *data,
    ngx_http_hype_db_conn_t *conn);
static ngx_uint_t ngx_http_hype_store_write(ngx_http_hype_store_t *store,
    ngx_http_hype_db_conn_t *conn);
static ngx_uint_t ngx_http_hype_store_drain(ngx_http_hype_store_t *store,
    ngx_http_hype_db_conn_t *conn);
static ngx_int_t ngx_http_hype_store_spooled(void *data, u_char *record,
    size_t size);
static void ngx_http_hype_store_away(void *data);
static void ngx_http_hype_store_notify(void *data, ngx_str_t *channel,
    ngx_str_t *payload);
static void ngx_http_hype_store_maintain_handler(ngx_event_t *ev);
static void ngx_http_hype_store_maintained(void *data,
    ngx_http_hype_db_outcome_e outcome, PGresult *res);


ngx_http_hype_store_t *
ngx_http_hype_store_create(ngx_cycle_t *cycle, ngx_http_hype_db_conf_t *db,
    ngx_http_hype_spool_conf_t *spool, ngx_http_hype_cache_t *cache)
{
    ngx_http_hype_store_t  *store;

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

    ngx_http_hype_store_queue(store, &store->queue);
    ngx_http_hype_store_queue(store, &store->drain);

    store->queue.worker = store->worker;

    store->report.db = store->db;
    store->report.park = &store->park;
    store->report.log = cycle->log;

    ngx_http_hype_report_init(&store->report);

    store->dummy.fd = (ngx_socket_t) -1;
    store->dummy.data = store;

    store->gather.handler = ngx_http_hype_store_gather_handler;
    store->gather.data = &store->dummy;
    store->gather.log = store->log;

    ngx_http_hype_store_timer(store, &store->postpone,
                              ngx_http_hype_store_postpone_handler);
    ngx_http_hype_store_timer(store, &store->maintain,
                              ngx_http_hype_store_maintain_handler);

    store->spool.conf = spool;
    store->spool.counters = cache->counters;
    store->spool.worker = store->worker;
    store->spool.park = &store->park;
    store->spool.log = cycle->log;
    store->spool.wake = ngx_http_hype_store_wake;
    store->spool.lost = ngx_http_hype_store_lost;
    store->spool.data = store;

    if (ngx_http_hype_spool_init(&store->spool, cycle) != NGX_OK) {
        return NULL;
    }

    store->derive.db = store->db;
    store->derive.metrics = cache->metrics;
    store->derive.spool = &store->spool;
    store->derive.log = cycle->log;

    ngx_http_hype_derive_init(&store->derive);

    if (ngx_worker == 0) {
        ngx_add_timer(&store->maintain, 1);
    }

    return store;
}


static void
ngx_http_hype_store_queue(ngx_http_hype_store_t *store,
    ngx_http_hype_queue_t *queue)
{
    queue->metrics = store->cache->metrics;
    queue->db = store->db;
    queue->park = &store->park;
    queue->log = store->log;
    queue->reject = ngx_http_hype_store_reject;
    queue->postpone = ngx_http_hype_store_postpone;
    queue->progress = ngx_http_hype_store_progress;
    queue->data = store;

    ngx_http_hype_queue_init(queue);
}


static void
ngx_http_hype_store_timer(ngx_http_hype_store_t *store, ngx_event_t *ev,
    ngx_event_handler_pt handler)
{
    ev->handler = handler;
    ev->data = &store->dummy;
    ev->log = store->log;
    ev->cancelable = 1;
}


void
ngx_http_hype_store_close(ngx_http_hype_store_t *store)
{
    ngx_queue_t           *q;
    ngx_http_hype_item_t  *item;

    store->spool.closing = 1;

    ngx_http_hype_db_close(store->db);

    /* what was read from the spool is still there */

    while (!ngx_queue_empty(&store->drain.items)) {
        q = ngx_queue_head(&store->drain.items);
        item = ngx_queue_data(q, ngx_http_hype_item_t, queue);

        ngx_http_hype_queue_remove(&store->drain, item);
    }

    while (!ngx_queue_empty(&store->queue.items)) {
        q = ngx_queue_head(&store->queue.items);
        item = ngx_queue_data(q, ngx_http_hype_item_t, queue);

        if (ngx_http_hype_spool_append(&store->spool, item->record,
                                       item->size)
            != NGX_OK)
        {
            ngx_http_hype_store_drop(store, item->record);
        }

        ngx_http_hype_queue_remove(&store->queue, item);
    }

    ngx_http_hype_spool_close(&store->spool);
    ngx_http_hype_report_close(&store->report);

    store->worker->pid = 0;
}


ngx_int_t
ngx_http_hype_store_hit(ngx_http_hype_store_t *store, ngx_str_t *identifier,
    ngx_http_hype_row_t *row, ngx_uint_t late, ngx_uint_t spool,
    ngx_http_hype_ticket_t *ticket)
{
    u_char                *p;
    size_t                 size;
    ngx_uint_t             room;
    ngx_http_hype_item_t  *item;

    ticket->status = NGX_HTTP_HYPE_TICKET_WAITS;

    size = ngx_http_hype_record_hit_length(identifier, row);

    room = (store->queue.size + size <= NGX_HTTP_HYPE_STORE_MAX_SIZE
            && ngx_http_hype_db_available(store->db, NGX_HTTP_HYPE_DB_HITS));

    if (spool || !room) {
        p = ngx_http_hype_spool_reserve(&store->spool, size);

        if (p) {
            (void) ngx_http_hype_record_hit(p, identifier, row);

            ngx_http_hype_spool_commit(&store->spool, size, ticket);
            ngx_http_hype_park(&store->park, ticket->parked);

            return NGX_AGAIN;
        }
    }

    item = ngx_http_hype_queue_alloc(&store->queue, size);
    if (item == NULL) {
        ticket->status = NGX_HTTP_HYPE_TICKET_DROPPED;
        return NGX_OK;
    }

    (void) ngx_http_hype_record_hit(item->record, identifier, row);

    item->late = late;

    if (room) {
        item->ticket = ticket;
        ticket->item = item;

        ngx_http_hype_park(&store->park, ticket->parked);
        ngx_http_hype_queue_push(&store->queue, item);

        /* all hits of a turn of the event loop are one batch */

        ngx_post_event(&store->gather, &ngx_posted_events);

        return NGX_AGAIN;
    }

    ticket->status = NGX_HTTP_HYPE_TICKET_SPOOLED;

    if (ngx_http_hype_store_keep(store, item->record, size) != NGX_OK) {
        ticket->status = NGX_HTTP_HYPE_TICKET_DROPPED;
        ngx_http_hype_store_drop(store, item->record);
    }

    ngx_free(item);

    return NGX_OK;
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

    if (ngx_http_hype_store_keep(store, record, size) != NGX_OK) {
        ngx_http_hype_store_drop(store, record);
    }

    ngx_free(record);
}


static void
ngx_http_hype_store_gather_handler(ngx_event_t *ev)
{
    ngx_connection_t       *dummy;
    ngx_http_hype_store_t  *store;

    dummy = ev->data;
    store = dummy->data;

    ngx_http_hype_db_wake(store->db, NGX_HTTP_HYPE_DB_HITS);
}


/* in the spool, or if that can't take it, in memory */

static ngx_int_t
ngx_http_hype_store_keep(ngx_http_hype_store_t *store, u_char *record,
    size_t size)
{
    ngx_http_hype_item_t  *item;

    if (ngx_http_hype_spool_append(&store->spool, record, size) == NGX_OK) {
        return NGX_OK;
    }

    if (store->queue.size + size > NGX_HTTP_HYPE_STORE_MAX_SIZE) {
        return NGX_ERROR;
    }

    item = ngx_http_hype_queue_alloc(&store->queue, size);
    if (item == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(item->record, record, size);
    item->late = 1;

    ngx_http_hype_queue_push(&store->queue, item);
    ngx_http_hype_db_wake(store->db, NGX_HTTP_HYPE_DB_HITS);

    return NGX_OK;
}


/* the log has the last copy: a statement that restores it */

static void
ngx_http_hype_store_drop(ngx_http_hype_store_t *store, u_char *record)
{
    u_char      *p, *last, *sql;
    size_t       len;
    ngx_uint_t   n;

    ngx_http_hype_count(store->cache, NGX_HTTP_HYPE_DROPPED, 1);

    sql = ngx_alloc(ngx_http_hype_record_sql_length(record), store->log);
    if (sql == NULL) {
        return;
    }

    last = ngx_http_hype_record_sql(sql, record);

    for (n = 1, p = sql; p < last; p += len, n++) {
        len = ngx_min(last - p, NGX_HTTP_HYPE_STORE_LOG_LINE);

        ngx_log_error(NGX_LOG_ALERT, store->log, 0,
                      "hype: dropped, part %ui%s: %*s",
                      n, (p + len < last) ? "" : ", the last", len, p);
    }

    ngx_free(sql);
}


static void
ngx_http_hype_store_reject(void *data, ngx_http_hype_item_t *item,
    const char *reason)
{
    ngx_http_hype_store_t *store = data;

    u_char     *p, *line, *text;
    size_t      len;
    ngx_int_t   rc;

    ngx_http_hype_count(store->cache, NGX_HTTP_HYPE_REJECTED, 1);

    len = strcspn(reason, "\n");

    line = ngx_alloc(sizeof("-- : \n;\n") + ngx_cached_http_log_iso8601.len
                     + len + ngx_http_hype_record_sql_length(item->record),
                     store->log);

    if (line == NULL) {
        ngx_http_hype_store_drop(store, item->record);
        return;
    }

    text = ngx_sprintf(line, "-- %V: ", &ngx_cached_http_log_iso8601);
    p = ngx_cpymem(text, reason, len);

    /* a trigger may quote a visitor; what ends the comment would be run */

    ngx_http_hype_db_clean(text, len);

    *p++ = LF;
    p = ngx_http_hype_record_sql(p, item->record);
    p = ngx_cpymem(p, ";\n", 2);

    rc = ngx_http_hype_spool_set_aside(&store->spool, line, p - line);

    ngx_log_error(NGX_LOG_ERR, store->log, 0,
                  "hype: a record that PostgreSQL refuses is set aside%s: "
                  "%*s", (rc == NGX_OK) ? " in rejected.sql" : "", len, text);

    ngx_free(line);

    if (rc != NGX_OK) {
        ngx_http_hype_store_drop(store, item->record);
    }
}


static ngx_int_t
ngx_http_hype_store_postpone(void *data, ngx_http_hype_item_t *item)
{
    ngx_http_hype_store_t *store = data;

    if (ngx_http_hype_store_keep(store, item->record, item->size) != NGX_OK) {
        return NGX_ERROR;
    }

    store->postponed++;

    return NGX_OK;
}


static void
ngx_http_hype_store_postpone_handler(ngx_event_t *ev)
{
    ngx_connection_t  *dummy;

    dummy = ev->data;

    ngx_http_hype_store_wake(dummy->data);
}


static void
ngx_http_hype_store_lost(void *data, u_char *record, size_t size)
{
    ngx_http_hype_store_t *store = data;

    if (ngx_http_hype_store_keep(store, record, size) != NGX_OK) {
        ngx_http_hype_store_drop(store, record);
    }
}


void
ngx_http_hype_store_expire(ngx_http_hype_store_t *store,
    ngx_http_hype_ticket_t *ticket)
{
    ngx_http_hype_item_t  *item;

    item = ticket->item;

    ngx_http_hype_store_leave(ticket);

    ticket->status = NGX_HTTP_HYPE_TICKET_SPOOLED;

    if (item == NULL) {
        return;
    }

    /* without a spool it stays in memory, which has its place already */

    if (ngx_http_hype_spool_append(&store->spool, item->record, item->size)
        != NGX_OK)
    {
        /*
         * the visitor goes on, and may be claimed before the hit is in the
         * table; a batch under way takes no notice of that
         */

        item->late = 1;
        item->again |= item->flight;

        return;
    }

    if (item->flight) {
        item->spooled = 1;
        return;
    }

    ngx_http_hype_queue_remove(&store->queue, item);
}


void
ngx_http_hype_store_leave(ngx_http_hype_ticket_t *ticket)
{
    if (ticket->item) {
        ticket->item->ticket = NULL;
        ticket->item = NULL;
    }

    if (ticket->spooling) {
        ngx_queue_remove(&ticket->queue);
        ticket->spooling = 0;
    }
}


static void
ngx_http_hype_store_progress(void *data)
{
    ngx_http_hype_store_t *store = data;

    if (store->drain.n) {
        return;
    }

    ngx_http_hype_spool_advance(&store->spool);

    ngx_http_hype_count(store->cache, NGX_HTTP_HYPE_SPOOL_REPLAYED,
                        store->chunk);

    if (store->postponed && store->postponed == store->chunk) {

        /* there is nothing else to do, so far */

        ngx_add_timer(&store->postpone, NGX_HTTP_HYPE_STORE_POSTPONE);
    }

    store->chunk = 0;
    store->postponed = 0;
}


static void
ngx_http_hype_store_wake(void *data)
{
    ngx_http_hype_store_t *store = data;

    if (ngx_exiting) {

        /* it does not drain */

        return;
    }

    ngx_http_hype_db_wake(store->db, NGX_HTTP_HYPE_DB_HITS);
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

        if (ngx_http_hype_report_work(&store->report, conn)) {
            return;
        }

        if (store->maintaining) {
            st.sql = "SELECT hype.maintain()";
            st.timeout = NGX_HTTP_HYPE_STORE_MAINTENANCE_TIMEOUT;
            st.handler = ngx_http_hype_store_maintained;

            store->maintaining = 0;
            ngx_http_hype_db_send(conn, &st);
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


static ngx_uint_t
ngx_http_hype_store_write(ngx_http_hype_store_t *store,
    ngx_http_hype_db_conn_t *conn)
{
    if (!(conn->roles & NGX_HTTP_HYPE_DB_HITS)) {
        return 0;
    }

    if (ngx_http_hype_batch_prepare(conn)) {
        return 1;
    }

    /* while there is a backlog, it has every other turn */

    if (store->drained) {
        store->drained = 0;

        if (ngx_http_hype_queue_work(&store->queue, conn)) {
            return 1;
        }
    }

    if (ngx_http_hype_store_drain(store, conn)) {
        store->drained = 1;
        return 1;
    }

    return ngx_http_hype_queue_work(&store->queue, conn);
}


static ngx_uint_t
ngx_http_hype_store_drain(ngx_http_hype_store_t *store,
    ngx_http_hype_db_conn_t *conn)
{
    if (ngx_exiting && store->drain.n == 0) {

        /* a worker that stays will do it */

        return 0;
    }

    if (store->postpone.timer_set) {
        return 0;
    }

    if (store->drain.n == 0) {
        store->chunk = ngx_http_hype_spool_read(&store->spool,
                                                NGX_HTTP_HYPE_STORE_CHUNK,
                                                ngx_http_hype_store_spooled);
    }

    return ngx_http_hype_queue_work(&store->drain, conn);
}


static ngx_int_t
ngx_http_hype_store_spooled(void *data, u_char *record, size_t size)
{
    ngx_http_hype_store_t *store = data;

    ngx_http_hype_item_t  *item;

    item = ngx_http_hype_queue_alloc(&store->drain, size);
    if (item == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(item->record, record, size);
    item->late = 1;

    ngx_http_hype_queue_push(&store->drain, item);

    return NGX_OK;
}


static void
ngx_http_hype_store_away(void *data)
{
    ngx_http_hype_store_t *store = data;

    ngx_queue_t             *q, *next;
    ngx_http_hype_item_t    *item;
    ngx_http_hype_parked_t  *parked;

    ngx_http_hype_links_away(&store->links);
    ngx_http_hype_report_away(&store->report);

    if (store->away
        || ngx_http_hype_db_available(store->db, NGX_HTTP_HYPE_DB_HITS))
    {
        return;
    }

    /* what is left to memory may open a connection, which may fail at once */

    store->away = 1;

    for (q = ngx_queue_head(&store->queue.items);
         q != ngx_queue_sentinel(&store->queue.items);
         q = next)
    {
        next = ngx_queue_next(q);
        item = ngx_queue_data(q, ngx_http_hype_item_t, queue);

        if (item->ticket) {
            parked = item->ticket->parked;

            ngx_http_hype_store_expire(store, item->ticket);
            ngx_http_hype_park_wake(&store->park, parked);
        }
    }

    store->away = 0;
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
    ngx_connection_t       *dummy;
    ngx_http_hype_store_t  *store;

    dummy = ev->data;
    store = dummy->data;

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
