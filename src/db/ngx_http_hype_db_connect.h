
/*
 * The making of a connection, from its host's name to its set-up, for the
 * other parts of the database.
 */


#ifndef _NGX_HTTP_HYPE_DB_CONNECT_H_INCLUDED_
#define _NGX_HTTP_HYPE_DB_CONNECT_H_INCLUDED_


#include "ngx_http_hype_conninfo_addrs.h"
#include "ngx_http_hype_db.h"


/*
 * What a thread does, in conn->task: it looks names up, and makes a connection
 * that can't be made without blocking.
 */

typedef struct {
    ngx_http_hype_db_conn_t         *conn;
    ngx_uint_t                       first;        /* of several hosts */
    ngx_http_hype_conninfo_addrs_t   addrs;
    ngx_int_t                        rc;           /* of the look-up */
    PGconn                          *pg;
} ngx_http_hype_db_thread_t;


/* Opens a connection that is closed. */

void ngx_http_hype_db_open(ngx_http_hype_db_conn_t *conn);


#endif /* _NGX_HTTP_HYPE_DB_CONNECT_H_INCLUDED_ */
