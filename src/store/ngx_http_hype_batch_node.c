
#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_http_hype_batch_node.h"


/* milliseconds until a connection that has a node asks again */
#define NGX_HTTP_HYPE_BATCH_NODE_ASK  1000


/*
 * Two commands are one transaction block: Citus then writes to a shard of its
 * own machine itself, without a connection to it and a two-phase commit.  An
 * explicit block would have to be rolled back after an error.
 */

#define NGX_HTTP_HYPE_BATCH_NODE_COPY                                         \
    "COPY hype.referral_hit (" NGX_HTTP_HYPE_ROW_COLUMNS ", node) "           \
    "FROM STDIN (FORMAT binary); "

static const char  ngx_http_hype_batch_node_copy_sql[] =
    NGX_HTTP_HYPE_BATCH_NODE_COPY "SELECT 0";

static const char  ngx_http_hype_batch_node_copy_ask_sql[] =
    NGX_HTTP_HYPE_BATCH_NODE_COPY NGX_HTTP_HYPE_BATCH_NODE_SQL;


void
ngx_http_hype_batch_node_answer(ngx_http_hype_db_conn_t *conn, PGresult *res)
{
    ngx_int_t  node;

    node = ngx_atoi((u_char *) PQgetvalue(res, 0, 0), PQgetlength(res, 0, 0));

    conn->node = ngx_max(node, 0);
    conn->asked = ngx_current_msec;
}


void
ngx_http_hype_batch_done(ngx_http_hype_batch_t *batch, PGresult *res)
{
    if (batch->asks) {
        ngx_http_hype_batch_node_answer(batch->conn, res);
    }
}


void
ngx_http_hype_batch_node_set(ngx_http_hype_batch_t *batch)
{
    ngx_queue_t           *q;
    ngx_http_hype_item_t  *item;

    for (q = ngx_queue_head(&batch->items);
         q != ngx_queue_sentinel(&batch->items);
         q = ngx_queue_next(q))
    {
        item = ngx_queue_data(q, ngx_http_hype_item_t, queue);

        if (!item->replay || ngx_http_hype_record_node(item->record) == 0) {
            ngx_http_hype_record_set_node(item->record, batch->conn->node);
        }
    }
}


const char *
ngx_http_hype_batch_node_copy(ngx_http_hype_batch_t *batch)
{
    if (ngx_current_msec - batch->conn->asked < NGX_HTTP_HYPE_BATCH_NODE_ASK) {
        return ngx_http_hype_batch_node_copy_sql;
    }

    batch->asks = 1;

    return ngx_http_hype_batch_node_copy_ask_sql;
}


int
ngx_http_hype_batch_node_tuple(PGconn *pg, u_char *tuple, u_char *last,
    ngx_uint_t node)
{
    int     rc;
    u_char  count[2], column[NGX_HTTP_HYPE_BATCH_NODE_LEN];

    count[0] = 0;
    count[1] = NGX_HTTP_HYPE_ROW_NCOLUMNS + 1;
    tuple += sizeof(count);

    (void) ngx_http_hype_batch_node_put(column, node);

    rc = PQputCopyData(pg, (char *) count, sizeof(count));

    if (rc == 1) {
        rc = PQputCopyData(pg, (char *) tuple, last - tuple);
    }

    if (rc == 1) {
        rc = PQputCopyData(pg, (char *) column, sizeof(column));
    }

    return rc;
}


u_char *
ngx_http_hype_batch_node_put(u_char *p, ngx_uint_t node)
{
    p = ngx_http_hype_put32(p, NGX_HTTP_HYPE_BATCH_NODE_LEN - 4);

    *p++ = (u_char) (node >> 8);
    *p++ = (u_char) node;

    return p;
}
