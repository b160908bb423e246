
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
#include "ngx_http_hype_event.h"


typedef struct ngx_http_hype_wait_s  ngx_http_hype_wait_t;

/* a request that waits: for a link, for its hit to be safe, for a report */

struct ngx_http_hype_wait_s {
    ngx_queue_t          queue;       /* in the park */
    ngx_queue_t          place;       /* among those who wait for the same */
    ngx_msec_t           deadline;

    /* it need not wait any more; called from the event loop */
    void               (*resume)(ngx_http_hype_wait_t *wait);

    /* its time is over: what it waited for goes on without it; or NULL */
    void               (*expire)(ngx_http_hype_wait_t *wait);

    void                *data;        /* the request's */
    void                *owner;       /* what it waits for */

    ngx_pool_t          *pool;        /* for what it gets, */
    void                *result;      /* and where that goes */

    /*
     * NGX_OK: PostgreSQL has done it; NGX_DECLINED: not yet, and what can go
     * on without that does; NGX_ERROR: it can't be done
     */
    ngx_int_t            status;

    unsigned             timed:1;     /* it has its deadline */
    unsigned             waiting:1;
    unsigned             ready:1;
};


typedef struct {
    ngx_http_hype_ident_t   ident;
    ngx_queue_t             waiting;  /* the next to expire first */
    ngx_queue_t             ready;
    ngx_event_t             timer;
    ngx_event_t             event;
    ngx_msec_t              timeout;
    ngx_atomic_t           *n;        /* of both, for others to see */
} ngx_http_hype_park_t;


void ngx_http_hype_park_init(ngx_http_hype_park_t *park, ngx_msec_t timeout,
    ngx_atomic_t *n, ngx_log_t *log);

/*
 * Begins to wait, behind all others in "place", for the park's timeout; if it
 * has waited before, for the time that it has left.  "owner" is for "expire".
 * The status is what it has if nothing comes of it.
 */

void ngx_http_hype_park(ngx_http_hype_park_t *park,
    ngx_http_hype_wait_t *wait, ngx_queue_t *place, void *owner,
    ngx_int_t status);

/* Has "resume" called soon, of one, or of all in "place" with that status. */

void ngx_http_hype_park_wake(ngx_http_hype_park_t *park,
    ngx_http_hype_wait_t *wait);
void ngx_http_hype_park_wake_all(ngx_http_hype_park_t *park,
    ngx_queue_t *place, ngx_int_t status);

/* Forgets it, in whatever state it is. */

void ngx_http_hype_park_leave(ngx_http_hype_park_t *park,
    ngx_http_hype_wait_t *wait);


#endif /* _NGX_HTTP_HYPE_PARK_H_INCLUDED_ */
