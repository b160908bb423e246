
/*
 * Events, such as timers, whose data is not a connection but a structure of
 * ours, which begins with what a debug log reads of any: see
 * ngx_event_ident() in nginx's src/event/ngx_event.h.
 */


#ifndef _NGX_HTTP_HYPE_EVENT_H_INCLUDED_
#define _NGX_HTTP_HYPE_EVENT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>


typedef struct {
    void          *unused[3];
    ngx_socket_t   fd;          /* where a connection has it */
} ngx_http_hype_ident_t;


/*
 * Sets up an event in zeroed memory.  "data" begins with an
 * ngx_http_hype_ident_t.  A worker that exits does not wait for one that is
 * "cancelable".
 */

static ngx_inline void
ngx_http_hype_event_init(ngx_event_t *ev, ngx_event_handler_pt handler,
    void *data, ngx_uint_t cancelable)
{
    ngx_http_hype_ident_t *ident = data;

    ident->fd = (ngx_socket_t) -1;

    ev->handler = handler;
    ev->data = data;
    ev->log = ngx_cycle->log;
    ev->cancelable = cancelable;
}


#endif /* _NGX_HTTP_HYPE_EVENT_H_INCLUDED_ */
