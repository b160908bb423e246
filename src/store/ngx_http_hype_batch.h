
/*
 * A batch: records of one kind that go to PostgreSQL in one transaction.
 *
 * Hits go by COPY, one by INSERT, and so do several where row-level security
 * forbids COPY.  Those that may be in the table already, or that have no link
 * yet, go by hype.replay(), which leaves out what is there and finds the links;
 * claims and confirms go by functions that may be repeated.
 *
 * On Citus each batch of hits has a node, so that it goes into one shard, which
 * is on the machine that the connection leads to: see hype.my_node() in
 * sql/hype.sql.  A record keeps the node of its first batch, as only there a
 * hit that is written again meets the first one.  The file of another worker
 * does not tell to which node that has sent what was in it, if it has:
 * hype.replay() looks for these hits on all machines.
 */


#ifndef _NGX_HTTP_HYPE_BATCH_H_INCLUDED_
#define _NGX_HTTP_HYPE_BATCH_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_http_hype_db.h"
#include "ngx_http_hype_record.h"
#include "ngx_http_hype_spool.h"


/* a connection's flags: COPY is not allowed; nobody waits for its batch */
#define NGX_HTTP_HYPE_CONN_NO_COPY  0x01
#define NGX_HTTP_HYPE_CONN_BACKLOG  0x02


/* a record in memory, in one allocation */

typedef struct {
    ngx_queue_t                queue;
    ngx_queue_t                waits;    /* the request that waits for it */
    ngx_http_hype_spool_t     *spool;    /* that it was read from, or NULL, */
    ngx_uint_t                 file;     /* and the file's number in it */
    size_t                     size;     /* of the record in bytes */
    ngx_msec_t                 due;      /* when it is tried again */

    uint32_t                   written;  /* batches when it was refused */

    unsigned                   tries:8;  /* see ngx_http_hype_queue_fault.c */
    unsigned                   refused:1; /* alone */
    unsigned                   trial:1;  /* to be sent alone */
    unsigned                   replay:1; /* it may be in the table already */
    unsigned                   adopted:1; /* another worker may have sent it */
    unsigned                   spooled:1; /* it is in the spool, too */
    unsigned                   in_batch:1;

    u_char                     record[1];
} ngx_http_hype_item_t;


typedef enum {
    NGX_HTTP_HYPE_BATCH_COPY = 0,
    NGX_HTTP_HYPE_BATCH_REPLAY,
    NGX_HTTP_HYPE_BATCH_CLAIM,
    NGX_HTTP_HYPE_BATCH_CONFIRM
} ngx_http_hype_batch_kind_e;


typedef struct ngx_http_hype_queue_s  ngx_http_hype_queue_t;

typedef struct {
    ngx_queue_t                items;
    ngx_uint_t                 n;
    ngx_http_hype_batch_kind_e kind;
    ngx_http_hype_queue_t     *queue;
    ngx_http_hype_db_conn_t   *conn;
    uint64_t                   sent;     /* microseconds */
    u_char                    *reason;   /* why it was refused, or NULL */
    ngx_uint_t                 asks;     /* for the node; unsigned asks:1 */
} ngx_http_hype_batch_t;


/*
 * How a record is written on that connection: records of one kind can be in one
 * batch.
 */

ngx_http_hype_batch_kind_e ngx_http_hype_batch_kind(
    ngx_http_hype_item_t *item, ngx_http_hype_db_conn_t *conn);

/*
 * Before the first batch on a connection: asks for its node, and prepares the
 * INSERT of one hit, which takes one round trip where COPY takes two; not
 * behind a pooler, where the next transaction may be in another session.
 * Returns 1 if that is under way, 0 if it is done.  If PostgreSQL refuses, hits
 * go by COPY.
 */

ngx_uint_t ngx_http_hype_batch_prepare(ngx_http_hype_db_conn_t *conn);

/*
 * A batch has succeeded with this result: it may say that the connection has
 * another node from now on, as the shard of the old one was moved away.
 */

void ngx_http_hype_batch_done(ngx_http_hype_batch_t *batch, PGresult *res);

/*
 * Whether a batch that was refused can be sent in another way, which is then
 * used for all batches on its connection.  Returns 1 or 0.
 */

ngx_uint_t ngx_http_hype_batch_other_way(ngx_http_hype_batch_t *batch,
    PGresult *res);

/*
 * Sends the probe: PostgreSQL writes a neutral record of the same stream, as
 * large as the largest of the batch, and rolls back.  That tells whether other
 * records are refused, too.  Calls ngx_http_hype_queue_probed() once.
 */

void ngx_http_hype_batch_probe(ngx_http_hype_batch_t *batch);

/*
 * Sends a batch of at least one item, all of its kind.  Calls
 * ngx_http_hype_queue_handler() once: before it returns, with
 * NGX_HTTP_HYPE_DB_RETRY, if memory ran out.
 */

void ngx_http_hype_batch_send(ngx_http_hype_batch_t *batch);


#endif /* _NGX_HTTP_HYPE_BATCH_H_INCLUDED_ */
