
#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_http_hype_batch_node.h"
#include "ngx_http_hype_queue_fault.h"
#include "ngx_http_hype_stream.h"


#define NGX_HTTP_HYPE_BATCH_IDENTIFIER  (NGX_HTTP_HYPE_ROW_NCOLUMNS)
#define NGX_HTTP_HYPE_BATCH_NODE        (NGX_HTTP_HYPE_ROW_NCOLUMNS + 1)
#define NGX_HTTP_HYPE_BATCH_PARAMS      (NGX_HTTP_HYPE_ROW_NCOLUMNS + 2)

/* types from PostgreSQL's src/include/catalog/pg_type.dat */

#define NGX_HTTP_HYPE_BATCH_INTEGER     23
#define NGX_HTTP_HYPE_BATCH_TEXT        25


/* a statement with arrays, one for each column of a row or field of a record */

typedef struct {
    const char                *name;    /* as hype.probe() calls it */
    const char                *sql;
    ngx_uint_t                 n;
    Oid                        types[NGX_HTTP_HYPE_DB_PARAMS];
    ngx_uint_t                 columns[NGX_HTTP_HYPE_DB_PARAMS];
} ngx_http_hype_batch_call_t;


static void ngx_http_hype_batch_prepared(void *data,
    ngx_http_hype_db_outcome_e outcome, PGresult *res);
static void ngx_http_hype_batch_insert(ngx_http_hype_batch_t *batch,
    ngx_http_hype_item_t *item);
static void ngx_http_hype_batch_copy(ngx_http_hype_batch_t *batch);
static ngx_int_t ngx_http_hype_batch_copy_data(void *data, PGconn *pg);
static void ngx_http_hype_batch_call(ngx_http_hype_batch_t *batch);
static void ngx_http_hype_batch_statement(ngx_http_hype_batch_t *batch,
    ngx_http_hype_db_statement_t *st);
static u_char *ngx_http_hype_batch_put(u_char *p, ngx_http_hype_batch_t *batch,
    ngx_http_hype_item_t *item, ngx_uint_t n);


static const char  ngx_http_hype_batch_prepare_sql[] =
    "PREPARE hype_hit (uuid, bigint, timestamptz, boolean, boolean, uuid, "
    "text, inet, text, text, text, text, text) AS "
    "INSERT INTO hype.referral_hit (" NGX_HTTP_HYPE_ROW_COLUMNS ") "
    "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13); "
    NGX_HTTP_HYPE_BATCH_NODE_SQL;

static const char  ngx_http_hype_batch_node_sql[] =
    NGX_HTTP_HYPE_BATCH_NODE_SQL;

static const char  ngx_http_hype_batch_copy_sql[] =
    "COPY hype.referral_hit (" NGX_HTTP_HYPE_ROW_COLUMNS ") "
    "FROM STDIN (FORMAT binary)";


#define NGX_HTTP_HYPE_BATCH_TYPES                                             \
    { NGX_HTTP_HYPE_ARRAY_UUID, NGX_HTTP_HYPE_ARRAY_BIGINT,                   \
      NGX_HTTP_HYPE_ARRAY_TIMESTAMPTZ, NGX_HTTP_HYPE_ARRAY_BOOL,              \
      NGX_HTTP_HYPE_ARRAY_BOOL, NGX_HTTP_HYPE_ARRAY_UUID,                     \
      NGX_HTTP_HYPE_ARRAY_TEXT, NGX_HTTP_HYPE_ARRAY_INET,                     \
      NGX_HTTP_HYPE_ARRAY_TEXT, NGX_HTTP_HYPE_ARRAY_TEXT,                     \
      NGX_HTTP_HYPE_ARRAY_TEXT, NGX_HTTP_HYPE_ARRAY_TEXT,                     \
      NGX_HTTP_HYPE_ARRAY_TEXT, NGX_HTTP_HYPE_ARRAY_TEXT,                     \
      NGX_HTTP_HYPE_ARRAY_SMALLINT }

#define NGX_HTTP_HYPE_BATCH_COLUMNS                                           \
    { NGX_HTTP_HYPE_ROW_ID, NGX_HTTP_HYPE_ROW_LINK,                           \
      NGX_HTTP_HYPE_ROW_CREATED, NGX_HTTP_HYPE_ROW_AUTHENTICATED,             \
      NGX_HTTP_HYPE_ROW_BOT, NGX_HTTP_HYPE_ROW_VISITOR,                       \
      NGX_HTTP_HYPE_ROW_USER, NGX_HTTP_HYPE_ROW_IP,                           \
      NGX_HTTP_HYPE_ROW_USER_AGENT, NGX_HTTP_HYPE_ROW_REFERER,                \
      NGX_HTTP_HYPE_ROW_NEXT, NGX_HTTP_HYPE_ROW_SOURCE,                       \
      NGX_HTTP_HYPE_ROW_ARGS, NGX_HTTP_HYPE_BATCH_IDENTIFIER,                 \
      NGX_HTTP_HYPE_BATCH_NODE }


static const ngx_http_hype_batch_call_t  ngx_http_hype_batch_calls[] = {

    /* where COPY is refused */

    { "hit",
      "INSERT INTO hype.referral_hit (" NGX_HTTP_HYPE_ROW_COLUMNS ") "
      "SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, "
      "$12, $13)",
      NGX_HTTP_HYPE_ROW_NCOLUMNS,
      NGX_HTTP_HYPE_BATCH_TYPES,
      NGX_HTTP_HYPE_BATCH_COLUMNS },

    { "hit",
      "SELECT hype.replay($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, "
      "$14, $12, $13)",
      NGX_HTTP_HYPE_ROW_NCOLUMNS + 1,
      NGX_HTTP_HYPE_BATCH_TYPES,
      NGX_HTTP_HYPE_BATCH_COLUMNS },

    { "claim",
      "SELECT hype.claim_batch($1, $2, $3)",
      3,
      { NGX_HTTP_HYPE_ARRAY_UUID, NGX_HTTP_HYPE_ARRAY_TEXT,
        NGX_HTTP_HYPE_ARRAY_TIMESTAMPTZ },
      { NGX_HTTP_HYPE_RECORD_VISITOR, NGX_HTTP_HYPE_RECORD_USER,
        NGX_HTTP_HYPE_RECORD_CREATED } },

    { "confirm",
      "SELECT hype.confirm_batch($1, $2, $3, $4, $5)",
      5,
      { NGX_HTTP_HYPE_ARRAY_TEXT, NGX_HTTP_HYPE_ARRAY_TEXT,
        NGX_HTTP_HYPE_ARRAY_UUID, NGX_HTTP_HYPE_ARRAY_TEXT,
        NGX_HTTP_HYPE_ARRAY_TIMESTAMPTZ },
      { NGX_HTTP_HYPE_RECORD_EVENT, NGX_HTTP_HYPE_RECORD_USER,
        NGX_HTTP_HYPE_RECORD_VISITOR, NGX_HTTP_HYPE_RECORD_VALUE,
        NGX_HTTP_HYPE_RECORD_CREATED } }
};


/* hits of a connection with a node */

static const ngx_http_hype_batch_call_t  ngx_http_hype_batch_call_node =

    { "hit",
      "SELECT hype.replay($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, "
      "$14, $12, $13, $15)",
      NGX_HTTP_HYPE_BATCH_PARAMS,
      NGX_HTTP_HYPE_BATCH_TYPES,
      NGX_HTTP_HYPE_BATCH_COLUMNS };


ngx_http_hype_batch_kind_e
ngx_http_hype_batch_kind(ngx_http_hype_item_t *item,
    ngx_http_hype_db_conn_t *conn)
{
    u_char     *tuple;
    ngx_str_t   identifier;

    switch (ngx_http_hype_record_type(item->record)) {

    case NGX_HTTP_HYPE_RECORD_CLAIM:
        return NGX_HTTP_HYPE_BATCH_CLAIM;

    case NGX_HTTP_HYPE_RECORD_CONFIRM:
        return NGX_HTTP_HYPE_BATCH_CONFIRM;

    default:
        break;
    }

    /* a hit may be there with another node, which no index could tell */

    if (item->replay || (item->adopted && conn->node)) {
        return NGX_HTTP_HYPE_BATCH_REPLAY;
    }

    tuple = ngx_http_hype_record_tuple(item->record, &identifier);

    /* COPY takes all columns, which those of an older module lack */

    return (identifier.len
            || ngx_http_hype_row_columns(tuple) != NGX_HTTP_HYPE_ROW_NCOLUMNS)
           ? NGX_HTTP_HYPE_BATCH_REPLAY : NGX_HTTP_HYPE_BATCH_COPY;
}


ngx_uint_t
ngx_http_hype_batch_prepare(ngx_http_hype_db_conn_t *conn)
{
    ngx_http_hype_db_statement_t  st;

    if (conn->prepare_sent) {
        return 0;
    }

    conn->prepare_sent = 1;

    ngx_memzero(&st, sizeof(ngx_http_hype_db_statement_t));

    st.sql = conn->db->pooled ? ngx_http_hype_batch_node_sql
                              : ngx_http_hype_batch_prepare_sql;
    st.optional = 1;
    st.handler = ngx_http_hype_batch_prepared;
    st.data = conn;

    ngx_http_hype_db_send(conn, &st);

    return 1;
}


static void
ngx_http_hype_batch_prepared(void *data, ngx_http_hype_db_outcome_e outcome,
    PGresult *res)
{
    ngx_http_hype_db_conn_t *conn = data;

    switch (outcome) {

    case NGX_HTTP_HYPE_DB_DONE:
        conn->prepared = !conn->db->pooled;
        ngx_http_hype_batch_node_answer(conn, res);
        break;

    case NGX_HTTP_HYPE_DB_REFUSED:

        /* PREPARE was done, but an older schema lacks the function */

        conn->prepared = !conn->db->pooled
                         && ngx_http_hype_db_is(res, "42883");
        break;

    default:
        break;
    }
}


void
ngx_http_hype_batch_send(ngx_http_hype_batch_t *batch)
{
    ngx_queue_t           *q;
    ngx_http_hype_item_t  *item;

    if (batch->conn->node && batch->kind <= NGX_HTTP_HYPE_BATCH_REPLAY) {
        ngx_http_hype_batch_node_set(batch);

    } else if (batch->kind == NGX_HTTP_HYPE_BATCH_COPY
               && batch->n == 1 && batch->conn->prepared)
    {
        q = ngx_queue_head(&batch->items);
        item = ngx_queue_data(q, ngx_http_hype_item_t, queue);

        ngx_http_hype_batch_insert(batch, item);
        return;
    }

    if (batch->kind == NGX_HTTP_HYPE_BATCH_COPY
        && !(batch->conn->flags & NGX_HTTP_HYPE_CONN_NO_COPY))
    {
        ngx_http_hype_batch_copy(batch);
        return;
    }

    ngx_http_hype_batch_call(batch);
}


static void
ngx_http_hype_batch_statement(ngx_http_hype_batch_t *batch,
    ngx_http_hype_db_statement_t *st)
{
    ngx_memzero(st, sizeof(ngx_http_hype_db_statement_t));

    st->judged = 1;
    st->handler = ngx_http_hype_queue_handler;
    st->data = batch;
}


/* PostgreSQL's manual, "COPY": not for tables with row-level security */

ngx_uint_t
ngx_http_hype_batch_other_way(ngx_http_hype_batch_t *batch, PGresult *res)
{
    ngx_http_hype_db_conn_t  *conn;

    conn = batch->conn;

    if (batch->kind == NGX_HTTP_HYPE_BATCH_COPY
        && !(conn->flags & NGX_HTTP_HYPE_CONN_NO_COPY)
        && ngx_http_hype_db_is(res, "0A000"))
    {
        conn->flags |= NGX_HTTP_HYPE_CONN_NO_COPY;
        return 1;
    }

    return 0;
}


void
ngx_http_hype_batch_probe(ngx_http_hype_batch_t *batch)
{
    int                            lengths[2];
    u_char                         size[4];
    size_t                         max;
    ngx_queue_t                   *q;
    const char                    *name, *values[2];
    ngx_http_hype_item_t          *item;
    ngx_http_hype_db_statement_t   st;

    static const Oid  types[] = { NGX_HTTP_HYPE_BATCH_TEXT,
                                  NGX_HTTP_HYPE_BATCH_INTEGER };

    max = 0;

    for (q = ngx_queue_head(&batch->items);
         q != ngx_queue_sentinel(&batch->items);
         q = ngx_queue_next(q))
    {
        item = ngx_queue_data(q, ngx_http_hype_item_t, queue);
        max = ngx_max(max, item->size);
    }

    (void) ngx_http_hype_put32(size, (uint32_t) max);

    name = ngx_http_hype_batch_calls[batch->kind].name;

    values[0] = name;
    lengths[0] = ngx_strlen(name);
    values[1] = (char *) size;
    lengths[1] = 4;

    ngx_http_hype_batch_statement(batch, &st);

    /* what the probe of an older schema does not write */

    st.sql = "SELECT hype.probe($1, $2), "
             "has_column_privilege('hype.referral_hit', 'args', 'INSERT')";
    st.neutral = 1;
    st.nparams = 2;
    st.types = types;
    st.values = values;
    st.lengths = lengths;
    st.handler = ngx_http_hype_queue_probed;

    ngx_http_hype_db_send(batch->conn, &st);
}


static void
ngx_http_hype_batch_insert(ngx_http_hype_batch_t *batch,
    ngx_http_hype_item_t *item)
{
    int                            lengths[NGX_HTTP_HYPE_ROW_NCOLUMNS];
    size_t                         size;
    u_char                        *tuple, *column;
    ngx_str_t                      identifier;
    ngx_uint_t                     i;
    const char                    *values[NGX_HTTP_HYPE_ROW_NCOLUMNS];
    ngx_http_hype_db_statement_t   st;

    tuple = ngx_http_hype_record_tuple(item->record, &identifier);

    (void) ngx_http_hype_row_column(tuple, NGX_HTTP_HYPE_ROW_ID, &column);

    for (i = 0; i < NGX_HTTP_HYPE_ROW_NCOLUMNS; i++) {
        size = ngx_http_hype_column_length(column);

        lengths[i] = size - 4;
        values[i] = (ngx_http_hype_get32(column) == (uint32_t) -1)
                    ? NULL : (char *) column + 4;

        column += size;
    }

    ngx_http_hype_batch_statement(batch, &st);

    st.prepared = "hype_hit";
    st.nparams = NGX_HTTP_HYPE_ROW_NCOLUMNS;
    st.values = values;
    st.lengths = lengths;

    ngx_http_hype_db_send(batch->conn, &st);
}


static void
ngx_http_hype_batch_copy(ngx_http_hype_batch_t *batch)
{
    ngx_http_hype_db_statement_t  st;

    ngx_http_hype_batch_statement(batch, &st);

    st.sql = batch->conn->node ? ngx_http_hype_batch_node_copy(batch)
                               : ngx_http_hype_batch_copy_sql;
    st.copy = ngx_http_hype_batch_copy_data;

    ngx_http_hype_db_send(batch->conn, &st);
}


static ngx_int_t
ngx_http_hype_batch_copy_data(void *data, PGconn *pg)
{
    ngx_http_hype_batch_t *batch = data;

    int                    rc;
    u_char                *tuple, *last;
    ngx_str_t              identifier;
    ngx_queue_t           *q;
    ngx_http_hype_item_t  *item;

    if (PQputCopyData(pg, (char *) ngx_http_hype_row_header.data,
                      ngx_http_hype_row_header.len)
        != 1)
    {
        return NGX_ERROR;
    }

    for (q = ngx_queue_head(&batch->items);
         q != ngx_queue_sentinel(&batch->items);
         q = ngx_queue_next(q))
    {
        item = ngx_queue_data(q, ngx_http_hype_item_t, queue);

        tuple = ngx_http_hype_record_tuple(item->record, &identifier);
        last = item->record + item->size;

        rc = batch->conn->node
             ? ngx_http_hype_batch_node_tuple(pg, tuple, last,
                                              batch->conn->node)
             : PQputCopyData(pg, (char *) tuple, last - tuple);

        if (rc != 1) {
            return NGX_ERROR;
        }
    }

    if (PQputCopyData(pg, (char *) ngx_http_hype_row_trailer.data,
                      ngx_http_hype_row_trailer.len)
        != 1)
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


static void
ngx_http_hype_batch_call(ngx_http_hype_batch_t *batch)
{
    int                                lengths[NGX_HTTP_HYPE_BATCH_PARAMS];
    size_t                             size;
    u_char                            *p, *buf;
    ngx_uint_t                         i;
    ngx_queue_t                       *q;
    const char                        *values[NGX_HTTP_HYPE_BATCH_PARAMS];
    ngx_http_hype_item_t              *item;
    ngx_http_hype_db_statement_t       st;
    const ngx_http_hype_batch_call_t  *call;

    call = (batch->conn->node && batch->kind <= NGX_HTTP_HYPE_BATCH_REPLAY)
           ? &ngx_http_hype_batch_call_node
           : &ngx_http_hype_batch_calls[batch->kind];

    /*
     * a record has each column's bytes once, and an identifier's length; its
     * header is longer than the columns that it may lack
     */

    size = call->n * NGX_HTTP_HYPE_ARRAY_HEADER;

    for (q = ngx_queue_head(&batch->items);
         q != ngx_queue_sentinel(&batch->items);
         q = ngx_queue_next(q))
    {
        item = ngx_queue_data(q, ngx_http_hype_item_t, queue);
        size += item->size + NGX_HTTP_HYPE_BATCH_NODE_LEN;
    }

    buf = ngx_alloc(size, ngx_cycle->log);
    if (buf == NULL) {
        ngx_http_hype_queue_handler(batch, NGX_HTTP_HYPE_DB_RETRY, NULL);
        return;
    }

    p = buf;

    for (i = 0; i < call->n; i++) {
        values[i] = (char *) p;

        p = ngx_http_hype_array_header(p, call->types[i], batch->n);

        for (q = ngx_queue_head(&batch->items);
             q != ngx_queue_sentinel(&batch->items);
             q = ngx_queue_next(q))
        {
            item = ngx_queue_data(q, ngx_http_hype_item_t, queue);
            p = ngx_http_hype_batch_put(p, batch, item, call->columns[i]);
        }

        lengths[i] = p - (u_char *) values[i];
    }

    ngx_http_hype_batch_statement(batch, &st);

    st.sql = call->sql;
    st.nparams = call->n;
    st.types = call->types;
    st.values = values;
    st.lengths = lengths;

    ngx_http_hype_db_send(batch->conn, &st);

    ngx_free(buf);
}


/* writes an element of an array, which is what a column of a record is */

static u_char *
ngx_http_hype_batch_put(u_char *p, ngx_http_hype_batch_t *batch,
    ngx_http_hype_item_t *item, ngx_uint_t n)
{
    u_char     *tuple, *column;
    size_t      size;
    ngx_str_t   identifier;

    if (batch->kind >= NGX_HTTP_HYPE_BATCH_CLAIM) {
        size = ngx_http_hype_record_field(item->record, n, &column);
        return ngx_cpymem(p, column, size);
    }

    tuple = ngx_http_hype_record_tuple(item->record, &identifier);

    switch (n) {

    case NGX_HTTP_HYPE_BATCH_IDENTIFIER:
        return ngx_http_hype_column_text(p, &identifier);

    case NGX_HTTP_HYPE_BATCH_NODE:
        return ngx_http_hype_batch_node_put(p,
                                     ngx_http_hype_record_node(item->record));

    default:
        size = ngx_http_hype_row_column(tuple, n, &column);
        return ngx_cpymem(p, column, size);
    }
}
