
/*
 * A queue of a worker's records on their way to PostgreSQL, and the group
 * commit: an idle connection takes what is there, up to a cap, as one batch;
 * what comes while it is in flight is the next.
 *
 * A batch that is refused is followed by a probe, which tells whether all
 * records are refused now.  If they are, all are kept, and nothing of that
 * stream is sent for a while.  If not, the batch is sent again in halves; a
 * record that is refused alone is tried some more times, while others go on,
 * and then set aside.
 */


#ifndef _NGX_HTTP_HYPE_QUEUE_H_INCLUDED_
#define _NGX_HTTP_HYPE_QUEUE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include "ngx_http_hype_batch.h"
#include "ngx_http_hype_db.h"
#include "ngx_http_hype_event.h"
#include "ngx_http_hype_metrics.h"
#include "ngx_http_hype_park.h"


/* records in one batch */
#define NGX_HTTP_HYPE_QUEUE_BATCH  1000


/* what all queues of a stream share */

typedef struct {
    ngx_http_hype_trouble_t         trouble;
    ngx_uint_t                      refused;  /* times in a row, to all */
    uint32_t                        written;  /* batches */
    ngx_msec_t                      backoff;
    ngx_event_t                     pause;    /* set: nothing is sent */
} ngx_http_hype_queue_faults_t;


typedef struct ngx_http_hype_stream_s  ngx_http_hype_stream_t;

struct ngx_http_hype_queue_s {
    ngx_http_hype_ident_t           ident;
    ngx_http_hype_stream_t         *stream;
    ngx_http_hype_worker_t         *worker;   /* NULL: it is not counted */

    ngx_queue_t                     items;    /* that are in no batch */
    ngx_queue_t                     trials;   /* to be sent alone, by time */
    ngx_event_t                     wake;     /* at once, or for a trial */
    ngx_uint_t                      ntrials;
    ngx_uint_t                      n;        /* of all, in batches too */
    size_t                          size;     /* of all in bytes */
    ngx_uint_t                      cap;      /* as batches were refused */
    ngx_uint_t                      pace;     /* as they took their time */
    ngx_uint_t                      target;   /* that time in us, 0: any */
    ngx_uint_t                      time;     /* of a batch, on average */

    unsigned                        alone:1;  /* the last batch was a trial */
};


/* Makes zeroed memory an empty queue of a stream. */

void ngx_http_hype_queue_init(ngx_http_hype_queue_t *queue,
    ngx_http_hype_stream_t *stream);

/* Allocates an item for a record of that size.  NULL if memory ran out. */

ngx_http_hype_item_t *ngx_http_hype_queue_alloc(size_t size);

/* Appends an item, which the queue owns from then on. */

void ngx_http_hype_queue_push(ngx_http_hype_queue_t *queue,
    ngx_http_hype_item_t *item);

/* Sends a batch on an idle connection.  Returns 1, or 0 if there is none. */

ngx_uint_t ngx_http_hype_queue_work(ngx_http_hype_queue_t *queue,
    ngx_http_hype_db_conn_t *conn);

/* Takes out an item that is in no batch, wakes who waits for it, frees it. */

void ngx_http_hype_queue_remove(ngx_http_hype_queue_t *queue,
    ngx_http_hype_item_t *item);

/*
 * Calls "handler" for each item that is in no batch.  It may remove this item,
 * but no other.
 */

void ngx_http_hype_queue_each(ngx_http_hype_queue_t *queue,
    void (*handler)(void *data, ngx_http_hype_item_t *item), void *data);


#endif /* _NGX_HTTP_HYPE_QUEUE_H_INCLUDED_ */
