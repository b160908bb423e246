
/*
 * A statement that takes too long is cancelled at the server: a backend that
 * is only left alone goes on with it, and the next try would add another one.
 */


#ifndef _NGX_HTTP_HYPE_DB_CANCEL_H_INCLUDED_
#define _NGX_HTTP_HYPE_DB_CANCEL_H_INCLUDED_


#include "ngx_http_hype_db.h"


/* Prepares a connection for it. */

void ngx_http_hype_db_cancel_init(ngx_http_hype_db_conn_t *conn);

/*
 * Has the server cancel the statement under way; its result, most likely
 * SQLSTATE 57014, comes as any other.  Does not wait.  NGX_DECLINED: it has
 * been asked to already, or an earlier request is still under way.  NGX_ERROR:
 * it can't be done.
 */

ngx_int_t ngx_http_hype_db_cancel(ngx_http_hype_db_conn_t *conn);

/*
 * Whether the server is still being asked, so that it may cancel whatever is
 * sent now: no statement must be.  When it is over, the connection asks for
 * work by itself.
 */

ngx_uint_t ngx_http_hype_db_cancelling(ngx_http_hype_db_conn_t *conn);

/* The session has ended. */

void ngx_http_hype_db_cancel_forget(ngx_http_hype_db_conn_t *conn);


#endif /* _NGX_HTTP_HYPE_DB_CANCEL_H_INCLUDED_ */
