
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <netdb.h>
#include "ngx_http_hype_db_conn.h"


/* milliseconds between two clocks that are worth a warning */
#define NGX_HTTP_HYPE_DB_SKEW  1000


static ngx_uint_t ngx_http_hype_db_wanted(ngx_http_hype_db_conn_t *conn,
    ngx_http_hype_db_task_t *task);
static void ngx_http_hype_db_unresolved(ngx_http_hype_db_conn_t *conn,
    ngx_http_hype_conninfo_addrs_t *addrs);
static void ngx_http_hype_db_connect(ngx_http_hype_db_conn_t *conn,
    ngx_http_hype_conninfo_addrs_t *addrs, PGconn *pg);
static ngx_int_t ngx_http_hype_db_attach(ngx_http_hype_db_conn_t *conn);
static void ngx_http_hype_db_poll(ngx_http_hype_db_conn_t *conn,
    PostgresPollingStatusType status);
static void ngx_http_hype_db_advance(ngx_http_hype_db_conn_t *conn);
static void ngx_http_hype_db_setup(ngx_http_hype_db_conn_t *conn);
static int64_t ngx_http_hype_db_clock(void);
static void ngx_http_hype_db_skew(ngx_http_hype_db_conn_t *conn,
    PGresult *res);
static void ngx_http_hype_db_setup_pid(void *data,
    ngx_http_hype_db_outcome_e outcome, PGresult *res);
static void ngx_http_hype_db_setup_done(void *data,
    ngx_http_hype_db_outcome_e outcome, PGresult *res);
static void ngx_http_hype_db_event_handler(ngx_event_t *ev);
static void ngx_http_hype_db_notice(void *data, const char *message);


void
ngx_http_hype_db_open(ngx_http_hype_db_conn_t *conn)
{
    ngx_http_hype_db_task_t  *task;

    task = conn->task;

    if (task == NULL) {
        ngx_http_hype_db_connect(conn, NULL, NULL);
        return;
    }

    /* an earlier attempt may still be under way, after a time-out */

    if (!task->thread.running) {
        task->first = conn->first;

        if (ngx_http_hype_thread_start(conn->db->threads, &task->thread)
            != NGX_OK)
        {
            ngx_http_hype_db_fail(conn, "no thread to connect");
            return;
        }
    }

    ngx_http_hype_db_state(conn, NGX_HTTP_HYPE_DB_RESOLVING);
    ngx_http_hype_db_timer(conn, conn->db->conf->connect_timeout, 1);
}


void
ngx_http_hype_db_thread(void *data)
{
    ngx_http_hype_db_task_t *task = data;

    ngx_uint_t                       timeout;
    ngx_http_hype_db_conf_t         *conf;
    ngx_http_hype_conninfo_addrs_t  *addrs;

    conf = task->conn->db->conf;

    ngx_memzero(&task->addrs, sizeof(ngx_http_hype_conninfo_addrs_t));
    task->pg = NULL;
    task->rc = NGX_OK;
    addrs = NULL;

    if (conf->info.resolve) {
        addrs = &task->addrs;
        task->rc = ngx_http_hype_conninfo_resolve(&conf->info, addrs);
    }

    if (task->rc == NGX_OK && conf->info.blocking) {
        timeout = (conf->connect_timeout + 999) / 1000;
        task->pg = ngx_http_hype_conninfo_connect(&conf->info, addrs,
                                                 task->first, timeout);
    }
}


void
ngx_http_hype_db_thread_done(void *data)
{
    ngx_http_hype_db_task_t *task = data;

    ngx_http_hype_db_conn_t  *conn;

    conn = task->conn;

    if (!ngx_http_hype_db_wanted(conn, task)) {
        PQfinish(task->pg);

    } else if (task->rc != NGX_OK) {
        ngx_http_hype_db_unresolved(conn, &task->addrs);

    } else {
        ngx_http_hype_db_connect(conn, &task->addrs, task->pg);
    }

    task->pg = NULL;

    ngx_http_hype_conninfo_free(&task->addrs);
}


/* a result that comes after a time-out is used until the next attempt begins */

static ngx_uint_t
ngx_http_hype_db_wanted(ngx_http_hype_db_conn_t *conn,
    ngx_http_hype_db_task_t *task)
{
    if (conn->state == NGX_HTTP_HYPE_DB_RESOLVING) {
        return 1;
    }

    if (conn->state != NGX_HTTP_HYPE_DB_CLOSED || !conn->timer.timer_set) {
        return 0;
    }

    return conn->db->conf->info.blocking
           ? PQstatus(task->pg) == CONNECTION_OK : task->rc == NGX_OK;
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


/* where that may block, a thread has made "pg", or has failed to */

static void
ngx_http_hype_db_connect(ngx_http_hype_db_conn_t *conn,
    ngx_http_hype_conninfo_addrs_t *addrs, PGconn *pg)
{
    ngx_http_hype_conninfo_t  *info;

    info = &conn->db->conf->info;

    ngx_http_hype_db_state(conn, NGX_HTTP_HYPE_DB_CONNECTING);

    ngx_http_hype_db_timer(conn, conn->db->conf->connect_timeout, 1);

    conn->pg = info->blocking ? pg
               : ngx_http_hype_conninfo_connect(info, addrs, conn->first, 0);

    if (conn->pg == NULL) {
        ngx_http_hype_db_fail(conn, "no memory");
        return;
    }

    if (PQstatus(conn->pg) == CONNECTION_BAD) {

        if (info->blocking) {

            /* the thread does not tell in which state the host has failed */

            conn->first++;
        }

        ngx_http_hype_db_fail(conn, PQerrorMessage(conn->pg));
        return;
    }

    PQsetNoticeProcessor(conn->pg, ngx_http_hype_db_notice, NULL);

    ngx_http_hype_db_poll(conn, info->blocking ? PGRES_POLLING_OK
                                               : PGRES_POLLING_WRITING);
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

    c = ngx_get_connection(PQsocket(conn->pg), ngx_cycle->log);
    if (c == NULL) {
        return NGX_ERROR;
    }

    c->data = conn;
    c->shared = 1;    /* the socket is closed by libpq */

    c->log = ngx_cycle->log;
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
ngx_http_hype_db_advance(ngx_http_hype_db_conn_t *conn)
{
    ConnStatusType             before;
    PostgresPollingStatusType  status;

    before = PQstatus(conn->pg);
    status = PQconnectPoll(conn->pg);

    if (status == PGRES_POLLING_FAILED && before != CONNECTION_STARTED) {

        /* libpq would not skip a host that accepts and closes connections */

        conn->first++;
    }

    ngx_http_hype_db_poll(conn, status);
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

    st.sql = "SELECT pg_backend_pid(), "
             "(extract(epoch FROM clock_timestamp()) * 1000)::bigint, "
             "EXISTS (SELECT FROM pg_catalog.pg_proc p "
             "JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace "
             "WHERE n.nspname = 'hype' AND p.proname = 'relay')";
    st.handler = ngx_http_hype_db_setup_pid;
    st.data = conn;

    conn->question = ngx_http_hype_db_clock();

    ngx_http_hype_db_start(conn, &st);
}


static int64_t
ngx_http_hype_db_clock(void)
{
    struct timeval  tv;

    ngx_gettimeofday(&tv);

    return (int64_t) tv.tv_sec * 1000 + tv.tv_usec / 1000;
}


/*
 * Hits have the time of nginx's clock, links and partitions of PostgreSQL's.
 * PostgreSQL read its clock somewhere between the query and its result.
 */

static void
ngx_http_hype_db_skew(ngx_http_hype_db_conn_t *conn, PGresult *res)
{
    int64_t     now, trip, skew;
    ngx_msec_t  size;

    now = ngx_http_hype_db_clock();
    trip = now - conn->question;

    skew = ngx_atoof((u_char *) PQgetvalue(res, 0, 1), PQgetlength(res, 0, 1))
           - (conn->question + trip / 2);

    conn->db->worker->skew = skew;

    size = ngx_abs(skew);

    if (!(conn->roles & NGX_HTTP_HYPE_DB_LINKS)
        || size <= NGX_HTTP_HYPE_DB_SKEW + (ngx_msec_t) ngx_abs(trip))
    {
        return;
    }

    ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                  "hype: the clock of PostgreSQL is %M ms %s nginx's, "
                  "see NTP in the documentation",
                  size, (skew > 0) ? "ahead of" : "behind");
}


/*
 * A pooler such as PgBouncer has its own process numbers.  Behind it, settings
 * of the session would apply to somebody else's next transaction.  So there is
 * no LISTEN, and lock_timeout is the role's.
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

    ngx_http_hype_db_skew(conn, res);

    conn->db->pooled = ngx_atoi((u_char *) PQgetvalue(res, 0, 0),
                                PQgetlength(res, 0, 0))
                       != PQbackendPID(conn->pg);
    conn->db->relayed = (*PQgetvalue(res, 0, 2) == 't');

    if (conn->db->pooled) {
        ngx_http_hype_db_setup_done(conn, outcome, res);
        return;
    }

    ngx_http_hype_db_state(conn, NGX_HTTP_HYPE_DB_SETUP);
    ngx_http_hype_db_timer(conn, conn->db->conf->connect_timeout, 1);

    ngx_memzero(&st, sizeof(ngx_http_hype_db_statement_t));

    /* a connection may have nothing to do for days */

    ngx_sprintf(sql, "SET lock_timeout = %M; SET idle_session_timeout = 0%s%Z",
                conn->db->conf->timeout,
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

    ngx_log_error(NGX_LOG_INFO, ngx_cycle->log, 0,
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
        ngx_http_hype_db_advance(conn);
        return;
    }

    ngx_http_hype_db_process(conn);
}


static void
ngx_http_hype_db_notice(void *data, const char *message)
{
    size_t  len;
    u_char  text[512];

    len = ngx_http_hype_trouble_line(text, sizeof(text), message,
                                     strcspn(message, "\n"));

    ngx_log_error(NGX_LOG_INFO, ngx_cycle->log, 0,
                  "hype: PostgreSQL says: %*s", len, text);
}
