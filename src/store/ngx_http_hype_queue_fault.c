
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include "ngx_http_hype_queue_fault.h"
#include "ngx_http_hype_stream.h"


/*
 * A record that is refused alone is set aside after so many tries.  A try
 * counts several times if the probe is written.  It counts once if other
 * records were written, but the probe was refused, too, or the connection
 * broke.
 */
#define NGX_HTTP_HYPE_QUEUE_TRIES        20
#define NGX_HTTP_HYPE_QUEUE_PROBED       4

/* milliseconds until the first try of a record; they double each time */
#define NGX_HTTP_HYPE_QUEUE_TRIAL        25

/* milliseconds until a stream is tried again that is refused */
#define NGX_HTTP_HYPE_QUEUE_BACKOFF_MIN  100
#define NGX_HTTP_HYPE_QUEUE_BACKOFF_MAX  2000

/* tries of a stream without visitors take at most a part of the time: one in */
#define NGX_HTTP_HYPE_QUEUE_SHARE        10
#define NGX_HTTP_HYPE_QUEUE_SHARE_MAX    10000

/* a session in which a stream was refused so many times in a row is renewed */
#define NGX_HTTP_HYPE_QUEUE_RENEW        3

/* but not within so many milliseconds */
#define NGX_HTTP_HYPE_QUEUE_SESSION      5000


static ngx_int_t ngx_http_hype_queue_divide(
    ngx_http_hype_batch_t *batch, ngx_uint_t probed);
static ngx_http_hype_item_t *ngx_http_hype_queue_single(
    ngx_http_hype_batch_t *batch, ngx_uint_t lost);
static void ngx_http_hype_queue_blame(ngx_http_hype_batch_t *batch,
    ngx_http_hype_item_t *item, ngx_uint_t tries);
static void ngx_http_hype_queue_try(ngx_http_hype_queue_t *queue,
    ngx_http_hype_item_t *item);
static void ngx_http_hype_queue_pause(ngx_http_hype_batch_t *batch,
    PGresult *res);


void
ngx_http_hype_queue_refused(ngx_http_hype_batch_t *batch, PGresult *res)
{
    size_t       len;
    const char  *message;

    if (batch->conn->cancelling && !ngx_http_hype_db_is(res, "57014")) {

        /*
         * the request to cancel may still arrive, and must not cancel the
         * probe
         */

        batch->queue->cap = ngx_max(batch->n / 2, 1);
        ngx_http_hype_queue_put_back(batch->queue, batch, 0);
        ngx_free(batch);
        return;
    }

    message = PQresultErrorMessage(res);
    len = strcspn(message, "\n");

    batch->reason = ngx_alloc(len + 1, ngx_cycle->log);

    if (batch->reason) {

        /* a trigger may quote a visitor */

        len = ngx_http_hype_trouble_line(batch->reason, len, message, len);
        batch->reason[len] = '\0';

        ngx_log_error(NGX_LOG_INFO, ngx_cycle->log, 0,
                      "hype: PostgreSQL refused a batch of %ui records: %s",
                      batch->n, batch->reason);
    }

    ngx_http_hype_batch_probe(batch);
}


void
ngx_http_hype_queue_probed(void *data, ngx_http_hype_db_outcome_e outcome,
    PGresult *res)
{
    ngx_http_hype_batch_t *batch = data;

    switch (outcome) {

    case NGX_HTTP_HYPE_DB_DONE:
        (void) ngx_http_hype_queue_divide(batch, 1);
        break;

    case NGX_HTTP_HYPE_DB_DUPLICATE:
    case NGX_HTTP_HYPE_DB_REFUSED:

        if (ngx_http_hype_queue_divide(batch, 0) != NGX_OK) {
            ngx_http_hype_queue_pause(batch, res);
        }

        break;

    default:
        ngx_http_hype_queue_put_back(batch->queue, batch, 0);
    }

    if (batch->reason) {
        ngx_free(batch->reason);
    }

    ngx_free(batch);
}


/*
 * Puts the batch back, to be sent in halves.  A record that is alone is to be
 * tried alone.  NGX_DECLINED: the whole stream seems to be refused, as the
 * probe was, and nothing was written since the record was refused.
 */

static ngx_int_t
ngx_http_hype_queue_divide(ngx_http_hype_batch_t *batch, ngx_uint_t probed)
{
    ngx_http_hype_item_t   *item;
    ngx_http_hype_queue_t  *queue;

    queue = batch->queue;

    item = ngx_http_hype_queue_single(batch, 0);
    if (item == NULL) {
        return probed ? NGX_OK : NGX_DECLINED;
    }

    if (probed) {
        ngx_http_hype_queue_blame(batch, item, NGX_HTTP_HYPE_QUEUE_PROBED);
        return NGX_OK;
    }

    if (item->refused && item->written != queue->stream->faults.written) {
        ngx_http_hype_queue_blame(batch, item, 1);
        return NGX_OK;
    }

    item->refused = 1;
    item->written = queue->stream->faults.written;

    ngx_http_hype_queue_try(queue, item);

    return NGX_DECLINED;
}


/*
 * A record may have broken the connection.  Others do not wait for a record
 * whose connection breaks each time while they are written.
 */

void
ngx_http_hype_queue_lost(ngx_http_hype_batch_t *batch)
{
    uint32_t               written;
    ngx_http_hype_item_t  *item;

    item = ngx_http_hype_queue_single(batch, 1);

    if (item) {
        written = batch->queue->stream->faults.written;
        ngx_http_hype_queue_blame(batch, item,
                                  item->refused && item->written != written);
    }
}


/*
 * The record of a batch that has only one, taken out of it; or NULL, when it
 * has put the batch back, to be sent in halves.  "lost": it may be written, and
 * is first sent as a replay.
 */

static ngx_http_hype_item_t *
ngx_http_hype_queue_single(ngx_http_hype_batch_t *batch, ngx_uint_t lost)
{
    ngx_queue_t           *q;
    ngx_http_hype_item_t  *item;

    q = ngx_queue_head(&batch->items);
    item = ngx_queue_data(q, ngx_http_hype_item_t, queue);

    if (batch->n > 1 || item->spooled || (lost && !item->replay)) {
        batch->queue->cap = ngx_max(batch->n / 2, 1);
        ngx_http_hype_queue_put_back(batch->queue, batch, lost);
        return NULL;
    }

    ngx_queue_remove(q);
    item->in_batch = 0;

    return item;
}


static void
ngx_http_hype_queue_blame(ngx_http_hype_batch_t *batch,
    ngx_http_hype_item_t *item, ngx_uint_t tries)
{
    ngx_http_hype_queue_t  *queue;

    queue = batch->queue;

    item->refused = 1;
    item->written = queue->stream->faults.written;
    item->tries += tries;

    if (item->tries < NGX_HTTP_HYPE_QUEUE_TRIES) {
        ngx_http_hype_queue_try(queue, item);
        return;
    }

    ngx_http_hype_stream_reject(queue->stream, item,
                                batch->reason
                                ? (char *) batch->reason
                                : "refused, or the connection breaks");

    ngx_http_hype_queue_free(queue, item, NGX_ERROR);
}


static void
ngx_http_hype_queue_try(ngx_http_hype_queue_t *queue,
    ngx_http_hype_item_t *item)
{
    ngx_queue_t           *q;
    ngx_http_hype_item_t  *before;

    item->trial = 1;
    item->due = ngx_current_msec
                + (NGX_HTTP_HYPE_QUEUE_TRIAL
                   << item->tries / NGX_HTTP_HYPE_QUEUE_PROBED) / 2;

    for (q = ngx_queue_last(&queue->trials);
         q != ngx_queue_sentinel(&queue->trials);
         q = ngx_queue_prev(q))
    {
        before = ngx_queue_data(q, ngx_http_hype_item_t, queue);

        if ((ngx_msec_int_t) (before->due - item->due) <= 0) {
            break;
        }
    }

    ngx_queue_insert_after(q, &item->queue);
    queue->ntrials++;

    if (q == ngx_queue_sentinel(&queue->trials)) {

        if (queue->wake.timer_set) {
            ngx_del_timer(&queue->wake);
        }

        ngx_add_timer(&queue->wake, item->due - ngx_current_msec);
    }
}


ngx_http_hype_item_t *
ngx_http_hype_queue_due(ngx_http_hype_queue_t *queue)
{
    ngx_msec_int_t         wait;
    ngx_http_hype_item_t  *item;

    if (ngx_queue_empty(&queue->trials)) {
        return NULL;
    }

    item = ngx_queue_data(ngx_queue_head(&queue->trials),
                          ngx_http_hype_item_t, queue);

    wait = (ngx_msec_int_t) (item->due - ngx_current_msec);

    if (wait <= 0) {
        return item;
    }

    if (!queue->wake.timer_set) {
        ngx_add_timer(&queue->wake, wait);
    }

    return NULL;
}


void
ngx_http_hype_queue_wake_handler(ngx_event_t *ev)
{
    ngx_http_hype_queue_t  *queue;

    queue = ev->data;

    ngx_http_hype_db_wake(queue->stream->db, NGX_HTTP_HYPE_DB_HITS);
}


/* the whole stream is refused: nothing is sent for a while */

static void
ngx_http_hype_queue_pause(ngx_http_hype_batch_t *batch, PGresult *res)
{
    ngx_msec_t                     delay, share;
    ngx_http_hype_queue_t         *queue;
    ngx_http_hype_queue_faults_t  *faults;

    queue = batch->queue;
    faults = &queue->stream->faults;

    ngx_http_hype_db_refused(queue->stream->db, &faults->trouble, res);

    faults->refused++;
    faults->backoff = ngx_http_hype_trouble_back_off(faults->backoff,
                                             NGX_HTTP_HYPE_QUEUE_BACKOFF_MIN,
                                             NGX_HTTP_HYPE_QUEUE_BACKOFF_MAX);

    delay = ngx_http_hype_trouble_spread(faults->backoff);

    if (queue->stream->n != NGX_HTTP_HYPE_STREAM_HITS) {
        share = (ngx_http_hype_queue_time() - batch->sent) / 1000
                * NGX_HTTP_HYPE_QUEUE_SHARE;

        delay = ngx_max(delay, ngx_min(share, NGX_HTTP_HYPE_QUEUE_SHARE_MAX));
    }

    if (faults->pause.timer_set) {
        ngx_del_timer(&faults->pause);
    }

    ngx_add_timer(&faults->pause, delay);

    if (faults->refused >= NGX_HTTP_HYPE_QUEUE_RENEW
        && ngx_current_msec - batch->conn->made >= NGX_HTTP_HYPE_QUEUE_SESSION)
    {
        /* the cause may be in the session, such as its settings */

        ngx_http_hype_db_renew(batch->conn);
    }

    ngx_http_hype_stream_refused(queue->stream, 1);
}


void
ngx_http_hype_queue_accepted(ngx_http_hype_batch_t *batch)
{
    ngx_http_hype_queue_t         *queue;
    ngx_http_hype_queue_faults_t  *faults;

    queue = batch->queue;
    faults = &queue->stream->faults;

    faults->written++;

    if (faults->refused == 0) {
        return;
    }

    faults->refused = 0;
    faults->backoff = 0;

    if (faults->pause.timer_set) {
        ngx_del_timer(&faults->pause);
    }

    ngx_http_hype_db_accepted(queue->stream->db, &faults->trouble);

    ngx_http_hype_stream_refused(queue->stream, 0);
}
