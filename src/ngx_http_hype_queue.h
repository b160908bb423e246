
/*
 * The queue of a worker's records on their way to PostgreSQL, and the group
 * commit: an idle connection takes what is there, up to a cap, as one batch;
 * what comes while it is in flight is the next.
 *
 * A batch that is refused for its data is sent again in halves, until the
 * record at fault is alone and can be set aside.
 */


#ifndef _NGX_HTTP_HYPE_QUEUE_H_INCLUDED_
#define _NGX_HTTP_HYPE_QUEUE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_http_hype_batch.h"
#include "ngx_http_hype_db.h"
#include "ngx_http_hype_metrics.h"
#include "ngx_http_hype_park.h"


/* records in one batch */
#define NGX_HTTP_HYPE_QUEUE_BATCH  1000


/* a request that waits for its record */

typedef enum {
    NGX_HTTP_HYPE_TICKET_WAITS = 0,
    NGX_HTTP_HYPE_TICKET_COMMITTED,
    NGX_HTTP_HYPE_TICKET_SPOOLED,      /* or kept in memory without a spool */
    NGX_HTTP_HYPE_TICKET_DROPPED
} ngx_http_hype_ticket_status_e;


struct ngx_http_hype_ticket_s {
    ngx_queue_t                     queue;    /* in the spool, */
    ngx_http_hype_item_t           *item;     /* or in the queue, or NULL */
    ngx_http_hype_parked_t         *parked;
    ngx_http_hype_ticket_status_e   status;
    ngx_uint_t                      spooling; /* unsigned spooling:1 */
};


typedef struct ngx_http_hype_queue_s  ngx_http_hype_queue_t;

struct ngx_http_hype_queue_s {
    ngx_http_hype_metrics_t        *metrics;
    ngx_http_hype_worker_t         *worker;   /* NULL: it is not counted */
    ngx_http_hype_db_t             *db;
    ngx_http_hype_park_t           *park;
    ngx_log_t                      *log;

    ngx_queue_t                     items;    /* that are in no batch */
    ngx_uint_t                      n;        /* of all, in batches too */
    size_t                          size;     /* of all in bytes */
    ngx_uint_t                      cap;

    /*
     * A record is set aside, as the database refuses it, or as it could not
     * get the lock that a claim or a confirm needs.  They take its bytes,
     * not the item; "postpone" returns NGX_ERROR if it can't.
     */
    void                          (*reject)(void *data,
                                        ngx_http_hype_item_t *item,
                                        const char *reason);
    ngx_int_t                     (*postpone)(void *data,
                                        ngx_http_hype_item_t *item);

    /* a batch is done or has failed */
    void                          (*progress)(void *data);
    void                           *data;
};


/* The handlers and what is above "items" are for the caller to set. */

void ngx_http_hype_queue_init(ngx_http_hype_queue_t *queue);

/* Allocates an item for a record of that size, or returns NULL. */

ngx_http_hype_item_t *ngx_http_hype_queue_alloc(ngx_http_hype_queue_t *queue,
    size_t size);

/* Appends an item, which belongs to the queue from then on. */

void ngx_http_hype_queue_push(ngx_http_hype_queue_t *queue,
    ngx_http_hype_item_t *item);

/* Sends a batch; returns 0 if there is none to be sent. */

ngx_uint_t ngx_http_hype_queue_work(ngx_http_hype_queue_t *queue,
    ngx_http_hype_db_conn_t *conn);

/* Takes an item out that is in no batch. */

void ngx_http_hype_queue_remove(ngx_http_hype_queue_t *queue,
    ngx_http_hype_item_t *item);


#endif /* _NGX_HTTP_HYPE_QUEUE_H_INCLUDED_ */
