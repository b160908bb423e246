
/*
 * The node of a batch, for Citus: which shard its hits go into.  See
 * ngx_http_hype_batch.h.
 */


#ifndef _NGX_HTTP_HYPE_BATCH_NODE_H_INCLUDED_
#define _NGX_HTTP_HYPE_BATCH_NODE_H_INCLUDED_


#include "ngx_http_hype_batch.h"


/* asks for the node; its answer is a smallint */
#define NGX_HTTP_HYPE_BATCH_NODE_SQL  "SELECT hype.my_node()"

/* the bytes of a node in an array or a tuple */
#define NGX_HTTP_HYPE_BATCH_NODE_LEN  (4 + 2)


/* Reads the answer: this is the node of the connection from now on. */

void ngx_http_hype_batch_node_answer(ngx_http_hype_db_conn_t *conn,
    PGresult *res);

/*
 * Gives the records of a batch the node of its connection.  One that may be in
 * the table is there with the node that it was sent with, and keeps it.
 */

void ngx_http_hype_batch_node_set(ngx_http_hype_batch_t *batch);

/*
 * Returns the COPY of tuples with a node.  It asks for the node, too, if that
 * is due; sets "asks" of the batch then.
 */

const char *ngx_http_hype_batch_node_copy(ngx_http_hype_batch_t *batch);

/* PQputCopyData() of a hit's tuple, with the node as one column more. */

int ngx_http_hype_batch_node_tuple(PGconn *pg, u_char *tuple, u_char *last,
    ngx_uint_t node);

/*
 * Writes the node as an element of an array, in NGX_HTTP_HYPE_BATCH_NODE_LEN
 * bytes; returns its end.
 */

u_char *ngx_http_hype_batch_node_put(u_char *p, ngx_uint_t node);


#endif /* _NGX_HTTP_HYPE_BATCH_NODE_H_INCLUDED_ */
