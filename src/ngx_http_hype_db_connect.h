
/*
 * The making of a connection, from its host's name to its set-up, for the
 * other parts of the database.
 */


#ifndef _NGX_HTTP_HYPE_DB_CONNECT_H_INCLUDED_
#define _NGX_HTTP_HYPE_DB_CONNECT_H_INCLUDED_


#include "ngx_http_hype_conninfo_addrs.h"
#include "ngx_http_hype_db.h"


/* what the thread has to resolve, in conn->task */

typedef struct {
    ngx_http_hype_db_conn_t         *conn;
    ngx_http_hype_conninfo_addrs_t   addrs;
    ngx_int_t                        rc;
} ngx_http_hype_db_resolve_t;


/* Opens a connection that is closed. */

void ngx_http_hype_db_open(ngx_http_hype_db_conn_t *conn);


#endif /* _NGX_HTTP_HYPE_DB_CONNECT_H_INCLUDED_ */
