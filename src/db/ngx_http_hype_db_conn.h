
/*
 * A connection, for the files of this folder: its state, how it is made, what
 * is sent on it, what becomes of it when that fails.
 */


#ifndef _NGX_HTTP_HYPE_DB_CONN_H_INCLUDED_
#define _NGX_HTTP_HYPE_DB_CONN_H_INCLUDED_


#include "ngx_http_hype_conninfo.h"
#include "ngx_http_hype_db.h"


/* ngx_http_hype_db_state.c: its state and its end */

typedef enum {
    NGX_HTTP_HYPE_DB_CLOSED = 0,
    NGX_HTTP_HYPE_DB_RESOLVING,
    NGX_HTTP_HYPE_DB_CONNECTING,
    NGX_HTTP_HYPE_DB_SETUP,
    NGX_HTTP_HYPE_DB_PAUSED,
    NGX_HTTP_HYPE_DB_IDLE,
    NGX_HTTP_HYPE_DB_BUSY
} ngx_http_hype_db_state_e;


/* Enters the state, and counts it in the worker's metrics. */

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


/* ngx_http_hype_db_connect.c: from its host's name to its set-up */

/*
 * What a thread does, by conn->task, and what is done after it: it looks names
 * up, and makes a connection that can't be made without blocking.
 */

struct ngx_http_hype_db_task_s {
    ngx_http_hype_thread_t           thread;
    ngx_http_hype_db_conn_t         *conn;
    ngx_uint_t                       first;        /* of several hosts */
    ngx_http_hype_conninfo_addrs_t   addrs;
    ngx_int_t                        rc;           /* of the look-up */
    PGconn                          *pg;
};

void ngx_http_hype_db_thread(void *data);
void ngx_http_hype_db_thread_done(void *data);


/* Opens a connection that is closed; fails it if that can't be begun. */

void ngx_http_hype_db_open(ngx_http_hype_db_conn_t *conn);


/* ngx_http_hype_db_statement.c: statements, and the turns between them */

/*
 * Sends a statement, of the set-up or from "work".  If that fails, the
 * connection fails.
 */

void ngx_http_hype_db_start(ngx_http_hype_db_conn_t *conn,
    ngx_http_hype_db_statement_t *statement);

/* Reads what the server has sent, and acts on it; may close the connection. */

void ngx_http_hype_db_process(ngx_http_hype_db_conn_t *conn);

/* Has an idle connection ask for work. */

void ngx_http_hype_db_idle(ngx_http_hype_db_conn_t *conn);

/* Handler of the event "next": does so. */

void ngx_http_hype_db_next_handler(ngx_event_t *ev);


/* ngx_http_hype_db_fail.c: backing off, logging, and the end of both */

/*
 * The connection is lost, or could not be made: closes it.  One that did its
 * work before is opened again at once; if it was idle, that is no error.
 */

void ngx_http_hype_db_fail(ngx_http_hype_db_conn_t *conn, const char *reason);

/* Keeps the connection, but sends nothing on it for a while. */

void ngx_http_hype_db_pause(ngx_http_hype_db_conn_t *conn);

/* Sets conn->failing, and tells the store that a role may be unavailable. */

void ngx_http_hype_db_failing(ngx_http_hype_db_conn_t *conn,
    ngx_uint_t failing);

/* A statement has succeeded: clears what the functions above have set. */

void ngx_http_hype_db_success(ngx_http_hype_db_conn_t *conn);

/*
 * Counts an error, and logs "event" and the message: the first time since all
 * was well, and then once in a while.
 */

void ngx_http_hype_db_log(ngx_http_hype_db_conn_t *conn, const char *event,
    const char *message);


/*
 * ngx_http_hype_db_cancel.c: a statement that takes too long is cancelled at
 * the server.  Else its backend would go on with it, and the next try would add
 * another one.
 */

/*
 * Asks the server to cancel the statement under way, and does not wait.  The
 * statement's result, most likely SQLSTATE 57014, comes as any other.
 *
 * NGX_OK: the request is under way.  NGX_DECLINED: the server was asked before,
 * or an earlier request is still under way.  NGX_ERROR: it can't be done.
 */

ngx_int_t ngx_http_hype_db_cancel(ngx_http_hype_db_conn_t *conn);

/* What the thread "canceller" does, and what is done after it. */

void ngx_http_hype_db_cancel_thread(void *data);
void ngx_http_hype_db_cancel_done(void *data);


#endif /* _NGX_HTTP_HYPE_DB_CONN_H_INCLUDED_ */
