
/*
 * A connection that fails, or is refused something: backing off, logging, and
 * the end of both, for the other parts of the database.
 */


#ifndef _NGX_HTTP_HYPE_DB_FAIL_H_INCLUDED_
#define _NGX_HTTP_HYPE_DB_FAIL_H_INCLUDED_


#include "ngx_http_hype_db.h"


/*
 * The connection is lost, or could not be made.  One that did its work before
 * is opened again at once; if it was idle, that is no error.
 */

void ngx_http_hype_db_fail(ngx_http_hype_db_conn_t *conn, const char *reason);

/* Keeps the connection, but gives the database some time. */

void ngx_http_hype_db_pause(ngx_http_hype_db_conn_t *conn);

/* Whether it is worth a visitor's wait has changed; says so if it is not. */

void ngx_http_hype_db_failing(ngx_http_hype_db_conn_t *conn,
    ngx_uint_t failing);

/* A statement has gone well: ends what the above began. */

void ngx_http_hype_db_success(ngx_http_hype_db_conn_t *conn);

/*
 * Counts an error.  One line each time something goes wrong that went well
 * before, and one in a while as long as it does.
 */

void ngx_http_hype_db_log(ngx_http_hype_db_conn_t *conn, const char *doing,
    const char *message);


#endif /* _NGX_HTTP_HYPE_DB_FAIL_H_INCLUDED_ */
