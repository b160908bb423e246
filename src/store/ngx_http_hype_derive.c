
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include "ngx_http_hype_derive.h"


/* milliseconds: from a notification to the call, which serves several */
#define NGX_HTTP_HYPE_DERIVE_NOTIFIED     20

/*
 * between two calls, at most: a machine or a worker that was killed may have
 * committed records; behind a pooler there are no notifications
 */
#define NGX_HTTP_HYPE_DERIVE_IDLE         60000
#define NGX_HTTP_HYPE_DERIVE_POOLED       1000

/* of the statement: it is doubled each time that it was too short */
#define NGX_HTTP_HYPE_DERIVE_TIMEOUT_MIN  5000
#define NGX_HTTP_HYPE_DERIVE_TIMEOUT_MAX  60000

/* for the message that it timed out */
#define NGX_HTTP_HYPE_DERIVE_GRACE        1000

#define NGX_HTTP_HYPE_DERIVE_BACKOFF_MIN  1000
#define NGX_HTTP_HYPE_DERIVE_BACKOFF_MAX  10000

/* maximum length of the error in a log line */
#define NGX_HTTP_HYPE_DERIVE_TEXT         512


static void ngx_http_hype_derive_after(ngx_http_hype_derive_t *derive,
    ngx_msec_t delay);
static void ngx_http_hype_derive_timer_handler(ngx_event_t *ev);
static ngx_uint_t ngx_http_hype_derive_due(ngx_http_hype_derive_t *derive);
static void ngx_http_hype_derive_handler(void *data,
    ngx_http_hype_db_outcome_e outcome, PGresult *res);
static void ngx_http_hype_derive_fail(ngx_http_hype_derive_t *derive,
    PGresult *res);
static void ngx_http_hype_derive_reject(ngx_http_hype_derive_t *derive,
    char *text);


/* one text, so that it is one transaction also behind a pooler */

static const char  ngx_http_hype_derive_sql[] =
    "SET LOCAL statement_timeout = %M; "
    "SELECT again, line FROM hype.derive() "
    "LEFT JOIN unnest(set_aside) AS line ON true%Z";


void
ngx_http_hype_derive_init(ngx_http_hype_derive_t *derive,
    ngx_http_hype_db_t *db, ngx_http_hype_metrics_t *metrics)
{
    derive->db = db;
    derive->metrics = metrics;

    ngx_http_hype_event_init(&derive->timer,
                             ngx_http_hype_derive_timer_handler, derive, 1);

    if (ngx_worker == 0 && derive->metrics->derived == 0) {
        derive->metrics->derived = ngx_current_msec;
    }
}


void
ngx_http_hype_derive_notify(ngx_http_hype_derive_t *derive)
{
    if (ngx_worker != 0) {
        return;
    }

    if (derive->calling) {
        derive->notified = 1;
        return;
    }

    ngx_http_hype_derive_after(derive, NGX_HTTP_HYPE_DERIVE_NOTIFIED);
}


/* after an error, the delay is not shortened */

static void
ngx_http_hype_derive_after(ngx_http_hype_derive_t *derive, ngx_msec_t delay)
{
    ngx_msec_int_t  left;

    if (derive->pending || derive->calling) {
        return;
    }

    if (derive->timer.timer_set) {
        left = (ngx_msec_int_t) (derive->timer.timer.key - ngx_current_msec);

        if (derive->backoff || left <= (ngx_msec_int_t) delay) {
            return;
        }

        ngx_del_timer(&derive->timer);
    }

    ngx_add_timer(&derive->timer, delay);
}


static void
ngx_http_hype_derive_timer_handler(ngx_event_t *ev)
{
    ngx_http_hype_derive_t  *derive;

    derive = ev->data;

    derive->pending = 1;

    ngx_http_hype_db_wake(derive->db, NGX_HTTP_HYPE_DB_DERIVE);
}


void
ngx_http_hype_derive_watch(ngx_http_hype_derive_t *derive)
{
    if (derive->pending || derive->calling) {
        return;
    }

    if (ngx_http_hype_derive_due(derive)) {
        ngx_http_hype_derive_after(derive, 0);
        return;
    }

    if (!derive->timer.timer_set && derive->called
        && (derive->db->listening || derive->db->pooled))
    {
        derive->metrics->derived = ngx_current_msec;
    }
}


static ngx_uint_t
ngx_http_hype_derive_due(ngx_http_hype_derive_t *derive)
{
    ngx_msec_t           idle;
    ngx_http_hype_db_t  *db;

    db = derive->db;

    if (derive->rows != derive->metrics->counters[NGX_HTTP_HYPE_ROWS]) {
        return 1;
    }

    /* claims may have been missed while nobody listened */

    if (db->listening && db->listening != derive->listening) {
        return 1;
    }

    idle = db->pooled ? NGX_HTTP_HYPE_DERIVE_POOLED
                      : NGX_HTTP_HYPE_DERIVE_IDLE;

    return ngx_current_msec - derive->called >= idle;
}


void
ngx_http_hype_derive_work(ngx_http_hype_derive_t *derive,
    ngx_http_hype_db_conn_t *conn)
{
    u_char                        sql[sizeof(ngx_http_hype_derive_sql)
                                      + NGX_INT_T_LEN];
    ngx_http_hype_db_statement_t  st;

    if (!derive->pending || ngx_exiting) {
        return;
    }

    derive->timeout = ngx_max(derive->timeout,
                              NGX_HTTP_HYPE_DERIVE_TIMEOUT_MIN);

    ngx_sprintf(sql, ngx_http_hype_derive_sql, derive->timeout);

    ngx_memzero(&st, sizeof(ngx_http_hype_db_statement_t));

    st.sql = (char *) sql;
    st.timeout = derive->timeout + NGX_HTTP_HYPE_DERIVE_GRACE;
    st.handler = ngx_http_hype_derive_handler;
    st.data = derive;

    derive->pending = 0;
    derive->calling = 1;

    derive->called = ngx_current_msec ? ngx_current_msec : 1;
    derive->rows = derive->metrics->counters[NGX_HTTP_HYPE_ROWS];
    derive->listening = derive->db->listening;

    ngx_http_hype_count(derive->metrics, NGX_HTTP_HYPE_DERIVE_CALLS, 1);

    ngx_http_hype_db_send(conn, &st);
}


static void
ngx_http_hype_derive_handler(void *data, ngx_http_hype_db_outcome_e outcome,
    PGresult *res)
{
    ngx_http_hype_derive_t *derive = data;

    int         row;
    ngx_int_t   again;
    ngx_uint_t  notified;

    derive->calling = 0;
    notified = derive->notified;
    derive->notified = 0;

    if (outcome != NGX_HTTP_HYPE_DB_DONE) {
        ngx_http_hype_derive_fail(derive, res);
        return;
    }

    derive->backoff = 0;
    derive->timeout = 0;

    for (row = 0; row < PQntuples(res); row++) {
        if (!PQgetisnull(res, row, 1)) {
            ngx_http_hype_derive_reject(derive, PQgetvalue(res, row, 1));
        }
    }

    if (!PQgetisnull(res, 0, 0)) {
        again = ngx_atoi((u_char *) PQgetvalue(res, 0, 0),
                         PQgetlength(res, 0, 0));

        if (again <= 0) {

            /* this connection takes it once it is idle */

            derive->pending = 1;
            return;
        }

        ngx_http_hype_derive_after(derive, again);

    } else if (!notified) {
        derive->metrics->derived = ngx_current_msec;
    }

    if (notified) {
        ngx_http_hype_derive_after(derive, NGX_HTTP_HYPE_DERIVE_NOTIFIED);
    }
}


/* the database has logged why */

static void
ngx_http_hype_derive_fail(ngx_http_hype_derive_t *derive, PGresult *res)
{
    ngx_http_hype_count(derive->metrics, NGX_HTTP_HYPE_DERIVE_ERRORS, 1);

    if (ngx_http_hype_db_is(res, "55P03")) {

        /* somebody holds a lock: it may end at any moment */

        derive->backoff = NGX_HTTP_HYPE_DERIVE_BACKOFF_MIN;

    } else {
        derive->timeout = ngx_min(derive->timeout * 2,
                                  NGX_HTTP_HYPE_DERIVE_TIMEOUT_MAX);
        derive->backoff = ngx_http_hype_trouble_back_off(derive->backoff,
                                            NGX_HTTP_HYPE_DERIVE_BACKOFF_MIN,
                                            NGX_HTTP_HYPE_DERIVE_BACKOFF_MAX);
    }

    ngx_add_timer(&derive->timer, derive->backoff);
}


/* the database keeps it, with the error */

static void
ngx_http_hype_derive_reject(ngx_http_hype_derive_t *derive, char *text)
{
    size_t  len;
    u_char  line[NGX_HTTP_HYPE_DERIVE_TEXT];

    ngx_http_hype_count(derive->metrics, NGX_HTTP_HYPE_REJECTED, 1);

    if (!ngx_http_hype_trouble_log(&derive->rejected)) {
        return;
    }

    /* it may quote a visitor */

    len = ngx_http_hype_trouble_line(line, sizeof(line), text,
                                     ngx_strlen(text));

    ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                  "hype: confirms are set aside in hype.pending_confirm, one "
                  "of them: %*s", len, line);
}


ngx_uint_t
ngx_http_hype_derive_age(ngx_http_hype_metrics_t *metrics)
{
    ngx_msec_int_t  age;

    if (metrics->derived == 0) {
        return 0;
    }

    /* another worker's time may be ahead of this one's */

    age = (ngx_msec_int_t) (ngx_current_msec - metrics->derived);

    return (age > 0) ? age / 1000 : 0;
}
