
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include "ngx_http_hype_db_conn.h"


#define NGX_HTTP_HYPE_DB_BACKOFF_MIN    100
#define NGX_HTTP_HYPE_DB_BACKOFF_MAX    2000

/* milliseconds: an idle session that ends sooner was not wanted */
#define NGX_HTTP_HYPE_DB_SESSION_MIN    500

/* characters of a message in the log */
#define NGX_HTTP_HYPE_DB_MESSAGE        512


static void ngx_http_hype_db_availability(ngx_http_hype_db_t *db,
    ngx_uint_t less);
static void ngx_http_hype_db_back_off(ngx_http_hype_db_conn_t *conn);
static void ngx_http_hype_db_reopen(ngx_http_hype_db_conn_t *conn,
    ngx_msec_t delay);
static void ngx_http_hype_db_ended(ngx_http_hype_db_conn_t *conn,
    const char *reason);
static ngx_uint_t ngx_http_hype_db_lasted(ngx_http_hype_db_conn_t *conn);
static void ngx_http_hype_db_complain(ngx_http_hype_db_t *db,
    ngx_http_hype_trouble_t *trouble, const char *event,
    const char *message, PGresult *res);
static ngx_http_hype_trouble_t *ngx_http_hype_db_trouble(
    ngx_http_hype_db_conn_t *conn);
static const char *ngx_http_hype_db_hint(PGresult *res);


ngx_uint_t
ngx_http_hype_db_available(ngx_http_hype_db_t *db, ngx_uint_t role)
{
    ngx_uint_t  i;

    if (db->refused && role == NGX_HTTP_HYPE_DB_HITS) {
        return 0;
    }

    for (i = 0; i < db->nconns; i++) {
        if ((db->conns[i].roles & role) && !db->conns[i].failing) {
            return 1;
        }
    }

    return 0;
}


void
ngx_http_hype_db_success(ngx_http_hype_db_conn_t *conn)
{
    conn->backoff = 0;
    conn->overdue = 0;

    if (conn->failing) {
        ngx_http_hype_db_failing(conn, 0);
    }

    if (ngx_http_hype_db_available(conn->db, conn->roles)) {
        ngx_http_hype_db_accepted(conn->db, ngx_http_hype_db_trouble(conn));
    }
}


void
ngx_http_hype_db_refused(ngx_http_hype_db_t *db,
    ngx_http_hype_trouble_t *trouble, PGresult *res)
{
    ngx_http_hype_db_complain(db, trouble, "refused by PostgreSQL",
                              PQresultErrorMessage(res), res);
}


void
ngx_http_hype_db_accepted(ngx_http_hype_db_t *db,
    ngx_http_hype_trouble_t *trouble)
{
    if (trouble->errors == 0) {
        return;
    }

    ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                  "hype: PostgreSQL works again, after %ui errors",
                  trouble->errors);

    ngx_memzero(trouble, sizeof(ngx_http_hype_trouble_t));
}


void
ngx_http_hype_db_refuse_hits(ngx_http_hype_db_t *db, ngx_uint_t refused)
{
    db->refused = refused;

    ngx_http_hype_db_availability(db, refused);
}


void
ngx_http_hype_db_failing(ngx_http_hype_db_conn_t *conn, ngx_uint_t failing)
{
    conn->failing = failing;

    ngx_http_hype_db_availability(conn->db, failing);
}


static void
ngx_http_hype_db_availability(ngx_http_hype_db_t *db, ngx_uint_t less)
{
    db->worker->down = !ngx_http_hype_db_available(db,
                                                   NGX_HTTP_HYPE_DB_HITS);

    if (less) {
        db->unavailable(db->data);
    }
}


void
ngx_http_hype_db_renew(ngx_http_hype_db_conn_t *conn)
{
    ngx_http_hype_db_disconnect(conn);
    ngx_http_hype_db_timer(conn, 1, 1);
}


void
ngx_http_hype_db_pause(ngx_http_hype_db_conn_t *conn)
{
    ngx_http_hype_db_state(conn, NGX_HTTP_HYPE_DB_PAUSED);
    conn->connection->idle = 1;

    ngx_http_hype_db_back_off(conn);
    ngx_http_hype_db_timer(conn, ngx_http_hype_trouble_spread(conn->backoff),
                           1);
}


static void
ngx_http_hype_db_back_off(ngx_http_hype_db_conn_t *conn)
{
    conn->backoff = ngx_http_hype_trouble_back_off(conn->backoff,
                                                NGX_HTTP_HYPE_DB_BACKOFF_MIN,
                                                NGX_HTTP_HYPE_DB_BACKOFF_MAX);
}


void
ngx_http_hype_db_fail(ngx_http_hype_db_conn_t *conn, const char *reason)
{
    ngx_uint_t  failing;

    if (conn->state == NGX_HTTP_HYPE_DB_IDLE
        && (conn->backoff == 0 || ngx_http_hype_db_lasted(conn)))
    {
        ngx_http_hype_db_ended(conn, reason);
        return;
    }

    ngx_http_hype_db_log(conn, (conn->state < NGX_HTTP_HYPE_DB_PAUSED)
                               ? "no connection to PostgreSQL"
                               : "connection to PostgreSQL lost", reason);

    failing = (conn->state < NGX_HTTP_HYPE_DB_PAUSED || conn->backoff);

    ngx_http_hype_db_disconnect(conn);

    if (failing) {
        ngx_http_hype_db_back_off(conn);
        ngx_http_hype_db_failing(conn, 1);

    } else {
        conn->backoff = 1;
    }

    ngx_http_hype_db_reopen(conn, ngx_http_hype_trouble_spread(conn->backoff));
}


static void
ngx_http_hype_db_reopen(ngx_http_hype_db_conn_t *conn, ngx_msec_t delay)
{
    if (!ngx_exiting && !(conn->roles & NGX_HTTP_HYPE_DB_ON_DEMAND)) {
        ngx_http_hype_db_timer(conn, delay, 1);
    }
}


/*
 * idle_session_timeout, an administrator, a pooler or a firewall may end an
 * idle connection.  Nothing is lost: it is an error only if another connection
 * can't be made.
 */

static void
ngx_http_hype_db_ended(ngx_http_hype_db_conn_t *conn, const char *reason)
{
    size_t  len;
    u_char  text[NGX_HTTP_HYPE_DB_MESSAGE];

    len = ngx_http_hype_trouble_line(text, NGX_HTTP_HYPE_DB_MESSAGE, reason,
                                     ngx_strlen(reason));

    ngx_log_error(NGX_LOG_INFO, ngx_cycle->log, 0,
                  "hype: idle connection to PostgreSQL ended: %*s",
                  len, text);

    if (!ngx_http_hype_db_lasted(conn)) {

        /* if the next one ends as soon, there is something wrong */

        conn->backoff = 1;
    }

    ngx_http_hype_db_disconnect(conn);
    ngx_http_hype_db_reopen(conn, 1);
}


static ngx_uint_t
ngx_http_hype_db_lasted(ngx_http_hype_db_conn_t *conn)
{
    return ngx_current_msec - conn->made >= NGX_HTTP_HYPE_DB_SESSION_MIN;
}


void
ngx_http_hype_db_log(ngx_http_hype_db_conn_t *conn, const char *event,
    const char *message)
{
    ngx_http_hype_db_complain(conn->db, ngx_http_hype_db_trouble(conn), event,
                              message, conn->result);
}


static void
ngx_http_hype_db_complain(ngx_http_hype_db_t *db,
    ngx_http_hype_trouble_t *trouble, const char *event,
    const char *message, PGresult *res)
{
    size_t  len;
    u_char  text[NGX_HTTP_HYPE_DB_MESSAGE];

    ngx_http_hype_count(db, NGX_HTTP_HYPE_DB_ERRORS, 1);

    if (!ngx_http_hype_trouble_log(trouble)) {
        return;
    }

    /* libpq's messages have several lines */

    len = ngx_http_hype_trouble_line(text, NGX_HTTP_HYPE_DB_MESSAGE, message,
                                     ngx_strlen(message));

    ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                  "hype: %s: %*s%s (%ui errors)",
                  event, len, text, ngx_http_hype_db_hint(res),
                  trouble->errors);
}


/* a report or a derivation that fails says nothing about hits */

static ngx_http_hype_trouble_t *
ngx_http_hype_db_trouble(ngx_http_hype_db_conn_t *conn)
{
    return (conn->roles & NGX_HTTP_HYPE_DB_VISITS)
           ? &conn->db->conns[0].trouble : &conn->trouble;
}


static const char *
ngx_http_hype_db_hint(PGresult *res)
{
    if (ngx_http_hype_db_is(res, "3F000")          /* no schema */
        || ngx_http_hype_db_is(res, "42P01")       /* no table */
        || ngx_http_hype_db_is(res, "42703")       /* no column */
        || ngx_http_hype_db_is(res, "42883"))      /* no function */
    {
        return ", is sql/hype.sql installed in this database?";
    }

    return "";
}
