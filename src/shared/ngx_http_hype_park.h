
/*
 * Requests that wait for the database: each for so long at most, and woken
 * some at a time, so that a large batch that is done does not keep the event
 * loop from its other work.
 */


#ifndef _NGX_HTTP_HYPE_PARK_H_INCLUDED_
#define _NGX_HTTP_HYPE_PARK_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>


typedef struct ngx_http_hype_parked_s  ngx_http_hype_parked_t;

struct ngx_http_hype_parked_s {
    ngx_queue_t          queue;
    ngx_msec_t           deadline;

    /* it need not wait any more; called from the event loop */
    void               (*resume)(ngx_http_hype_parked_t *parked);

    /* its time is over; what it waited for goes on without it */
    void               (*expire)(ngx_http_hype_parked_t *parked);
    void                *data;

    unsigned             timed:1;     /* it has its deadline */
    unsigned             waiting:1;
    unsigned             ready:1;
};


typedef struct {
    ngx_queue_t          waiting;     /* the next to expire first */
    ngx_queue_t          ready;
    ngx_event_t          timer;
    ngx_event_t          event;
    ngx_connection_t     dummy;
    ngx_msec_t           timeout;
    ngx_atomic_t        *n;           /* requests in both, for others to see */
} ngx_http_hype_park_t;


void ngx_http_hype_park_init(ngx_http_hype_park_t *park, ngx_msec_t timeout,
    ngx_atomic_t *n, ngx_log_t *log);

/*
 * Begins to wait, for the park's timeout; if it has waited before, for the
 * time that it has left.
 */

void ngx_http_hype_park(ngx_http_hype_park_t *park,
    ngx_http_hype_parked_t *parked);

/* Has "resume" called soon. */

void ngx_http_hype_park_wake(ngx_http_hype_park_t *park,
    ngx_http_hype_parked_t *parked);

/* Forgets it, in whatever state it is. */

void ngx_http_hype_park_leave(ngx_http_hype_park_t *park,
    ngx_http_hype_parked_t *parked);


#endif /* _NGX_HTTP_HYPE_PARK_H_INCLUDED_ */
