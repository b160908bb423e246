
#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_http_hype_queue.h"


/* bytes in one batch, about */
#define NGX_HTTP_HYPE_QUEUE_BATCH_SIZE  (4 * 1024 * 1024)


typedef struct {
    ngx_http_hype_batch_t   batch;
    ngx_http_hype_queue_t  *queue;
    uint64_t                sent;     /* microseconds */
} ngx_http_hype_queue_batch_t;


static void ngx_http_hype_queue_take(ngx_http_hype_queue_t *queue,
    ngx_http_hype_batch_t *batch);
static void ngx_http_hype_queue_handler(void *data,
    ngx_http_hype_db_outcome_e outcome, PGresult *res);
static uint64_t ngx_http_hype_queue_time(void);
static void ngx_http_hype_queue_done(ngx_http_hype_queue_t *queue,
    ngx_http_hype_batch_t *batch, ngx_uint_t time);
static void ngx_http_hype_queue_locked(ngx_http_hype_queue_t *queue,
    ngx_http_hype_batch_t *batch);
static void ngx_http_hype_queue_bisect(ngx_http_hype_queue_t *queue,
    ngx_http_hype_batch_t *batch, PGresult *res);
static void ngx_http_hype_queue_put_back(ngx_http_hype_queue_t *queue,
    ngx_http_hype_batch_t *batch, ngx_uint_t again);
static void ngx_http_hype_queue_free(ngx_http_hype_queue_t *queue,
    ngx_http_hype_item_t *item, ngx_http_hype_ticket_status_e status);
static void ngx_http_hype_queue_tell(ngx_http_hype_queue_t *queue);


void
ngx_http_hype_queue_init(ngx_http_hype_queue_t *queue)
{
    ngx_queue_init(&queue->items);

    queue->cap = NGX_HTTP_HYPE_QUEUE_BATCH;
}


ngx_http_hype_item_t *
ngx_http_hype_queue_alloc(ngx_http_hype_queue_t *queue, size_t size)
{
    ngx_http_hype_item_t  *item;

    item = ngx_alloc(offsetof(ngx_http_hype_item_t, record) + size,
                     queue->log);
    if (item == NULL) {
        return NULL;
    }

    ngx_memzero(item, offsetof(ngx_http_hype_item_t, record));

    item->size = size;

    return item;
}


void
ngx_http_hype_queue_push(ngx_http_hype_queue_t *queue,
    ngx_http_hype_item_t *item)
{
    ngx_queue_insert_tail(&queue->items, &item->queue);

    queue->n++;
    queue->size += item->size;

    ngx_http_hype_queue_tell(queue);

    ngx_log_debug2(NGX_LOG_DEBUG_HTTP, queue->log, 0,
                   "http hype queued, %ui records, %uz bytes",
                   queue->n, queue->size);
}


void
ngx_http_hype_queue_remove(ngx_http_hype_queue_t *queue,
    ngx_http_hype_item_t *item)
{
    ngx_queue_remove(&item->queue);

    ngx_http_hype_queue_free(queue, item, NGX_HTTP_HYPE_TICKET_SPOOLED);
}


ngx_uint_t
ngx_http_hype_queue_work(ngx_http_hype_queue_t *queue,
    ngx_http_hype_db_conn_t *conn)
{
    ngx_http_hype_queue_batch_t  *qb;

    if (ngx_queue_empty(&queue->items)) {
        return 0;
    }

    qb = ngx_alloc(sizeof(ngx_http_hype_queue_batch_t), queue->log);
    if (qb == NULL) {
        return 0;
    }

    qb->queue = queue;
    qb->batch.log = queue->log;
    qb->batch.handler = ngx_http_hype_queue_handler;
    qb->batch.data = qb;

    ngx_http_hype_queue_take(queue, &qb->batch);

    ngx_log_debug2(NGX_LOG_DEBUG_HTTP, queue->log, 0,
                   "http hype batch of %ui records, kind: %d",
                   qb->batch.n, qb->batch.kind);

    qb->sent = ngx_http_hype_queue_time();

    ngx_http_hype_batch_send(&qb->batch, conn);

    return 1;
}


static uint64_t
ngx_http_hype_queue_time(void)
{
    struct timespec  ts;

    (void) clock_gettime(CLOCK_MONOTONIC, &ts);

    return (uint64_t) ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}


/*
 * Those of the first one's kind, in their order, past others: but no claim
 * goes past a hit, and no confirm past either, as it may be refused for what
 * the other one would be.
 */

static void
ngx_http_hype_queue_take(ngx_http_hype_queue_t *queue,
    ngx_http_hype_batch_t *batch)
{
    size_t                       size;
    ngx_uint_t                   n;
    ngx_queue_t                 *q, *next;
    ngx_http_hype_item_t        *item;
    ngx_http_hype_batch_kind_e   kind;

    ngx_queue_init(&batch->items);
    batch->n = 0;
    size = 0;
    n = 0;
    next = ngx_queue_head(&queue->items);

    do {
        q = next;
        next = ngx_queue_next(q);
        item = ngx_queue_data(q, ngx_http_hype_item_t, queue);

        kind = ngx_http_hype_batch_kind(item);

        if (batch->n == 0) {
            batch->kind = kind;
        }

        if (kind < batch->kind && batch->kind >= NGX_HTTP_HYPE_BATCH_CLAIM) {
            break;
        }

        if (kind != batch->kind) {
            continue;
        }

        ngx_queue_remove(q);
        ngx_queue_insert_tail(&batch->items, q);

        item->flight = 1;
        batch->n++;
        size += item->size;

    } while (++n < NGX_HTTP_HYPE_QUEUE_BATCH
             && batch->n < queue->cap
             && size < NGX_HTTP_HYPE_QUEUE_BATCH_SIZE
             && next != ngx_queue_sentinel(&queue->items));
}


static void
ngx_http_hype_queue_handler(void *data, ngx_http_hype_db_outcome_e outcome,
    PGresult *res)
{
    ngx_http_hype_queue_batch_t *qb = data;

    ngx_http_hype_batch_t  *batch;
    ngx_http_hype_queue_t  *queue;

    batch = &qb->batch;
    queue = qb->queue;

    switch (outcome) {

    case NGX_HTTP_HYPE_DB_DONE:
        ngx_http_hype_queue_done(queue, batch,
                                 ngx_http_hype_queue_time() - qb->sent);
        break;

    case NGX_HTTP_HYPE_DB_DATA:
        ngx_http_hype_queue_bisect(queue, batch, res);
        break;

    case NGX_HTTP_HYPE_DB_LOCKED:
        ngx_http_hype_queue_locked(queue, batch);
        break;

    case NGX_HTTP_HYPE_DB_DUPLICATE:

        if (batch->kind != NGX_HTTP_HYPE_BATCH_COPY) {

            /* not a hit that is there: a trigger, or an index, refuses it */

            ngx_http_hype_queue_bisect(queue, batch, res);
            break;
        }

        /* fall through */

    case NGX_HTTP_HYPE_DB_UNKNOWN:
        ngx_http_hype_queue_put_back(queue, batch, 1);
        break;

    default: /* NGX_HTTP_HYPE_DB_RETRY */
        ngx_http_hype_queue_put_back(queue, batch, 0);
    }

    ngx_free(qb);

    queue->progress(queue->data);
}


static void
ngx_http_hype_queue_done(ngx_http_hype_queue_t *queue,
    ngx_http_hype_batch_t *batch, ngx_uint_t time)
{
    ngx_queue_t           *q;
    ngx_http_hype_item_t  *item;

    ngx_log_debug2(NGX_LOG_DEBUG_HTTP, queue->log, 0,
                   "http hype committed %ui records in %ui us",
                   batch->n, time);

    queue->cap = ngx_min(queue->cap * 2, NGX_HTTP_HYPE_QUEUE_BATCH);

    ngx_http_hype_metrics_batch(queue->metrics, batch->n, time);

    while (!ngx_queue_empty(&batch->items)) {
        q = ngx_queue_head(&batch->items);
        item = ngx_queue_data(q, ngx_http_hype_item_t, queue);

        ngx_queue_remove(q);

        if (batch->kind == NGX_HTTP_HYPE_BATCH_COPY && item->again) {

            /* it is late since then, and for that is sent again */

            item->flight = 0;
            ngx_queue_insert_tail(&queue->items, q);
            continue;
        }

        ngx_http_hype_queue_free(queue, item,
                                 NGX_HTTP_HYPE_TICKET_COMMITTED);
    }
}


static void
ngx_http_hype_queue_bisect(ngx_http_hype_queue_t *queue,
    ngx_http_hype_batch_t *batch, PGresult *res)
{
    ngx_queue_t           *q;
    ngx_http_hype_item_t  *item;

    q = ngx_queue_head(&batch->items);
    item = ngx_queue_data(q, ngx_http_hype_item_t, queue);

    if (batch->n > 1 || item->spooled) {
        queue->cap = ngx_max(batch->n / 2, 1);
        ngx_http_hype_queue_put_back(queue, batch, 0);
        return;
    }

    queue->reject(queue->data, item, PQresultErrorMessage(res));

    ngx_queue_remove(q);
    ngx_http_hype_queue_free(queue, item, NGX_HTTP_HYPE_TICKET_DROPPED);
}


/* a hit waits for nothing but the table, a claim for another claim as well */

static void
ngx_http_hype_queue_locked(ngx_http_hype_queue_t *queue,
    ngx_http_hype_batch_t *batch)
{
    ngx_queue_t           *q;
    ngx_http_hype_item_t  *item;

    if (batch->kind == NGX_HTTP_HYPE_BATCH_COPY
        || batch->kind == NGX_HTTP_HYPE_BATCH_REPLAY)
    {
        ngx_http_hype_queue_put_back(queue, batch, 0);
        return;
    }

    if (batch->n > 1) {
        queue->cap = batch->n / 2;
        ngx_http_hype_queue_put_back(queue, batch, 0);
        return;
    }

    q = ngx_queue_head(&batch->items);
    item = ngx_queue_data(q, ngx_http_hype_item_t, queue);

    if (queue->postpone(queue->data, item) != NGX_OK) {
        ngx_http_hype_queue_put_back(queue, batch, 0);
        return;
    }

    ngx_queue_remove(q);
    ngx_http_hype_queue_free(queue, item, NGX_HTTP_HYPE_TICKET_SPOOLED);
}


static void
ngx_http_hype_queue_put_back(ngx_http_hype_queue_t *queue,
    ngx_http_hype_batch_t *batch, ngx_uint_t again)
{
    ngx_queue_t           *q;
    ngx_http_hype_item_t  *item;

    while (!ngx_queue_empty(&batch->items)) {
        q = ngx_queue_last(&batch->items);
        item = ngx_queue_data(q, ngx_http_hype_item_t, queue);

        ngx_queue_remove(q);

        if (item->spooled) {

            /* the spool sees to it */

            ngx_http_hype_queue_free(queue, item,
                                     NGX_HTTP_HYPE_TICKET_SPOOLED);
            continue;
        }

        item->flight = 0;
        item->again |= again;

        ngx_queue_insert_head(&queue->items, q);
    }
}


static void
ngx_http_hype_queue_free(ngx_http_hype_queue_t *queue,
    ngx_http_hype_item_t *item, ngx_http_hype_ticket_status_e status)
{
    if (item->ticket) {
        item->ticket->item = NULL;
        item->ticket->status = status;
        ngx_http_hype_park_wake(queue->park, item->ticket->parked);
    }

    queue->n--;
    queue->size -= item->size;

    ngx_http_hype_queue_tell(queue);

    ngx_free(item);
}


static void
ngx_http_hype_queue_tell(ngx_http_hype_queue_t *queue)
{
    if (queue->worker) {
        queue->worker->records = queue->n;
        queue->worker->bytes = queue->size;
    }
}
