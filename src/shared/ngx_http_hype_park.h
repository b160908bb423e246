
/*
 * Requests that wait for the database, each until its deadline at most.  They
 * are resumed some at a time, so that the event loop does its other work, too.
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

    /* called from the event loop when it does not wait any more */
    void               (*resume)(ngx_http_hype_wait_t *wait);

    /* called at its deadline: what it waited for goes on without it; or NULL */
    void               (*expire)(ngx_http_hype_wait_t *wait);

    void                *data;        /* the request's */
    void                *owner;       /* what it waits for */

    ngx_pool_t          *pool;        /* for what it gets, */
    void                *result;      /* and where that goes */

    /*
     * NGX_OK: PostgreSQL has done it; NGX_DECLINED: not yet, the request goes
     * on without it; NGX_ERROR: it can't be done
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


/*
 * In zeroed memory.  "timeout" is in milliseconds; "n" becomes the number of
 * requests in the park.
 */

void ngx_http_hype_park_init(ngx_http_hype_park_t *park, ngx_msec_t timeout,
    ngx_atomic_t *n);

/*
 * Parks a request behind all others in "place", for the park's timeout, or for
 * the time that is left if it has waited before.  "owner" is for "expire".
 * "status" is what the request gets at its deadline.
 */

void ngx_http_hype_park(ngx_http_hype_park_t *park,
    ngx_http_hype_wait_t *wait, ngx_queue_t *place, void *owner,
    ngx_int_t status);

/* Resume one request soon, or all in "place" with that status. */

void ngx_http_hype_park_wake(ngx_http_hype_park_t *park,
    ngx_http_hype_wait_t *wait);
void ngx_http_hype_park_wake_all(ngx_http_hype_park_t *park,
    ngx_queue_t *place, ngx_int_t status);

/* Takes a request out of the park, whatever its state. */

void ngx_http_hype_park_leave(ngx_http_hype_park_t *park,
    ngx_http_hype_wait_t *wait);


#endif /* _NGX_HTTP_HYPE_PARK_H_INCLUDED_ */
