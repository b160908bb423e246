
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include "ngx_http_hype_stream.h"


/* bytes of records that wait in a worker's memory */
#define NGX_HTTP_HYPE_STREAM_MAX_SIZE   (16 * 1024 * 1024)

/* and the part of it that claims and confirms have each */
#define NGX_HTTP_HYPE_STREAM_SHARE      4

/* records from the spool that are tried again while others are read */
#define NGX_HTTP_HYPE_STREAM_TRIALS     1000

/* milliseconds between two log lines about records that are set aside */
#define NGX_HTTP_HYPE_STREAM_LOG        10000

/* maximum number of bytes of a record in a log line */
#define NGX_HTTP_HYPE_STREAM_LOG_LINE   800


static void ngx_http_hype_stream_drop(ngx_http_hype_stream_t *stream,
    u_char *record, const char *reason);
static void ngx_http_hype_stream_tell(ngx_http_hype_stream_t *stream,
    u_char *record);
static void ngx_http_hype_stream_save(void *data,
    ngx_http_hype_item_t *item);
static void ngx_http_hype_stream_forget(void *data,
    ngx_http_hype_item_t *item);
static void ngx_http_hype_stream_report(ngx_http_hype_stream_t *stream,
    const char *reason);
static void ngx_http_hype_stream_report_handler(ngx_event_t *ev);
static void ngx_http_hype_stream_log(ngx_http_hype_stream_t *stream,
    const char *reason);
static void ngx_http_hype_stream_pause_handler(ngx_event_t *ev);
static void ngx_http_hype_stream_wake_handler(ngx_event_t *ev);
static void ngx_http_hype_stream_lost(void *data, u_char *record,
    size_t size);
static ngx_int_t ngx_http_hype_stream_read(void *data, u_char *record,
    size_t size, ngx_uint_t number, ngx_uint_t adopted);


ngx_int_t
ngx_http_hype_streams_init(ngx_http_hype_stream_t *streams,
    ngx_http_hype_db_t *db, ngx_http_hype_cache_t *cache,
    ngx_http_hype_park_t *park, ngx_http_hype_spool_conf_t *spool,
    ngx_cycle_t *cycle)
{
    ngx_uint_t               n;
    ngx_http_hype_stream_t  *stream;

    for (n = 0; n < NGX_HTTP_HYPE_STREAMS; n++) {
        stream = &streams[n];

        stream->n = n;
        stream->db = db;
        stream->cache = cache;
        stream->park = park;

        ngx_http_hype_event_init(&stream->faults.pause,
                                 ngx_http_hype_stream_pause_handler,
                                 stream, 1);

        ngx_http_hype_event_init(&stream->wake,
                                 ngx_http_hype_stream_wake_handler, stream, 0);

        ngx_http_hype_event_init(&stream->report,
                                 ngx_http_hype_stream_report_handler,
                                 stream, 1);

        ngx_http_hype_queue_init(&stream->queue, stream);
        ngx_http_hype_queue_init(&stream->drain, stream);

        stream->queue.worker = db->worker;

        stream->spool.stream = n;
        stream->spool.counters = cache->counters;
        stream->spool.worker = db->worker;
        stream->spool.park = park;
        stream->spool.threads = db->threads;
        stream->spool.wake = ngx_http_hype_stream_wake;
        stream->spool.lost = ngx_http_hype_stream_lost;
        stream->spool.data = stream;

        if (ngx_http_hype_spool_init(&stream->spool, spool, cycle) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


void
ngx_http_hype_streams_close(ngx_http_hype_stream_t *streams)
{
    ngx_uint_t               n;
    ngx_http_hype_stream_t  *stream;

    for (n = 0; n < NGX_HTTP_HYPE_STREAMS; n++) {
        stream = &streams[n];

        stream->spool.closing = 1;

        ngx_http_hype_queue_each(&stream->drain, ngx_http_hype_stream_forget,
                                 stream);
        ngx_http_hype_queue_each(&stream->queue, ngx_http_hype_stream_save,
                                 stream);

        ngx_http_hype_spool_close(&stream->spool);

        ngx_http_hype_stream_log(stream, NULL);
    }
}


ngx_uint_t
ngx_http_hype_stream_room(ngx_http_hype_stream_t *stream, size_t size)
{
    size_t  max;

    max = NGX_HTTP_HYPE_STREAM_MAX_SIZE;

    if (stream->n != NGX_HTTP_HYPE_STREAM_HITS) {
        max /= NGX_HTTP_HYPE_STREAM_SHARE;
    }

    return stream->queue.size + size <= max;
}


ngx_int_t
ngx_http_hype_stream_keep(ngx_http_hype_stream_t *stream,
    ngx_http_hype_item_t *item)
{
    if (ngx_http_hype_spool_append(&stream->spool, item->record, item->size)
        == NGX_OK)
    {
        ngx_free(item);
        return NGX_OK;
    }

    if (!ngx_http_hype_stream_room(stream, item->size)) {
        ngx_http_hype_stream_drop(stream, item->record, "no room");
        ngx_free(item);
        return NGX_ERROR;
    }

    ngx_http_hype_queue_push(&stream->queue, item);
    ngx_http_hype_db_wake(stream->db, NGX_HTTP_HYPE_DB_HITS);

    return NGX_OK;
}


static void
ngx_http_hype_stream_drop(ngx_http_hype_stream_t *stream, u_char *record,
    const char *reason)
{
    ngx_int_t  rc;

    ngx_http_hype_count(stream->cache, NGX_HTTP_HYPE_DROPPED, 1);

    stream->dropped++;

    rc = ngx_http_hype_spool_set_aside(&stream->spool,
                                       NGX_HTTP_HYPE_SPOOL_DROPPED, record,
                                       reason);

    if (rc == NGX_OK) {
        stream->kept++;

    } else if (rc == NGX_ERROR || stream->spool.conf->path == NULL) {
        ngx_http_hype_stream_tell(stream, record);
    }

    ngx_http_hype_stream_report(stream, reason);
}


/*
 * The log has the last copy, as hexadecimal digits.  Not where dropped.records
 * has its share, as strangers could fill the log, too.
 */

static void
ngx_http_hype_stream_tell(ngx_http_hype_stream_t *stream, u_char *record)
{
    u_char      hex[NGX_HTTP_HYPE_STREAM_LOG_LINE * 2];
    size_t      size, pos, len;
    ngx_uint_t  parts;

    ngx_http_hype_record_seal(record);

    size = ngx_http_hype_record_length(record);
    parts = (size + NGX_HTTP_HYPE_STREAM_LOG_LINE - 1)
            / NGX_HTTP_HYPE_STREAM_LOG_LINE;

    for (pos = 0; pos < size; pos += len) {
        len = ngx_min(size - pos, NGX_HTTP_HYPE_STREAM_LOG_LINE);

        (void) ngx_hex_dump(hex, record + pos, len);

        ngx_log_error(NGX_LOG_ALERT, ngx_cycle->log, 0,
                      "hype: dropped record, part %ui of %ui: %*s",
                      pos / NGX_HTTP_HYPE_STREAM_LOG_LINE + 1, parts,
                      len * 2, hex);
    }
}


void
ngx_http_hype_stream_expire(ngx_http_hype_stream_t *stream,
    ngx_http_hype_item_t *item)
{
    /* without a spool it stays where it is, in memory */

    if (ngx_http_hype_spool_append(&stream->spool, item->record, item->size)
        != NGX_OK)
    {
        return;
    }

    if (item->in_batch) {
        item->spooled = 1;
        return;
    }

    ngx_http_hype_queue_remove(&stream->queue, item);
}


static void
ngx_http_hype_stream_save(void *data, ngx_http_hype_item_t *item)
{
    ngx_http_hype_stream_t *stream = data;

    if (ngx_http_hype_spool_append(&stream->spool, item->record, item->size)
        != NGX_OK)
    {
        ngx_http_hype_stream_drop(stream, item->record, "no room");
    }

    ngx_http_hype_queue_remove(&stream->queue, item);
}


/* its file stays, as this record is not done */

static void
ngx_http_hype_stream_forget(void *data, ngx_http_hype_item_t *item)
{
    ngx_http_hype_stream_t *stream = data;

    item->spool->held--;

    ngx_http_hype_queue_remove(&stream->drain, item);
}


void
ngx_http_hype_stream_reject(ngx_http_hype_stream_t *stream,
    ngx_http_hype_item_t *item, const char *reason)
{
    ngx_http_hype_count(stream->cache, NGX_HTTP_HYPE_REJECTED, 1);

    if (ngx_http_hype_spool_set_aside(&stream->spool,
                                      NGX_HTTP_HYPE_SPOOL_REJECTED,
                                      item->record, reason)
        != NGX_OK)
    {
        ngx_http_hype_stream_drop(stream, item->record, reason);
        return;
    }

    stream->rejected++;
    ngx_http_hype_stream_report(stream, reason);
}


/*
 * logs at once, and then what comes in some seconds together: nobody can fill
 * the log
 */

static void
ngx_http_hype_stream_report(ngx_http_hype_stream_t *stream,
    const char *reason)
{
    if (!stream->report.timer_set) {
        ngx_http_hype_stream_log(stream, reason);
        ngx_add_timer(&stream->report, NGX_HTTP_HYPE_STREAM_LOG);
    }
}


static void
ngx_http_hype_stream_report_handler(ngx_event_t *ev)
{
    ngx_http_hype_stream_t  *stream;

    stream = ev->data;

    if (stream->dropped || stream->rejected) {
        ngx_http_hype_stream_report(stream, NULL);
    }
}


static void
ngx_http_hype_stream_log(ngx_http_hype_stream_t *stream, const char *reason)
{
    u_char  text[512];
    size_t  len;

    len = 0;

    if (reason) {

        /* it may quote a visitor */

        len = ngx_http_hype_trouble_line(text, sizeof(text), reason,
                                         ngx_strlen(reason));
    }

    if (stream->rejected) {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "hype: records that PostgreSQL refuses are set aside in "
                      "rejected.records: %ui%s%*s", stream->rejected,
                      len ? ", the last: " : "", len, text);
    }

    if (stream->dropped) {
        ngx_log_error(NGX_LOG_ALERT, ngx_cycle->log, 0,
                      "hype: dropped records: %ui, of which dropped.records "
                      "has %ui%s%*s", stream->dropped, stream->kept,
                      len ? ", the last: " : "", len, text);
    }

    stream->rejected = 0;
    stream->dropped = 0;
    stream->kept = 0;
}


void
ngx_http_hype_stream_refused(ngx_http_hype_stream_t *stream,
    ngx_uint_t refused)
{
    if (stream->n == NGX_HTTP_HYPE_STREAM_HITS) {
        ngx_http_hype_db_refuse_hits(stream->db, refused);
    }
}


static void
ngx_http_hype_stream_pause_handler(ngx_event_t *ev)
{
    ngx_http_hype_stream_t  *stream;

    stream = ev->data;

    if (stream->queue.n == 0 && stream->drain.n == 0
        && !ngx_http_hype_spool_pending(&stream->spool))
    {
        /* only the next visit can tell whether hits are still refused */

        ngx_http_hype_stream_refused(stream, 0);
        return;
    }

    ngx_http_hype_stream_wake(stream);
}


void
ngx_http_hype_stream_wake(void *data)
{
    ngx_http_hype_stream_t *stream = data;

    /* the caller may be walking through a queue */

    ngx_post_event(&stream->wake, &ngx_posted_events);
}


static void
ngx_http_hype_stream_wake_handler(ngx_event_t *ev)
{
    ngx_http_hype_stream_t  *stream;

    stream = ev->data;

    if (ngx_exiting) {

        /* another worker drains the spool */

        ngx_http_hype_queue_each(&stream->drain, ngx_http_hype_stream_forget,
                                 stream);

        if (stream->queue.n == 0) {
            return;
        }
    }

    if (stream->faults.pause.timer_set) {
        return;
    }

    ngx_http_hype_db_wake(stream->db, NGX_HTTP_HYPE_DB_HITS);
}


static void
ngx_http_hype_stream_lost(void *data, u_char *record, size_t size)
{
    ngx_http_hype_stream_t *stream = data;

    ngx_http_hype_item_t  *item;

    item = ngx_http_hype_queue_alloc(size);
    if (item == NULL) {
        ngx_http_hype_stream_drop(stream, record, "no room");
        return;
    }

    ngx_memcpy(item->record, record, size);

    (void) ngx_http_hype_stream_keep(stream, item);
}


ngx_uint_t
ngx_http_hype_stream_work(ngx_http_hype_stream_t *stream,
    ngx_http_hype_db_conn_t *conn, ngx_uint_t target)
{
    ngx_uint_t  drained;

    /* both have every other turn */

    drained = stream->drained;
    stream->drained = 0;

    if (drained && ngx_http_hype_stream_write(stream, conn, target)) {
        return 1;
    }

    if (ngx_http_hype_stream_drain(stream, conn, target)) {
        stream->drained = 1;
        return 1;
    }

    return !drained && ngx_http_hype_stream_write(stream, conn, target);
}


ngx_uint_t
ngx_http_hype_stream_write(ngx_http_hype_stream_t *stream,
    ngx_http_hype_db_conn_t *conn, ngx_uint_t target)
{
    stream->queue.target = target;

    return ngx_http_hype_queue_work(&stream->queue, conn);
}


ngx_uint_t
ngx_http_hype_stream_drain(ngx_http_hype_stream_t *stream,
    ngx_http_hype_db_conn_t *conn, ngx_uint_t target)
{
    ngx_http_hype_queue_t  *drain;

    drain = &stream->drain;
    drain->target = target;

    if (ngx_exiting) {
        return 0;
    }

    if (!stream->faults.pause.timer_set
        && drain->n == drain->ntrials
        && drain->n < NGX_HTTP_HYPE_STREAM_TRIALS)
    {
        while (ngx_queue_empty(&drain->items)
               && ngx_http_hype_spool_read(&stream->spool, drain->pace,
                                           ngx_http_hype_stream_read))
        {
            /* all that was read may be of other streams */
        }
    }

    return ngx_http_hype_queue_work(drain, conn);
}


/* appends the record to its own stream */

static ngx_int_t
ngx_http_hype_stream_read(void *data, u_char *record, size_t size,
    ngx_uint_t number, ngx_uint_t adopted)
{
    ngx_http_hype_stream_t *stream = data;

    ngx_http_hype_item_t   *item;
    ngx_http_hype_spool_t  *spool;

    spool = &stream->spool;

    stream += ngx_http_hype_record_type(record) - NGX_HTTP_HYPE_RECORD_HIT;
    stream -= spool->stream;

    if (stream->drain.size > NGX_HTTP_HYPE_STREAM_MAX_SIZE) {
        return NGX_ERROR;
    }

    item = ngx_http_hype_queue_alloc(size);
    if (item == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(item->record, record, size);
    item->spool = spool;
    item->file = number;
    item->adopted = adopted;

    /* it was sent to that node: by COPY to another one it would come twice */

    item->replay = (ngx_http_hype_record_node(record) != 0);

    ngx_http_hype_queue_push(&stream->drain, item);

    return NGX_OK;
}
