
/*
 * What becomes of a batch that PostgreSQL refuses, for the queue.
 */


#ifndef _NGX_HTTP_HYPE_QUEUE_FAULT_H_INCLUDED_
#define _NGX_HTTP_HYPE_QUEUE_FAULT_H_INCLUDED_


#include "ngx_http_hype_queue.h"


/* Handlers of a batch, and of its probe: "data" is the batch, and is freed. */

void ngx_http_hype_queue_handler(void *data,
    ngx_http_hype_db_outcome_e outcome, PGresult *res);
void ngx_http_hype_queue_probed(void *data,
    ngx_http_hype_db_outcome_e outcome, PGresult *res);

/* Sends the probe, whose handler does the rest. */

void ngx_http_hype_queue_refused(ngx_http_hype_batch_t *batch, PGresult *res);

/* The connection broke, and nobody knows whether the batch was written. */

void ngx_http_hype_queue_lost(ngx_http_hype_batch_t *batch);

/* A batch was written: nothing is refused to all any more. */

void ngx_http_hype_queue_accepted(ngx_http_hype_batch_t *batch);

/* Returns the next item that is to be sent alone now, or NULL. */

ngx_http_hype_item_t *ngx_http_hype_queue_due(ngx_http_hype_queue_t *queue);

/* Handler of the event "wake". */

void ngx_http_hype_queue_wake_handler(ngx_event_t *ev);


/* ngx_http_hype_queue.c */

/*
 * Puts the items of a batch back at the head of the queue.  "replay" says that
 * they may be in the table already.
 */

void ngx_http_hype_queue_put_back(ngx_http_hype_queue_t *queue,
    ngx_http_hype_batch_t *batch, ngx_uint_t replay);

/* Wakes who waits for an item, with that status, and frees it. */

void ngx_http_hype_queue_free(ngx_http_hype_queue_t *queue,
    ngx_http_hype_item_t *item, ngx_int_t status);

/* The time in microseconds, for the time that batches take. */

uint64_t ngx_http_hype_queue_time(void);


#endif /* _NGX_HTTP_HYPE_QUEUE_FAULT_H_INCLUDED_ */
