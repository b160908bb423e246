
#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_http_hype_queue.h"
#include "ngx_http_hype_queue_fault.h"
#include "ngx_http_hype_stream.h"


/* bytes in one batch, roughly */
#define NGX_HTTP_HYPE_QUEUE_BATCH_SIZE  (4 * 1024 * 1024)

/* the least number of records in a batch that should be short */
#define NGX_HTTP_HYPE_QUEUE_PACE        16


static void ngx_http_hype_queue_take(ngx_http_hype_queue_t *queue,
    ngx_http_hype_batch_t *batch);
static void ngx_http_hype_queue_take_item(ngx_http_hype_batch_t *batch,
    ngx_http_hype_item_t *item);
static void ngx_http_hype_queue_done(ngx_http_hype_batch_t *batch);
static void ngx_http_hype_queue_measure(ngx_http_hype_queue_t *queue,
    ngx_uint_t n, ngx_uint_t time);
static void ngx_http_hype_queue_count(ngx_http_hype_queue_t *queue,
    ngx_int_t n, ssize_t size);


void
ngx_http_hype_queue_init(ngx_http_hype_queue_t *queue,
    ngx_http_hype_stream_t *stream)
{
    queue->stream = stream;

    ngx_queue_init(&queue->items);
    ngx_queue_init(&queue->trials);

    queue->cap = NGX_HTTP_HYPE_QUEUE_BATCH;
    queue->pace = NGX_HTTP_HYPE_QUEUE_BATCH;

    ngx_http_hype_event_init(&queue->wake, ngx_http_hype_queue_wake_handler,
                             queue, 1);
}


ngx_http_hype_item_t *
ngx_http_hype_queue_alloc(size_t size)
{
    ngx_http_hype_item_t  *item;

    item = ngx_alloc(offsetof(ngx_http_hype_item_t, record) + size,
                     ngx_cycle->log);
    if (item == NULL) {
        return NULL;
    }

    ngx_memzero(item, offsetof(ngx_http_hype_item_t, record));

    item->size = size;

    ngx_queue_init(&item->waits);

    return item;
}


void
ngx_http_hype_queue_push(ngx_http_hype_queue_t *queue,
    ngx_http_hype_item_t *item)
{
    ngx_queue_insert_tail(&queue->items, &item->queue);

    ngx_http_hype_queue_count(queue, 1, item->size);

    ngx_log_debug2(NGX_LOG_DEBUG_HTTP, ngx_cycle->log, 0,
                   "http hype queued, %ui records, %uz bytes",
                   queue->n, queue->size);
}


void
ngx_http_hype_queue_remove(ngx_http_hype_queue_t *queue,
    ngx_http_hype_item_t *item)
{
    ngx_queue_remove(&item->queue);

    if (item->trial) {
        queue->ntrials--;
    }

    ngx_http_hype_queue_free(queue, item, NGX_DECLINED);
}


void
ngx_http_hype_queue_each(ngx_http_hype_queue_t *queue,
    void (*handler)(void *data, ngx_http_hype_item_t *item), void *data)
{
    ngx_uint_t    i;
    ngx_queue_t  *q, *next, *lists[2];

    lists[0] = &queue->items;
    lists[1] = &queue->trials;

    for (i = 0; i < 2; i++) {

        for (q = ngx_queue_head(lists[i]);
             q != ngx_queue_sentinel(lists[i]);
             q = next)
        {
            next = ngx_queue_next(q);

            handler(data, ngx_queue_data(q, ngx_http_hype_item_t, queue));
        }
    }
}


ngx_uint_t
ngx_http_hype_queue_work(ngx_http_hype_queue_t *queue,
    ngx_http_hype_db_conn_t *conn)
{
    ngx_http_hype_item_t   *trial;
    ngx_http_hype_batch_t  *batch;

    if (queue->stream->faults.pause.timer_set) {
        return 0;
    }

    trial = ngx_http_hype_queue_due(queue);

    if (ngx_queue_empty(&queue->items)) {

        if (trial == NULL) {
            return 0;
        }

    } else if (queue->alone) {

        /* trials have every other batch */

        trial = NULL;
    }

    batch = ngx_calloc(sizeof(ngx_http_hype_batch_t), ngx_cycle->log);
    if (batch == NULL) {
        return 0;
    }

    batch->queue = queue;
    batch->conn = conn;

    ngx_queue_init(&batch->items);

    queue->alone = (trial != NULL);

    if (trial) {
        queue->ntrials--;
        ngx_http_hype_queue_take_item(batch, trial);

    } else {
        ngx_http_hype_queue_take(queue, batch);
    }

    ngx_log_debug2(NGX_LOG_DEBUG_HTTP, ngx_cycle->log, 0,
                   "http hype batch of %ui records, kind: %d",
                   batch->n, batch->kind);

    batch->sent = ngx_http_hype_queue_time();

    ngx_http_hype_batch_send(batch);

    return 1;
}


uint64_t
ngx_http_hype_queue_time(void)
{
    struct timespec  ts;

    (void) clock_gettime(CLOCK_MONOTONIC, &ts);

    return (uint64_t) ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}


/* takes items of the first one's kind, in their order, and skips others */

static void
ngx_http_hype_queue_take(ngx_http_hype_queue_t *queue,
    ngx_http_hype_batch_t *batch)
{
    size_t                 size;
    ngx_uint_t             n, max;
    ngx_queue_t           *q, *next;
    ngx_http_hype_item_t  *item;

    max = ngx_min(queue->cap, queue->pace);
    size = 0;
    n = 0;
    next = ngx_queue_head(&queue->items);

    do {
        q = next;
        next = ngx_queue_next(q);
        item = ngx_queue_data(q, ngx_http_hype_item_t, queue);

        if (batch->n
            && ngx_http_hype_batch_kind(item, batch->conn) != batch->kind)
        {
            continue;
        }

        ngx_http_hype_queue_take_item(batch, item);

        size += item->size;

    } while (++n < NGX_HTTP_HYPE_QUEUE_BATCH
             && batch->n < max
             && size < NGX_HTTP_HYPE_QUEUE_BATCH_SIZE
             && next != ngx_queue_sentinel(&queue->items));
}


static void
ngx_http_hype_queue_take_item(ngx_http_hype_batch_t *batch,
    ngx_http_hype_item_t *item)
{
    ngx_queue_remove(&item->queue);
    ngx_queue_insert_tail(&batch->items, &item->queue);

    item->in_batch = 1;
    item->trial = 0;

    batch->kind = ngx_http_hype_batch_kind(item, batch->conn);
    batch->n++;
}


void
ngx_http_hype_queue_handler(void *data, ngx_http_hype_db_outcome_e outcome,
    PGresult *res)
{
    ngx_http_hype_batch_t *batch = data;

    ngx_http_hype_queue_t  *queue;

    queue = batch->queue;

    switch (outcome) {

    case NGX_HTTP_HYPE_DB_DONE:

        if (batch->conn->cancelled) {

            /* the cancel may have ended the wait for a synchronous standby */

            ngx_http_hype_queue_put_back(queue, batch, 1);
            break;
        }

        ngx_http_hype_batch_done(batch, res);
        ngx_http_hype_queue_done(batch);
        break;

    case NGX_HTTP_HYPE_DB_DUPLICATE:

        if (batch->kind == NGX_HTTP_HYPE_BATCH_COPY) {
            ngx_http_hype_queue_put_back(queue, batch, 1);
            break;
        }

        /* replay leaves out what is there: a trigger or an index refuses it */

        /* fall through */

    case NGX_HTTP_HYPE_DB_REFUSED:

        if (ngx_http_hype_batch_other_way(batch, res)) {
            ngx_http_hype_queue_put_back(queue, batch, 0);
            break;
        }

        ngx_http_hype_queue_refused(batch, res);
        return;

    case NGX_HTTP_HYPE_DB_UNKNOWN:
        ngx_http_hype_queue_lost(batch);
        break;

    default: /* NGX_HTTP_HYPE_DB_RETRY */
        ngx_http_hype_queue_put_back(queue, batch, 0);
    }

    ngx_free(batch);
}


static void
ngx_http_hype_queue_done(ngx_http_hype_batch_t *batch)
{
    ngx_uint_t              time;
    ngx_queue_t            *q;
    ngx_http_hype_item_t   *item;
    ngx_http_hype_queue_t  *queue;

    queue = batch->queue;
    time = ngx_http_hype_queue_time() - batch->sent;

    ngx_log_debug2(NGX_LOG_DEBUG_HTTP, ngx_cycle->log, 0,
                   "http hype committed %ui records in %ui us",
                   batch->n, time);

    ngx_http_hype_queue_measure(queue, batch->n, time);

    ngx_http_hype_metrics_batch(queue->stream->cache->metrics, batch->n, time);

    while (!ngx_queue_empty(&batch->items)) {
        q = ngx_queue_head(&batch->items);
        item = ngx_queue_data(q, ngx_http_hype_item_t, queue);

        ngx_queue_remove(q);

        ngx_http_hype_queue_free(queue, item, NGX_OK);
    }

    ngx_http_hype_queue_accepted(batch);
}


/* how many records the next batch may have */

static void
ngx_http_hype_queue_measure(ngx_http_hype_queue_t *queue, ngx_uint_t n,
    ngx_uint_t time)
{
    queue->cap = ngx_min(queue->cap * 2, NGX_HTTP_HYPE_QUEUE_BATCH);

    queue->time = queue->time ? (queue->time * 7 + time) / 8 : time;

    if (queue->target == 0) {
        queue->pace = NGX_HTTP_HYPE_QUEUE_BATCH;
        return;
    }

    if (time > queue->target) {
        queue->pace = ngx_max((uint64_t) n * queue->target / time,
                              NGX_HTTP_HYPE_QUEUE_PACE);

    } else if (n >= queue->pace) {
        queue->pace = ngx_min(queue->pace * 2, NGX_HTTP_HYPE_QUEUE_BATCH);
    }
}


void
ngx_http_hype_queue_put_back(ngx_http_hype_queue_t *queue,
    ngx_http_hype_batch_t *batch, ngx_uint_t replay)
{
    ngx_queue_t           *q;
    ngx_http_hype_item_t  *item;

    /* another connection may be free for them */

    ngx_post_event(&queue->wake, &ngx_posted_events);

    while (!ngx_queue_empty(&batch->items)) {
        q = ngx_queue_last(&batch->items);
        item = ngx_queue_data(q, ngx_http_hype_item_t, queue);

        ngx_queue_remove(q);

        if (item->spooled) {

            /* the spool has it */

            ngx_http_hype_queue_free(queue, item, NGX_DECLINED);
            continue;
        }

        item->in_batch = 0;
        item->replay |= replay;

        ngx_queue_insert_head(&queue->items, q);
    }
}


void
ngx_http_hype_queue_free(ngx_http_hype_queue_t *queue,
    ngx_http_hype_item_t *item, ngx_int_t status)
{
    ngx_http_hype_park_wake_all(queue->stream->park, &item->waits, status);

    if (item->spool && status != NGX_DECLINED) {
        ngx_http_hype_spool_done(item->spool, item->file, item->size);
    }

    ngx_http_hype_queue_count(queue, -1, -(ssize_t) item->size);

    ngx_free(item);
}


static void
ngx_http_hype_queue_count(ngx_http_hype_queue_t *queue, ngx_int_t n,
    ssize_t size)
{
    queue->n += n;
    queue->size += size;

    if (queue->worker) {
        queue->worker->records += n;
        queue->worker->bytes += size;
    }
}
