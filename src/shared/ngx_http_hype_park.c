
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include "ngx_http_hype_park.h"


/* requests resumed in one turn of the event loop */
#define NGX_HTTP_HYPE_PARK_SLICE  64


static void ngx_http_hype_park_timer(ngx_http_hype_park_t *park);
static void ngx_http_hype_park_timer_handler(ngx_event_t *ev);
static void ngx_http_hype_park_event_handler(ngx_event_t *ev);


void
ngx_http_hype_park_init(ngx_http_hype_park_t *park, ngx_msec_t timeout,
    ngx_atomic_t *n)
{
    ngx_queue_init(&park->waiting);
    ngx_queue_init(&park->ready);

    park->timeout = timeout;
    park->n = n;
    ngx_http_hype_event_init(&park->timer, ngx_http_hype_park_timer_handler,
                             park, 0);

    ngx_http_hype_event_init(&park->event, ngx_http_hype_park_event_handler,
                             park, 0);
}


void
ngx_http_hype_park(ngx_http_hype_park_t *park, ngx_http_hype_wait_t *wait,
    ngx_queue_t *place, void *owner, ngx_int_t status)
{
    ngx_queue_t           *q;
    ngx_http_hype_wait_t  *before;

    wait->waiting = 1;
    wait->owner = owner;
    wait->status = status;

    ngx_queue_insert_tail(place, &wait->place);

    (*park->n)++;

    if (!wait->timed) {
        wait->timed = 1;
        wait->deadline = ngx_current_msec + park->timeout;
    }

    /* most wait for the first time, so their deadline is the last one */

    for (q = ngx_queue_last(&park->waiting);
         q != ngx_queue_sentinel(&park->waiting);
         q = ngx_queue_prev(q))
    {
        before = ngx_queue_data(q, ngx_http_hype_wait_t, queue);

        if ((ngx_msec_int_t) (before->deadline - wait->deadline) <= 0) {
            break;
        }
    }

    ngx_queue_insert_after(q, &wait->queue);

    park->timer.cancelable = 0;

    if (!park->timer.timer_set
        || (ngx_msec_int_t) (park->timer.timer.key - wait->deadline) > 0)
    {
        ngx_http_hype_park_timer(park);
    }
}


void
ngx_http_hype_park_wake(ngx_http_hype_park_t *park,
    ngx_http_hype_wait_t *wait)
{
    if (wait->ready) {
        return;
    }

    ngx_http_hype_park_leave(park, wait);

    wait->ready = 1;
    (*park->n)++;

    ngx_queue_insert_tail(&park->ready, &wait->queue);

    park->timer.cancelable = 0;

    ngx_post_event(&park->event, &ngx_posted_events);
}


void
ngx_http_hype_park_wake_all(ngx_http_hype_park_t *park, ngx_queue_t *place,
    ngx_int_t status)
{
    ngx_http_hype_wait_t  *wait;

    while (!ngx_queue_empty(place)) {
        wait = ngx_queue_data(ngx_queue_head(place), ngx_http_hype_wait_t,
                              place);

        wait->status = status;
        ngx_http_hype_park_wake(park, wait);
    }
}


void
ngx_http_hype_park_leave(ngx_http_hype_park_t *park,
    ngx_http_hype_wait_t *wait)
{
    if (wait->waiting) {
        ngx_queue_remove(&wait->place);
    }

    if (wait->waiting || wait->ready) {
        ngx_queue_remove(&wait->queue);
        wait->waiting = 0;
        wait->ready = 0;
        (*park->n)--;
    }

    /* an exiting worker may have nothing to wait for any more */

    park->timer.cancelable = ngx_queue_empty(&park->waiting)
                             && ngx_queue_empty(&park->ready);
}


static void
ngx_http_hype_park_event_handler(ngx_event_t *ev)
{
    ngx_uint_t             n;
    ngx_queue_t           *q;
    ngx_http_hype_park_t  *park;
    ngx_http_hype_wait_t  *wait;

    park = ev->data;

    for (n = 0; n < NGX_HTTP_HYPE_PARK_SLICE; n++) {

        if (ngx_queue_empty(&park->ready)) {
            return;
        }

        q = ngx_queue_head(&park->ready);
        wait = ngx_queue_data(q, ngx_http_hype_wait_t, queue);

        ngx_http_hype_park_leave(park, wait);

        wait->resume(wait);
    }

    if (!ngx_queue_empty(&park->ready)) {
        ngx_post_event(ev, &ngx_posted_next_events);

        /* a timer keeps an exiting worker alive, a posted event does not */

        if (!park->timer.timer_set) {
            ngx_add_timer(&park->timer, 1);
        }
    }
}


/*
 * The timer is set for the first deadline, and not stopped when that request
 * is woken: it is set again when it fires, not for each request.
 */

static void
ngx_http_hype_park_timer_handler(ngx_event_t *ev)
{
    ngx_queue_t           *q;
    ngx_http_hype_park_t  *park;
    ngx_http_hype_wait_t  *wait;

    park = ev->data;

    while (!ngx_queue_empty(&park->waiting)) {

        q = ngx_queue_head(&park->waiting);
        wait = ngx_queue_data(q, ngx_http_hype_wait_t, queue);

        if ((ngx_msec_int_t) (wait->deadline - ngx_current_msec) > 0) {
            break;
        }

        ngx_http_hype_park_wake(park, wait);

        if (wait->expire) {
            wait->expire(wait);
        }
    }

    ngx_http_hype_park_timer(park);
}


static void
ngx_http_hype_park_timer(ngx_http_hype_park_t *park)
{
    ngx_queue_t           *q;
    ngx_msec_int_t         timer;
    ngx_http_hype_wait_t  *wait;

    if (ngx_queue_empty(&park->waiting)) {
        return;
    }

    q = ngx_queue_head(&park->waiting);
    wait = ngx_queue_data(q, ngx_http_hype_wait_t, queue);

    timer = wait->deadline - ngx_current_msec;

    if (park->timer.timer_set) {
        ngx_del_timer(&park->timer);
    }

    park->timer.cancelable = 0;

    ngx_add_timer(&park->timer, ngx_max(timer, 0));
}
