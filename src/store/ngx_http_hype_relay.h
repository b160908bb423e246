
/*
 * On a worker of Citus, changes of links and new claims are not heard by
 * LISTEN, as NOTIFY on the coordinator does not reach it.  Worker 0 calls
 * hype.relay(), which is there only: it passes on what the coordinator has
 * sent.
 */


#ifndef _NGX_HTTP_HYPE_RELAY_H_INCLUDED_
#define _NGX_HTTP_HYPE_RELAY_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include "ngx_http_hype_db.h"


typedef struct {
    ngx_http_hype_db_t       *db;
    ngx_http_hype_db_conn_t  *conn;       /* that of the last call */
    ngx_uint_t                pending;    /* call when there is a connection */
} ngx_http_hype_relay_t;


/* In zeroed memory but for "db".  Has worker 0 call, four times a second. */

void ngx_http_hype_relay_watch(ngx_http_hype_relay_t *relay);

/* Sends a due call on an idle connection.  Returns 1, or 0 if none is due. */

ngx_uint_t ngx_http_hype_relay_work(ngx_http_hype_relay_t *relay,
    ngx_http_hype_db_conn_t *conn);


#endif /* _NGX_HTTP_HYPE_RELAY_H_INCLUDED_ */
