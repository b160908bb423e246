
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include "ngx_http_hype_db_conn.h"


/* milliseconds that an idle connection waits for a request to cancel */
#define NGX_HTTP_HYPE_DB_CANCEL_WAIT  3000


static void ngx_http_hype_db_notifies(ngx_http_hype_db_conn_t *conn);
static ngx_int_t ngx_http_hype_db_result(ngx_http_hype_db_conn_t *conn,
    PGresult *res);
static ngx_http_hype_db_outcome_e ngx_http_hype_db_classify(PGresult *res);
static ngx_int_t ngx_http_hype_db_flush(ngx_http_hype_db_conn_t *conn);
static void ngx_http_hype_db_finish(ngx_http_hype_db_conn_t *conn);
static ngx_uint_t ngx_http_hype_db_failed(ngx_http_hype_db_conn_t *conn);
static void ngx_http_hype_db_next(ngx_http_hype_db_conn_t *conn);


/* all parameters are sent in binary format */

static const int  ngx_http_hype_db_binary[NGX_HTTP_HYPE_DB_PARAMS] = {
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1
};


void
ngx_http_hype_db_send(ngx_http_hype_db_conn_t *conn,
    ngx_http_hype_db_statement_t *statement)
{
    ngx_http_hype_db_state(conn, NGX_HTTP_HYPE_DB_BUSY);
    conn->connection->idle = 0;

    /* an exiting worker waits for a statement under way, but not for long */

    conn->overdue = (statement->timeout != 0);
    conn->cancelled = 0;

    if (statement->timeout) {
        ngx_http_hype_db_timer(conn, statement->timeout, 1);

    } else {
        ngx_http_hype_db_timer(conn, conn->db->conf->timeout, 0);
    }

    ngx_http_hype_db_start(conn, statement);
}


void
ngx_http_hype_db_start(ngx_http_hype_db_conn_t *conn,
    ngx_http_hype_db_statement_t *statement)
{
    int  sent;

    conn->statement = *statement;
    conn->outcome = NGX_HTTP_HYPE_DB_DONE;
    conn->copied = 0;

    if (statement->prepared) {
        sent = PQsendQueryPrepared(conn->pg, statement->prepared,
                                   statement->nparams, statement->values,
                                   statement->lengths,
                                   ngx_http_hype_db_binary, 0);

    } else if (statement->nparams) {
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


void
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
    const char  *code, *severity;

    code = PQresultErrorField(res, PG_DIAG_SQLSTATE);
    severity = PQresultErrorField(res, PG_DIAG_SEVERITY_NONLOCALIZED);

    if (code == NULL) {
        return NGX_HTTP_HYPE_DB_UNKNOWN;
    }

    /* after an "ERROR" the session lives: a trigger may raise any code */

    if ((severity == NULL || ngx_strcmp(severity, "ERROR") != 0)
        && (ngx_strncmp(code, "08", 2) == 0
            || ngx_strncmp(code, "57P", 3) == 0))
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

    /* the code does not tell whether the record is the cause */

    return NGX_HTTP_HYPE_DB_REFUSED;
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


/* all results of a statement have come */

static void
ngx_http_hype_db_finish(ngx_http_hype_db_conn_t *conn)
{
    if (conn->outcome == NGX_HTTP_HYPE_DB_DONE) {

        if (conn->state == NGX_HTTP_HYPE_DB_BUSY
            && !conn->statement.optional)
        {
            ngx_http_hype_db_success(conn);
        }

    } else if (ngx_http_hype_db_failed(conn)) {
        ngx_http_hype_db_fail(conn, PQresultErrorMessage(conn->result));
        return;

    } else if (!conn->statement.judged) {
        ngx_http_hype_db_log(conn, "refused by PostgreSQL",
                             PQresultErrorMessage(conn->result));

        if (!conn->statement.optional) {
            ngx_http_hype_db_pause(conn);
            ngx_http_hype_db_deliver(conn, conn->outcome);
            ngx_http_hype_db_failing(conn, 1);
            return;
        }
    }

    if (conn->timer.timer_set) {
        ngx_del_timer(&conn->timer);
    }

    ngx_http_hype_db_state(conn, NGX_HTTP_HYPE_DB_IDLE);

    ngx_http_hype_db_deliver(conn, conn->outcome);

    if (conn->state == NGX_HTTP_HYPE_DB_IDLE) {

        if (conn->failing) {

            /* as it was overdue */

            ngx_http_hype_db_failing(conn, 0);
        }

        ngx_http_hype_db_next(conn);
    }
}


/* whether the connection has failed, not only the statement */

static ngx_uint_t
ngx_http_hype_db_failed(ngx_http_hype_db_conn_t *conn)
{
    if (conn->state != NGX_HTTP_HYPE_DB_BUSY
        || conn->outcome == NGX_HTTP_HYPE_DB_UNKNOWN)
    {
        return 1;
    }

    if (conn->statement.optional) {
        return 0;
    }

    if (conn->statement.prepared
        && ngx_http_hype_db_is(conn->result, "26000"))
    {

        /* there is a pooler, and another session has the prepared statement */

        conn->prepared = 0;
        conn->outcome = NGX_HTTP_HYPE_DB_RETRY;
    }

    if ((conn->statement.neutral || !conn->statement.judged)
        && ngx_http_hype_db_is(conn->result, "25006"))
    {
        /* what was the primary is a standby now */

        conn->outcome = NGX_HTTP_HYPE_DB_RETRY;
        return 1;
    }

    return 0;
}


ngx_uint_t
ngx_http_hype_db_is(PGresult *res, const char *code)
{
    const char  *state;

    state = PQresultErrorField(res, PG_DIAG_SQLSTATE);

    return state && ngx_strcmp(state, code) == 0;
}


/*
 * The next statement waits for a turn of the event loop: clients that get
 * their response now may send another request at once, which is then in the
 * next batch.  Nobody waits longer for that, as the responses are sent first
 * anyway.
 */

static void
ngx_http_hype_db_next(ngx_http_hype_db_conn_t *conn)
{
    ngx_post_event(&conn->next, &ngx_posted_next_events);

    /* a timer keeps an exiting worker alive, a posted event does not */

    ngx_http_hype_db_timer(conn, 1, 0);
}


void
ngx_http_hype_db_next_handler(ngx_event_t *ev)
{
    ngx_http_hype_db_conn_t *conn = ev->data;

    if (conn->timer.timer_set) {
        ngx_del_timer(&conn->timer);
    }

    ngx_http_hype_db_idle(conn);
}


void
ngx_http_hype_db_idle(ngx_http_hype_db_conn_t *conn)
{
    if (conn->cancelling) {

        /* the request could cancel the next statement */

        ngx_http_hype_db_timer(conn, NGX_HTTP_HYPE_DB_CANCEL_WAIT, 0);
        return;
    }

    conn->db->work(conn->db->data, conn);

    if (conn->state != NGX_HTTP_HYPE_DB_IDLE) {
        return;
    }

    if (ngx_exiting || (conn->roles & NGX_HTTP_HYPE_DB_CHORES)) {
        ngx_http_hype_db_disconnect(conn);
        return;
    }

    conn->connection->idle = 1;
}
