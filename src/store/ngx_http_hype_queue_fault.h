
/*
 * What becomes of a batch that PostgreSQL refuses, for the queue.
 */


#ifndef _NGX_HTTP_HYPE_QUEUE_FAULT_H_INCLUDED_
#define _NGX_HTTP_HYPE_QUEUE_FAULT_H_INCLUDED_


#include "ngx_http_hype_queue.h"


typedef struct {
    ngx_http_hype_batch_t     batch;
    ngx_http_hype_queue_t    *queue;
    ngx_http_hype_db_conn_t  *conn;
    uint64_t                  sent;     /* microseconds */
    u_char                   *reason;   /* why it was refused, or NULL */
} ngx_http_hype_queue_batch_t;


/* Sends the probe.  What comes then is done here, and "qb" is freed. */

void ngx_http_hype_queue_refused(ngx_http_hype_queue_batch_t *qb,
    PGresult *res);

/* The connection broke, and it was written or not. */

void ngx_http_hype_queue_lost(ngx_http_hype_queue_batch_t *qb);

/* A batch was written: nothing is refused to all any more. */

void ngx_http_hype_queue_accepted(ngx_http_hype_queue_batch_t *qb);

/* The next item that is to be sent alone now, or NULL. */

ngx_http_hype_item_t *ngx_http_hype_queue_due(ngx_http_hype_queue_t *queue);

/* Handler of the event "wake". */

void ngx_http_hype_queue_wake_handler(ngx_event_t *ev);

/* The rest is in the queue's own file. */

void ngx_http_hype_queue_put_back(ngx_http_hype_queue_t *queue,
    ngx_http_hype_batch_t *batch, ngx_uint_t again);
void ngx_http_hype_queue_free(ngx_http_hype_queue_t *queue,
    ngx_http_hype_item_t *item, ngx_int_t status);
uint64_t ngx_http_hype_queue_time(void);


#endif /* _NGX_HTTP_HYPE_QUEUE_FAULT_H_INCLUDED_ */
