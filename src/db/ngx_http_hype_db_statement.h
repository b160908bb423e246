
/*
 * What a connection does once it is made: statements, and the turns between
 * them, for the other parts of the database.
 */


#ifndef _NGX_HTTP_HYPE_DB_STATEMENT_H_INCLUDED_
#define _NGX_HTTP_HYPE_DB_STATEMENT_H_INCLUDED_


#include "ngx_http_hype_db.h"


/*
 * Sends a statement, one of the set-up or another; a connection that can't
 * fails.
 */

void ngx_http_hype_db_start(ngx_http_hype_db_conn_t *conn,
    ngx_http_hype_db_statement_t *statement);

/* Reads what the server has sent, and acts on it. */

void ngx_http_hype_db_process(ngx_http_hype_db_conn_t *conn);

/* Has an idle connection ask for work. */

void ngx_http_hype_db_idle(ngx_http_hype_db_conn_t *conn);

/* Handler of the event "next": does so. */

void ngx_http_hype_db_next_handler(ngx_event_t *ev);


#endif /* _NGX_HTTP_HYPE_DB_STATEMENT_H_INCLUDED_ */
