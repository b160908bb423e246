
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_thread_pool.h>
#include <netdb.h>
#include "ngx_http_hype_conninfo_addrs.h"
#include "ngx_http_hype_db.h"


#define NGX_HTTP_HYPE_DB_BACKOFF_MIN    100
#define NGX_HTTP_HYPE_DB_BACKOFF_MAX    2000

/* how long a statement may be overdue before its connection is given up */
#define NGX_HTTP_HYPE_DB_PATIENCE       10000

/* milliseconds between two log lines of one trouble */
#define NGX_HTTP_HYPE_DB_LOG_INTERVAL   10000


typedef enum {
    NGX_HTTP_HYPE_DB_CLOSED = 0,
    NGX_HTTP_HYPE_DB_RESOLVING,
    NGX_HTTP_HYPE_DB_CONNECTING,
    NGX_HTTP_HYPE_DB_SETUP,
    NGX_HTTP_HYPE_DB_PAUSED,
    NGX_HTTP_HYPE_DB_IDLE,
    NGX_HTTP_HYPE_DB_BUSY
} ngx_http_hype_db_state_e;


typedef struct {
    ngx_http_hype_db_conn_t         *conn;
    ngx_http_hype_conninfo_addrs_t   addrs;
    ngx_int_t                        rc;
} ngx_http_hype_db_resolve_t;


static void ngx_http_hype_db_state(ngx_http_hype_db_conn_t *conn,
    ngx_http_hype_db_state_e state);
static void ngx_http_hype_db_open(ngx_http_hype_db_conn_t *conn);
static ngx_int_t ngx_http_hype_db_resolve(ngx_http_hype_db_conn_t *conn);
static void ngx_http_hype_db_resolve_thread(void *data, ngx_log_t *log);
static void ngx_http_hype_db_resolve_done(ngx_event_t *ev);
static void ngx_http_hype_db_unresolved(ngx_http_hype_db_conn_t *conn,
    ngx_http_hype_conninfo_addrs_t *addrs);
static void ngx_http_hype_db_connect(ngx_http_hype_db_conn_t *conn,
    ngx_http_hype_conninfo_addrs_t *addrs);
static ngx_int_t ngx_http_hype_db_attach(ngx_http_hype_db_conn_t *conn);
static void ngx_http_hype_db_detach(ngx_http_hype_db_conn_t *conn,
    ngx_uint_t flags);
static void ngx_http_hype_db_poll(ngx_http_hype_db_conn_t *conn,
    PostgresPollingStatusType status);
static void ngx_http_hype_db_setup(ngx_http_hype_db_conn_t *conn);
static void ngx_http_hype_db_setup_pid(void *data,
    ngx_http_hype_db_outcome_e outcome, PGresult *res);
static void ngx_http_hype_db_setup_done(void *data,
    ngx_http_hype_db_outcome_e outcome, PGresult *res);
static void ngx_http_hype_db_start(ngx_http_hype_db_conn_t *conn,
    ngx_http_hype_db_statement_t *statement);
static void ngx_http_hype_db_event_handler(ngx_event_t *ev);
static void ngx_http_hype_db_timer_handler(ngx_event_t *ev);
static void ngx_http_hype_db_process(ngx_http_hype_db_conn_t *conn);
static void ngx_http_hype_db_notifies(ngx_http_hype_db_conn_t *conn);
static ngx_int_t ngx_http_hype_db_result(ngx_http_hype_db_conn_t *conn,
    PGresult *res);
static ngx_http_hype_db_outcome_e ngx_http_hype_db_classify(PGresult *res);
static ngx_int_t ngx_http_hype_db_flush(ngx_http_hype_db_conn_t *conn);
static void ngx_http_hype_db_finish(ngx_http_hype_db_conn_t *conn);
static ngx_uint_t ngx_http_hype_db_read_only(PGresult *res);
static void ngx_http_hype_db_success(ngx_http_hype_db_conn_t *conn);
static void ngx_http_hype_db_deliver(ngx_http_hype_db_conn_t *conn,
    ngx_http_hype_db_outcome_e outcome);
static void ngx_http_hype_db_next(ngx_http_hype_db_conn_t *conn);
static void ngx_http_hype_db_next_handler(ngx_event_t *ev);
static void ngx_http_hype_db_idle(ngx_http_hype_db_conn_t *conn);
static void ngx_http_hype_db_pause(ngx_http_hype_db_conn_t *conn);
static void ngx_http_hype_db_fail(ngx_http_hype_db_conn_t *conn,
    const char *reason);
static void ngx_http_hype_db_failing(ngx_http_hype_db_conn_t *conn,
    ngx_uint_t failing);
static void ngx_http_hype_db_back_off(ngx_http_hype_db_conn_t *conn);
static ngx_msec_t ngx_http_hype_db_jitter(ngx_msec_t delay);
static void ngx_http_hype_db_disconnect(ngx_http_hype_db_conn_t *conn);
static void ngx_http_hype_db_timer(ngx_http_hype_db_conn_t *conn,
    ngx_msec_t timer, ngx_uint_t cancelable);
static void ngx_http_hype_db_log(ngx_http_hype_db_conn_t *conn,
    const char *doing, const char *message);
static ngx_http_hype_db_trouble_t *ngx_http_hype_db_trouble(
    ngx_http_hype_db_conn_t *conn);
static const char *ngx_http_hype_db_hint(PGresult *res);
static void ngx_http_hype_db_notice(void *data, const char *message);


/* all parameters are sent in binary format */

static const int  ngx_http_hype_db_binary[] = {
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1
};

/* what hype_status calls these states */

static const ngx_http_hype_connections_e  ngx_http_hype_db_states[] = {
    NGX_HTTP_HYPE_CONNECTIONS_CLOSED,
    NGX_HTTP_HYPE_CONNECTIONS_CONNECTING,      /* resolving */
    NGX_HTTP_HYPE_CONNECTIONS_CONNECTING,
    NGX_HTTP_HYPE_CONNECTIONS_CONNECTING,      /* set-up */
    NGX_HTTP_HYPE_CONNECTIONS_PAUSED,
    NGX_HTTP_HYPE_CONNECTIONS_IDLE,
    NGX_HTTP_HYPE_CONNECTIONS_BUSY
};

static ngx_str_t  ngx_http_hype_db_thread_pool = ngx_string("default");


ngx_http_hype_db_t *
ngx_http_hype_db_create(ngx_cycle_t *cycle, ngx_http_hype_db_conf_t *conf,
    ngx_http_hype_metrics_t *metrics, ngx_http_hype_worker_t *worker)
{
    ngx_uint_t                i;
    ngx_http_hype_db_t       *db;
    ngx_http_hype_db_conn_t  *conn;

    db = ngx_pcalloc(cycle->pool, sizeof(ngx_http_hype_db_t));
    if (db == NULL) {
        return NULL;
    }

    db->nconns = conf->connections + 1;

    db->conns = ngx_pcalloc(cycle->pool,
                            db->nconns * sizeof(ngx_http_hype_db_conn_t));
    if (db->conns == NULL) {
        return NULL;
    }

    db->conf = conf;
    db->log = cycle->log;
    db->counters = metrics->counters;
    db->worker = worker;

    worker->connections[NGX_HTTP_HYPE_CONNECTIONS_CLOSED] = conf->connections;

    for (i = 0; i < db->nconns; i++) {
        conn = &db->conns[i];

        conn->db = db;
        conn->ident = -1;
        conn->roles = (i == 0) ? NGX_HTTP_HYPE_DB_LINKS
                      : (i < conf->connections) ? NGX_HTTP_HYPE_DB_HITS
                      : NGX_HTTP_HYPE_DB_CARE;
        conn->timer.handler = ngx_http_hype_db_timer_handler;
        conn->timer.data = conn;
        conn->timer.log = db->log;
        conn->next.handler = ngx_http_hype_db_next_handler;
        conn->next.data = conn;
        conn->next.log = db->log;

        if (conf->info.resolve) {
            conn->task = ngx_thread_task_alloc(cycle->pool,
                                          sizeof(ngx_http_hype_db_resolve_t));
            if (conn->task == NULL) {
                return NULL;
            }
        }
    }

    if (conf->connections == 1) {
        db->conns[0].roles |= NGX_HTTP_HYPE_DB_HITS;
    }

    return db;
}


void
ngx_http_hype_db_close(ngx_http_hype_db_t *db)
{
    ngx_uint_t  i;

    db->closed = 1;

    for (i = 0; i < db->nconns; i++) {
        ngx_http_hype_db_disconnect(&db->conns[i]);
    }
}


void
ngx_http_hype_db_wake(ngx_http_hype_db_t *db, ngx_uint_t role)
{
    ngx_uint_t                i, opening;
    ngx_http_hype_db_conn_t  *conn, *closed;

    closed = NULL;
    opening = 0;

    for (i = 0; i < db->nconns; i++) {
        conn = &db->conns[i];

        if (!(conn->roles & role)) {
            continue;
        }

        switch (conn->state) {

        case NGX_HTTP_HYPE_DB_IDLE:
            if (!conn->next.posted) {
                ngx_http_hype_db_idle(conn);
            }

            return;

        case NGX_HTTP_HYPE_DB_BUSY:
            break;

        case NGX_HTTP_HYPE_DB_CLOSED:
            if (closed == NULL && !conn->timer.timer_set) {
                closed = conn;
            }
            break;

        default:
            /* it will ask by itself */
            opening = 1;
        }
    }

    if (closed && !opening && !db->closed) {
        ngx_http_hype_db_open(closed);
    }
}


static void
ngx_http_hype_db_state(ngx_http_hype_db_conn_t *conn,
    ngx_http_hype_db_state_e state)
{
    ngx_atomic_t                 *connections;
    ngx_http_hype_connections_e   before, after;

    connections = conn->db->worker->connections;
    before = ngx_http_hype_db_states[conn->state];
    after = ngx_http_hype_db_states[state];

    conn->state = state;

    /* the one for care is closed most of the time, and not missed */

    if (before != NGX_HTTP_HYPE_CONNECTIONS_CLOSED
        || !(conn->roles & NGX_HTTP_HYPE_DB_CARE))
    {
        connections[before]--;
    }

    if (after != NGX_HTTP_HYPE_CONNECTIONS_CLOSED
        || !(conn->roles & NGX_HTTP_HYPE_DB_CARE))
    {
        connections[after]++;
    }
}


ngx_uint_t
ngx_http_hype_db_available(ngx_http_hype_db_t *db, ngx_uint_t role)
{
    ngx_uint_t  i;

    for (i = 0; i < db->nconns; i++) {
        if ((db->conns[i].roles & role) && !db->conns[i].failing) {
            return 1;
        }
    }

    return 0;
}


static void
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


/* NGX_CLOSE_EVENT: libpq closes the socket, or has done so already */

static void
ngx_http_hype_db_detach(ngx_http_hype_db_conn_t *conn, ngx_uint_t flags)
{
    ngx_connection_t  *c;

    c = conn->connection;

    if (c == NULL) {
        return;
    }

    if (c->read->active) {
        (void) ngx_del_event(c->read, NGX_READ_EVENT, flags);
    }

    if (c->write->active) {
        (void) ngx_del_event(c->write, NGX_WRITE_EVENT, flags);
    }

    ngx_close_connection(c);

    conn->connection = NULL;
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

    ngx_http_hype_db_failing(conn, 0);

    if ((conn->roles & NGX_HTTP_HYPE_DB_LINKS) && !db->pooled) {
        db->listening = ngx_current_msec ? ngx_current_msec : 1;
    }

    ngx_log_error(NGX_LOG_INFO, db->log, 0,
                  "hype: connected to PostgreSQL %d, process %d%s",
                  PQserverVersion(conn->pg), PQbackendPID(conn->pg),
                  db->pooled ? ", through a pooler" : "");
}


void
ngx_http_hype_db_send(ngx_http_hype_db_conn_t *conn,
    ngx_http_hype_db_statement_t *statement)
{
    ngx_http_hype_db_state(conn, NGX_HTTP_HYPE_DB_BUSY);
    conn->connection->idle = 0;

    /* an exiting worker waits for a statement under way, but not for long */

    conn->overdue = (statement->timeout != 0);

    if (statement->timeout) {
        ngx_http_hype_db_timer(conn, statement->timeout, 1);

    } else {
        ngx_http_hype_db_timer(conn, conn->db->conf->timeout, 0);
    }

    ngx_http_hype_db_start(conn, statement);
}


static void
ngx_http_hype_db_start(ngx_http_hype_db_conn_t *conn,
    ngx_http_hype_db_statement_t *statement)
{
    int  sent;

    conn->statement = *statement;
    conn->outcome = NGX_HTTP_HYPE_DB_DONE;
    conn->copied = 0;

    if (statement->nparams) {
        sent = PQsendQueryParams(conn->pg, statement->sql,
                                 statement->nparams, statement->types,
                                 statement->values, statement->lengths,
                                 ngx_http_hype_db_binary, 0);
    } else {
        sent = PQsendQuery(conn->pg, statement->sql);
    }

    if (!sent || ngx_http_hype_db_flush(conn) != NGX_OK) {
        ngx_http_hype_db_fail(conn, PQerrorMessage(conn->pg));
    }
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
ngx_http_hype_db_timer_handler(ngx_event_t *ev)
{
    ngx_http_hype_db_conn_t *conn = ev->data;

    switch (conn->state) {

    case NGX_HTTP_HYPE_DB_CLOSED:
        ngx_http_hype_db_open(conn);
        break;

    case NGX_HTTP_HYPE_DB_PAUSED:
        ngx_http_hype_db_state(conn, NGX_HTTP_HYPE_DB_IDLE);
        ngx_http_hype_db_failing(conn, 0);
        ngx_http_hype_db_idle(conn);
        break;

    case NGX_HTTP_HYPE_DB_BUSY:

        if (!conn->overdue && !ngx_exiting) {
            conn->overdue = 1;
            ngx_http_hype_db_timer(conn, NGX_HTTP_HYPE_DB_PATIENCE, 0);
            ngx_http_hype_db_failing(conn, 1);
            break;
        }

        ngx_http_hype_db_fail(conn, "timed out");
        break;

    case NGX_HTTP_HYPE_DB_CONNECTING:
    case NGX_HTTP_HYPE_DB_SETUP:

        /* libpq would not get past a host that says nothing */

        conn->first++;

        /* fall through */

    default:
        ngx_http_hype_db_fail(conn, "timed out");
    }
}


static void
ngx_http_hype_db_process(ngx_http_hype_db_conn_t *conn)
{
    PGresult  *res;

    if (PQconsumeInput(conn->pg) == 0) {
        ngx_http_hype_db_fail(conn, PQerrorMessage(conn->pg));
        return;
    }

    ngx_http_hype_db_notifies(conn);

    while (!PQisBusy(conn->pg)) {

        res = PQgetResult(conn->pg);

        if (res == NULL) {

            if (PQstatus(conn->pg) == CONNECTION_BAD) {
                ngx_http_hype_db_fail(conn, PQerrorMessage(conn->pg));
                return;
            }

            if (conn->state == NGX_HTTP_HYPE_DB_BUSY
                || conn->state == NGX_HTTP_HYPE_DB_SETUP)
            {
                ngx_http_hype_db_finish(conn);

                if (conn->pg) {

                    /* what has come with the last result */

                    ngx_http_hype_db_notifies(conn);
                }

                return;
            }

            break;
        }

        if (ngx_http_hype_db_result(conn, res) != NGX_OK) {
            ngx_http_hype_db_fail(conn, PQerrorMessage(conn->pg));
            return;
        }

        if (PQstatus(conn->pg) == CONNECTION_BAD) {
            ngx_http_hype_db_fail(conn, PQerrorMessage(conn->pg));
            return;
        }
    }

    if (ngx_http_hype_db_flush(conn) != NGX_OK) {
        ngx_http_hype_db_fail(conn, PQerrorMessage(conn->pg));
    }
}


static void
ngx_http_hype_db_notifies(ngx_http_hype_db_conn_t *conn)
{
    PGnotify   *notify;
    ngx_str_t   channel, payload;

    while ((notify = PQnotifies(conn->pg)) != NULL) {
        channel.data = (u_char *) notify->relname;
        channel.len = ngx_strlen(notify->relname);
        payload.data = (u_char *) notify->extra;
        payload.len = ngx_strlen(notify->extra);

        conn->db->notify(conn->db->data, &channel, &payload);

        PQfreemem(notify);
    }
}


/* takes ownership of "res" */

static ngx_int_t
ngx_http_hype_db_result(ngx_http_hype_db_conn_t *conn, PGresult *res)
{
    ngx_http_hype_db_statement_t  *st;

    st = &conn->statement;

    switch (PQresultStatus(res)) {

    case PGRES_COPY_IN:
        PQclear(res);

        if (st->copy == NULL
            || st->copy(st->data, conn->pg) != NGX_OK)
        {
            return NGX_ERROR;
        }

        conn->copied = 1;

        if (PQputCopyEnd(conn->pg, NULL) != 1) {
            return NGX_ERROR;
        }

        return ngx_http_hype_db_flush(conn);

    case PGRES_COMMAND_OK:
    case PGRES_TUPLES_OK:
    case PGRES_EMPTY_QUERY:
        break;

    default:
        conn->outcome = ngx_http_hype_db_classify(res);
    }

    if (conn->result) {
        PQclear(conn->result);
    }

    conn->result = res;

    return NGX_OK;
}


/* PostgreSQL's manual, appendix A: "PostgreSQL Error Codes" */

static ngx_http_hype_db_outcome_e
ngx_http_hype_db_classify(PGresult *res)
{
    const char  *code;

    code = PQresultErrorField(res, PG_DIAG_SQLSTATE);

    if (code == NULL
        || ngx_strncmp(code, "08", 2) == 0
        || ngx_strncmp(code, "57P", 3) == 0)
    {
        /*
         * also when a shutdown ends the wait for a synchronous replica, after
         * the commit
         */
        return NGX_HTTP_HYPE_DB_UNKNOWN;
    }

    if (ngx_strcmp(code, "23505") == 0) {
        return NGX_HTTP_HYPE_DB_DUPLICATE;
    }

    if (ngx_strcmp(code, "55P03") == 0) {
        return NGX_HTTP_HYPE_DB_LOCKED;
    }

    if (ngx_strncmp(code, "22", 2) == 0        /* data exception */
        || ngx_strncmp(code, "23", 2) == 0     /* a constraint */
        || ngx_strncmp(code, "44", 2) == 0     /* a view's check option */
        || ngx_strncmp(code, "54", 2) == 0     /* too long for an index */
        || ngx_strncmp(code, "P0", 2) == 0)    /* raised by a trigger */
    {
        return NGX_HTTP_HYPE_DB_DATA;
    }

    return NGX_HTTP_HYPE_DB_RETRY;
}


static ngx_int_t
ngx_http_hype_db_flush(ngx_http_hype_db_conn_t *conn)
{
    int           rc;
    ngx_event_t  *wev;

    wev = conn->connection->write;

    rc = PQflush(conn->pg);

    if (rc == -1) {
        return NGX_ERROR;
    }

    if (rc == 1 && !wev->active) {
        return ngx_add_event(wev, NGX_WRITE_EVENT, NGX_LEVEL_EVENT);
    }

    if (rc == 0 && wev->active) {
        return ngx_del_event(wev, NGX_WRITE_EVENT, 0);
    }

    return NGX_OK;
}


/* the server has said all about a statement, or about one of the set-up */

static void
ngx_http_hype_db_finish(ngx_http_hype_db_conn_t *conn)
{
    switch (conn->outcome) {

    case NGX_HTTP_HYPE_DB_DONE:
        break;

    case NGX_HTTP_HYPE_DB_DUPLICATE:
    case NGX_HTTP_HYPE_DB_DATA:

        if (conn->state == NGX_HTTP_HYPE_DB_BUSY) {
            break;
        }

        /* fall through */

    case NGX_HTTP_HYPE_DB_UNKNOWN:
        ngx_http_hype_db_fail(conn, PQresultErrorMessage(conn->result));
        return;

    case NGX_HTTP_HYPE_DB_LOCKED:

        if (conn->statement.brief) {
            break;
        }

        /* fall through */

    default:

        if (conn->state != NGX_HTTP_HYPE_DB_BUSY
            || ngx_http_hype_db_read_only(conn->result))
        {
            ngx_http_hype_db_fail(conn, PQresultErrorMessage(conn->result));
            return;
        }

        ngx_http_hype_db_log(conn, "refused by",
                             PQresultErrorMessage(conn->result));
        ngx_http_hype_db_pause(conn);
        ngx_http_hype_db_deliver(conn, conn->outcome);
        ngx_http_hype_db_failing(conn, 1);
        return;
    }

    if (conn->state == NGX_HTTP_HYPE_DB_BUSY) {
        ngx_http_hype_db_success(conn);
    }

    if (conn->timer.timer_set) {
        ngx_del_timer(&conn->timer);
    }

    ngx_http_hype_db_state(conn, NGX_HTTP_HYPE_DB_IDLE);

    ngx_http_hype_db_deliver(conn, conn->outcome);

    if (conn->state == NGX_HTTP_HYPE_DB_IDLE) {
        ngx_http_hype_db_next(conn);
    }
}


/* 25006: what was the primary is a standby now */

static ngx_uint_t
ngx_http_hype_db_read_only(PGresult *res)
{
    return ngx_strcmp(PQresultErrorField(res, PG_DIAG_SQLSTATE), "25006")
           == 0;
}


static void
ngx_http_hype_db_success(ngx_http_hype_db_conn_t *conn)
{
    ngx_http_hype_db_t          *db;
    ngx_http_hype_db_trouble_t  *trouble;

    db = conn->db;

    conn->backoff = 0;
    conn->overdue = 0;

    if (conn->failing) {
        ngx_http_hype_db_failing(conn, 0);
    }

    trouble = ngx_http_hype_db_trouble(conn);

    if (trouble->errors && ngx_http_hype_db_available(db, conn->roles)) {
        ngx_log_error(NGX_LOG_NOTICE, db->log, 0,
                      "hype: PostgreSQL works again, after %ui errors",
                      trouble->errors);
        trouble->errors = 0;
        trouble->logged = 0;
    }
}


static void
ngx_http_hype_db_deliver(ngx_http_hype_db_conn_t *conn,
    ngx_http_hype_db_outcome_e outcome)
{
    PGresult                      *res;
    ngx_http_hype_db_statement_t   st;

    st = conn->statement;
    res = conn->result;

    conn->result = NULL;
    ngx_memzero(&conn->statement, sizeof(ngx_http_hype_db_statement_t));

    if (st.handler) {
        st.handler(st.data, outcome, res);
    }

    PQclear(res);
}


/*
 * When a statement is done, the next one waits for a turn of the event loop:
 * those who are answered now may come again at once, and what they ask for
 * goes with it.  Nobody waits longer for that, as the answers were to be sent
 * anyway.
 */

static void
ngx_http_hype_db_next(ngx_http_hype_db_conn_t *conn)
{
    if (ngx_exiting) {

        /* a posted event does not keep a worker */

        ngx_http_hype_db_idle(conn);
        return;
    }

    ngx_post_event(&conn->next, &ngx_posted_next_events);
}


static void
ngx_http_hype_db_next_handler(ngx_event_t *ev)
{
    ngx_http_hype_db_idle(ev->data);
}


static void
ngx_http_hype_db_idle(ngx_http_hype_db_conn_t *conn)
{
    conn->db->work(conn->db->data, conn);

    if (conn->state != NGX_HTTP_HYPE_DB_IDLE) {
        return;
    }

    if (ngx_exiting || (conn->roles & NGX_HTTP_HYPE_DB_CARE)) {
        ngx_http_hype_db_disconnect(conn);
        return;
    }

    conn->connection->idle = 1;
}


/* keeps the connection, but gives the database some time */

static void
ngx_http_hype_db_pause(ngx_http_hype_db_conn_t *conn)
{
    ngx_http_hype_db_state(conn, NGX_HTTP_HYPE_DB_PAUSED);
    conn->connection->idle = 1;

    ngx_http_hype_db_back_off(conn);
    ngx_http_hype_db_timer(conn, ngx_http_hype_db_jitter(conn->backoff), 1);
}


/*
 * The connection is lost, or could not be made.  One that did its work before
 * is opened again at once.
 */

static void
ngx_http_hype_db_fail(ngx_http_hype_db_conn_t *conn, const char *reason)
{
    ngx_uint_t  failing;

    ngx_http_hype_db_log(conn, (conn->state < NGX_HTTP_HYPE_DB_PAUSED)
                               ? "no connection to" : "lost", reason);

    failing = (conn->state < NGX_HTTP_HYPE_DB_PAUSED || conn->backoff);

    ngx_http_hype_db_disconnect(conn);

    if (failing) {
        ngx_http_hype_db_back_off(conn);

    } else {
        conn->backoff = 1;
    }

    if (!ngx_exiting && !(conn->roles & NGX_HTTP_HYPE_DB_CARE)) {
        ngx_http_hype_db_timer(conn, ngx_http_hype_db_jitter(conn->backoff),
                               1);
    }

    if (failing) {
        ngx_http_hype_db_failing(conn, 1);
    }
}


static void
ngx_http_hype_db_failing(ngx_http_hype_db_conn_t *conn, ngx_uint_t failing)
{
    ngx_http_hype_db_t  *db;

    db = conn->db;

    conn->failing = failing;

    db->worker->away = !ngx_http_hype_db_available(db,
                                                   NGX_HTTP_HYPE_DB_HITS);

    if (failing) {
        db->away(db->data);
    }
}


static void
ngx_http_hype_db_back_off(ngx_http_hype_db_conn_t *conn)
{
    conn->backoff = ngx_min(ngx_max(conn->backoff * 2,
                                    NGX_HTTP_HYPE_DB_BACKOFF_MIN),
                            NGX_HTTP_HYPE_DB_BACKOFF_MAX);
}


static ngx_msec_t
ngx_http_hype_db_jitter(ngx_msec_t delay)
{
    return delay - delay / 4 + ngx_random() % (delay / 2 + 1);
}


static void
ngx_http_hype_db_disconnect(ngx_http_hype_db_conn_t *conn)
{
    ngx_http_hype_db_outcome_e  outcome;

    outcome = conn->outcome;

    if (outcome == NGX_HTTP_HYPE_DB_DONE) {
        outcome = (conn->statement.copy && !conn->copied)
                  ? NGX_HTTP_HYPE_DB_RETRY : NGX_HTTP_HYPE_DB_UNKNOWN;
    }

    if (conn->timer.timer_set) {
        ngx_del_timer(&conn->timer);
    }

    if (conn->next.posted) {
        ngx_delete_posted_event(&conn->next);
    }

    ngx_http_hype_db_detach(conn, NGX_CLOSE_EVENT);

    if (conn->pg) {
        PQfinish(conn->pg);
        conn->pg = NULL;
    }

    if (conn->roles & NGX_HTTP_HYPE_DB_LINKS) {
        conn->db->listening = 0;
    }

    ngx_http_hype_db_state(conn, NGX_HTTP_HYPE_DB_CLOSED);
    conn->overdue = 0;

    ngx_http_hype_db_deliver(conn, outcome);
}


static void
ngx_http_hype_db_timer(ngx_http_hype_db_conn_t *conn, ngx_msec_t timer,
    ngx_uint_t cancelable)
{
    if (conn->timer.timer_set) {
        ngx_del_timer(&conn->timer);
    }

    conn->timer.cancelable = cancelable;

    ngx_add_timer(&conn->timer, timer);
}


/*
 * One line each time something goes wrong that went well before, and one in
 * a while as long as it does.
 */

static void
ngx_http_hype_db_log(ngx_http_hype_db_conn_t *conn, const char *doing,
    const char *message)
{
    u_char                      *p, *last, *start, text[512];
    const char                  *s;
    ngx_http_hype_db_t          *db;
    ngx_http_hype_db_trouble_t  *trouble;

    db = conn->db;

    ngx_http_hype_count(db, NGX_HTTP_HYPE_DB_ERRORS, 1);

    trouble = ngx_http_hype_db_trouble(conn);

    if (trouble->errors++
        && ngx_current_msec - trouble->logged
           < NGX_HTTP_HYPE_DB_LOG_INTERVAL)
    {
        return;
    }

    trouble->logged = ngx_current_msec;

    /* libpq's messages have line ends, and those of its own end with one */

    start = text;
    last = text + sizeof(text);

    for (p = start, s = message; *s && p < last; s++) {

        if (*s != LF || *(s + 1)) {
            *p++ = *s;
        }
    }

    ngx_http_hype_db_clean(start, p - start);

    ngx_log_error(NGX_LOG_ERR, db->log, 0,
                  "hype: %s PostgreSQL: %*s%s (%ui errors)",
                  doing, (size_t) (p - start), start,
                  ngx_http_hype_db_hint(conn->result), trouble->errors);
}


/* a report that fails says nothing of hits, nor do hits of it */

static ngx_http_hype_db_trouble_t *
ngx_http_hype_db_trouble(ngx_http_hype_db_conn_t *conn)
{
    return (conn->roles & NGX_HTTP_HYPE_DB_CARE) ? &conn->db->care
                                                 : &conn->db->trouble;
}


static const char *
ngx_http_hype_db_hint(PGresult *res)
{
    const char  *code;

    code = res ? PQresultErrorField(res, PG_DIAG_SQLSTATE) : NULL;

    if (code
        && (ngx_strcmp(code, "3F000") == 0         /* no schema */
            || ngx_strcmp(code, "42P01") == 0      /* no table */
            || ngx_strcmp(code, "42703") == 0      /* no column */
            || ngx_strcmp(code, "42883") == 0))    /* no function */
    {
        return ", is sql/hype.sql installed in this database?";
    }

    return "";
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


void
ngx_http_hype_db_clean(u_char *text, size_t len)
{
    size_t  i;

    for (i = 0; i < len; i++) {
        if (text[i] < 0x20 || text[i] == 0x7f) {
            text[i] = ' ';
        }
    }
}
