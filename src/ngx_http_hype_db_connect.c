
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_thread_pool.h>
#include <netdb.h>
#include "ngx_http_hype_db_connect.h"
#include "ngx_http_hype_db_fail.h"
#include "ngx_http_hype_db_state.h"
#include "ngx_http_hype_db_statement.h"


static ngx_int_t ngx_http_hype_db_resolve(ngx_http_hype_db_conn_t *conn);
static void ngx_http_hype_db_resolve_thread(void *data, ngx_log_t *log);
static void ngx_http_hype_db_resolve_done(ngx_event_t *ev);
static void ngx_http_hype_db_unresolved(ngx_http_hype_db_conn_t *conn,
    ngx_http_hype_conninfo_addrs_t *addrs);
static void ngx_http_hype_db_connect(ngx_http_hype_db_conn_t *conn,
    ngx_http_hype_conninfo_addrs_t *addrs);
static ngx_int_t ngx_http_hype_db_attach(ngx_http_hype_db_conn_t *conn);
static void ngx_http_hype_db_poll(ngx_http_hype_db_conn_t *conn,
    PostgresPollingStatusType status);
static void ngx_http_hype_db_setup(ngx_http_hype_db_conn_t *conn);
static void ngx_http_hype_db_setup_pid(void *data,
    ngx_http_hype_db_outcome_e outcome, PGresult *res);
static void ngx_http_hype_db_setup_done(void *data,
    ngx_http_hype_db_outcome_e outcome, PGresult *res);
static void ngx_http_hype_db_event_handler(ngx_event_t *ev);
static void ngx_http_hype_db_notice(void *data, const char *message);


static ngx_str_t  ngx_http_hype_db_thread_pool = ngx_string("default");


void
ngx_http_hype_db_open(ngx_http_hype_db_conn_t *conn)
{
    if (!conn->db->conf->info.resolve) {
        ngx_http_hype_db_connect(conn, NULL);
        return;
    }

    if (ngx_http_hype_db_resolve(conn) != NGX_OK) {
        ngx_http_hype_db_fail(conn, "no thread to resolve host names");
    }
}


static ngx_int_t
ngx_http_hype_db_resolve(ngx_http_hype_db_conn_t *conn)
{
    ngx_thread_pool_t           *tp;
    ngx_http_hype_db_resolve_t  *ctx;

    tp = ngx_thread_pool_get((ngx_cycle_t *) ngx_cycle,
                             &ngx_http_hype_db_thread_pool);
    if (tp == NULL) {
        return NGX_ERROR;
    }

    if (conn->task->event.active) {

        /* an earlier look-up is still under way, after a time-out */

        ngx_http_hype_db_timer(conn, conn->db->conf->connect_timeout, 1);
        ngx_http_hype_db_state(conn, NGX_HTTP_HYPE_DB_RESOLVING);

        return NGX_OK;
    }

    ctx = conn->task->ctx;
    ctx->conn = conn;

    conn->task->handler = ngx_http_hype_db_resolve_thread;
    conn->task->event.handler = ngx_http_hype_db_resolve_done;
    conn->task->event.data = ctx;
    conn->task->event.log = conn->db->log;

    if (ngx_thread_task_post(tp, conn->task) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_http_hype_db_state(conn, NGX_HTTP_HYPE_DB_RESOLVING);

    ngx_http_hype_db_timer(conn, conn->db->conf->connect_timeout, 1);

    return NGX_OK;
}


static void
ngx_http_hype_db_resolve_thread(void *data, ngx_log_t *log)
{
    ngx_http_hype_db_resolve_t *ctx = data;

    ctx->rc = ngx_http_hype_conninfo_resolve(&ctx->conn->db->conf->info,
                                             &ctx->addrs);
}


static void
ngx_http_hype_db_resolve_done(ngx_event_t *ev)
{
    ngx_http_hype_db_resolve_t *ctx = ev->data;

    ngx_http_hype_db_conn_t  *conn;

    conn = ctx->conn;

    if (conn->state != NGX_HTTP_HYPE_DB_RESOLVING) {

        /* too late, it has been given up */

    } else if (ctx->rc != NGX_OK) {
        ngx_http_hype_db_unresolved(conn, &ctx->addrs);

    } else {
        ngx_http_hype_db_connect(conn, &ctx->addrs);
    }

    ngx_http_hype_conninfo_free(&ctx->addrs);
}


static void
ngx_http_hype_db_unresolved(ngx_http_hype_db_conn_t *conn,
    ngx_http_hype_conninfo_addrs_t *addrs)
{
    u_char  reason[NI_MAXHOST + 128];

    if (addrs->error == 0) {
        ngx_http_hype_db_fail(conn, "no memory to resolve host names");
        return;
    }

    ngx_snprintf(reason, sizeof(reason), "host \"%s\" can't be resolved: "
                 "%s%Z", addrs->failed, gai_strerror(addrs->error));

    reason[sizeof(reason) - 1] = '\0';

    ngx_http_hype_db_fail(conn, (char *) reason);
}


static void
ngx_http_hype_db_connect(ngx_http_hype_db_conn_t *conn,
    ngx_http_hype_conninfo_addrs_t *addrs)
{
    ngx_http_hype_db_state(conn, NGX_HTTP_HYPE_DB_CONNECTING);

    ngx_http_hype_db_timer(conn, conn->db->conf->connect_timeout, 1);

    conn->pg = ngx_http_hype_conninfo_connect(&conn->db->conf->info, addrs,
                                              conn->first);

    if (conn->pg == NULL) {
        ngx_http_hype_db_fail(conn, "no memory");
        return;
    }

    if (PQstatus(conn->pg) == CONNECTION_BAD) {
        ngx_http_hype_db_fail(conn, PQerrorMessage(conn->pg));
        return;
    }

    PQsetNoticeProcessor(conn->pg, ngx_http_hype_db_notice, conn);

    ngx_http_hype_db_poll(conn, PGRES_POLLING_WRITING);
}


/*
 * While it connects, libpq goes from one address to the next, or from TLS to
 * plain text, with another socket that may have the same number: the socket
 * is attached anew after each step.
 */

static ngx_int_t
ngx_http_hype_db_attach(ngx_http_hype_db_conn_t *conn)
{
    ngx_connection_t  *c;

    c = ngx_get_connection(PQsocket(conn->pg), conn->db->log);
    if (c == NULL) {
        return NGX_ERROR;
    }

    c->data = conn;
    c->shared = 1;    /* the socket is closed by libpq */

    c->log = conn->db->log;
    c->read->log = c->log;
    c->write->log = c->log;
    c->read->handler = ngx_http_hype_db_event_handler;
    c->write->handler = ngx_http_hype_db_event_handler;

    c->number = ngx_atomic_fetch_add(ngx_connection_counter, 1);
    c->start_time = ngx_current_msec;

    conn->connection = c;

    return NGX_OK;
}


static void
ngx_http_hype_db_poll(ngx_http_hype_db_conn_t *conn,
    PostgresPollingStatusType status)
{
    ngx_int_t          rc;
    ngx_connection_t  *c;

    switch (status) {

    case PGRES_POLLING_OK:
        ngx_http_hype_db_setup(conn);
        return;

    case PGRES_POLLING_READING:
    case PGRES_POLLING_WRITING:
        break;

    default:
        ngx_http_hype_db_fail(conn, PQerrorMessage(conn->pg));
        return;
    }

    if (ngx_http_hype_db_attach(conn) != NGX_OK) {
        ngx_http_hype_db_fail(conn, "no free worker_connections");
        return;
    }

    c = conn->connection;

    rc = (status == PGRES_POLLING_READING)
         ? ngx_add_event(c->read, NGX_READ_EVENT, NGX_LEVEL_EVENT)
         : ngx_add_event(c->write, NGX_WRITE_EVENT, NGX_LEVEL_EVENT);

    if (rc != NGX_OK) {
        ngx_http_hype_db_fail(conn, "could not watch its socket");
    }
}


static void
ngx_http_hype_db_setup(ngx_http_hype_db_conn_t *conn)
{
    ngx_http_hype_db_statement_t  st;

    if (ngx_http_hype_db_attach(conn) != NGX_OK) {
        ngx_http_hype_db_fail(conn, "no free worker_connections");
        return;
    }

    if (PQsetnonblocking(conn->pg, 1) != 0
        || ngx_add_event(conn->connection->read, NGX_READ_EVENT,
                         NGX_LEVEL_EVENT)
           != NGX_OK)
    {
        ngx_http_hype_db_fail(conn, "could not watch its socket");
        return;
    }

    ngx_http_hype_db_state(conn, NGX_HTTP_HYPE_DB_SETUP);

    ngx_memzero(&st, sizeof(ngx_http_hype_db_statement_t));

    st.sql = "SELECT pg_backend_pid()";
    st.handler = ngx_http_hype_db_setup_pid;
    st.data = conn;

    ngx_http_hype_db_start(conn, &st);
}


/*
 * A pooler such as PgBouncer has process numbers of its own.  Behind it, a
 * session's settings would be somebody else's in the next transaction: there
 * is no LISTEN then, and lock_timeout is what the role has.
 */

static void
ngx_http_hype_db_setup_pid(void *data, ngx_http_hype_db_outcome_e outcome,
    PGresult *res)
{
    ngx_http_hype_db_conn_t *conn = data;

    u_char                        sql[128];
    ngx_http_hype_db_statement_t  st;

    if (outcome != NGX_HTTP_HYPE_DB_DONE) {
        return;
    }

    conn->db->pooled = ngx_atoi((u_char *) PQgetvalue(res, 0, 0),
                                PQgetlength(res, 0, 0))
                       != PQbackendPID(conn->pg);

    if (conn->db->pooled) {
        ngx_http_hype_db_setup_done(conn, outcome, res);
        return;
    }

    ngx_http_hype_db_state(conn, NGX_HTTP_HYPE_DB_SETUP);
    ngx_http_hype_db_timer(conn, conn->db->conf->connect_timeout, 1);

    ngx_memzero(&st, sizeof(ngx_http_hype_db_statement_t));

    ngx_sprintf(sql, "SET lock_timeout = %M%s%Z", conn->db->conf->timeout,
                (conn->roles & NGX_HTTP_HYPE_DB_LINKS)
                ? "; LISTEN hype_link; LISTEN hype_claim" : "");

    st.sql = (char *) sql;
    st.handler = ngx_http_hype_db_setup_done;
    st.data = conn;

    ngx_http_hype_db_start(conn, &st);
}


static void
ngx_http_hype_db_setup_done(void *data, ngx_http_hype_db_outcome_e outcome,
    PGresult *res)
{
    ngx_http_hype_db_conn_t *conn = data;

    ngx_http_hype_db_t  *db;

    db = conn->db;

    if (outcome != NGX_HTTP_HYPE_DB_DONE) {
        return;
    }

    conn->made = ngx_current_msec;

    ngx_http_hype_db_failing(conn, 0);

    if ((conn->roles & NGX_HTTP_HYPE_DB_LINKS) && !db->pooled) {
        db->listening = ngx_current_msec ? ngx_current_msec : 1;
    }

    ngx_log_error(NGX_LOG_INFO, db->log, 0,
                  "hype: connected to PostgreSQL %d, process %d%s",
                  PQserverVersion(conn->pg), PQbackendPID(conn->pg),
                  db->pooled ? ", through a pooler" : "");
}


static void
ngx_http_hype_db_event_handler(ngx_event_t *ev)
{
    ngx_connection_t         *c;
    ngx_http_hype_db_conn_t  *conn;

    c = ev->data;
    conn = c->data;

    if (c->close) {

        /* an exiting worker has no time for it any more */

        ngx_http_hype_db_disconnect(conn);
        return;
    }

    if (conn->state == NGX_HTTP_HYPE_DB_CONNECTING) {
        ngx_http_hype_db_detach(conn, 0);
        ngx_http_hype_db_poll(conn, PQconnectPoll(conn->pg));
        return;
    }

    ngx_http_hype_db_process(conn);
}


static void
ngx_http_hype_db_notice(void *data, const char *message)
{
    ngx_http_hype_db_conn_t *conn = data;

    size_t  len;
    u_char  text[512];

    len = ngx_min(strcspn(message, "\n"), sizeof(text));

    ngx_memcpy(text, message, len);
    ngx_http_hype_db_clean(text, len);

    ngx_log_error(NGX_LOG_INFO, conn->db->log, 0,
                  "hype: PostgreSQL says: %*s", len, text);
}
