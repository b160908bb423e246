
/*
 * A connection's state and its end, for the other parts of the database.
 */


#ifndef _NGX_HTTP_HYPE_DB_STATE_H_INCLUDED_
#define _NGX_HTTP_HYPE_DB_STATE_H_INCLUDED_


#include "ngx_http_hype_db.h"


typedef enum {
    NGX_HTTP_HYPE_DB_CLOSED = 0,
    NGX_HTTP_HYPE_DB_RESOLVING,
    NGX_HTTP_HYPE_DB_CONNECTING,
    NGX_HTTP_HYPE_DB_SETUP,
    NGX_HTTP_HYPE_DB_PAUSED,
    NGX_HTTP_HYPE_DB_IDLE,
    NGX_HTTP_HYPE_DB_BUSY
} ngx_http_hype_db_state_e;


/* Enters the state, and has the worker's figures say so. */

void ngx_http_hype_db_state(ngx_http_hype_db_conn_t *conn,
    ngx_http_hype_db_state_e state);

/*
 * Sets the connection's timer, in milliseconds, instead of what it was set to.
 * One that is cancelable does not keep a worker that exits.
 */

void ngx_http_hype_db_timer(ngx_http_hype_db_conn_t *conn, ngx_msec_t timer,
    ngx_uint_t cancelable);

/*
 * Gives up the connection of nginx's that watches the socket, if there is
 * one.  NGX_CLOSE_EVENT: libpq closes the socket, or has done so already.
 */

void ngx_http_hype_db_detach(ngx_http_hype_db_conn_t *conn, ngx_uint_t flags);

/*
 * Hands the outcome and the result to the statement's handler, if there is a
 * statement, and forgets both.
 */

void ngx_http_hype_db_deliver(ngx_http_hype_db_conn_t *conn,
    ngx_http_hype_db_outcome_e outcome);

/*
 * Closes it.  A statement under way ends, as NGX_HTTP_HYPE_DB_UNKNOWN unless
 * more is known of it.
 */

void ngx_http_hype_db_disconnect(ngx_http_hype_db_conn_t *conn);


#endif /* _NGX_HTTP_HYPE_DB_STATE_H_INCLUDED_ */
