
#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_http_hype_report.h"


/* milliseconds: of the statement, which has it as text, and of the rest */
#define NGX_HTTP_HYPE_REPORT_TIMEOUT  (30000 + 5000)

/* until one is tried again that has failed */
#define NGX_HTTP_HYPE_REPORT_RETRY    1000

/* milliseconds until that is told again */
#define NGX_HTTP_HYPE_REPORT_LOG      10000


static void ngx_http_hype_report_handler(void *data,
    ngx_http_hype_db_outcome_e outcome, PGresult *res);
static void ngx_http_hype_report_keep(ngx_http_hype_report_t *report,
    PGresult *res);
static void ngx_http_hype_report_fail(ngx_http_hype_report_t *report,
    ngx_http_hype_db_outcome_e outcome, PGresult *res);


/* in one transaction, as it is sent as one text */

static const char  ngx_http_hype_report_sql[] =
    "SET TRANSACTION READ ONLY; "
    "SET LOCAL ROLE hype_report; "
    "SET LOCAL statement_timeout = '30s'; "
    "WITH top AS ("
        "SELECT identifier, label, user_id, hits, "
        "unique_visitors AS visitors, linked_users, confirmed, "
        "conversion_rate "
        "FROM hype.link_stats ORDER BY hits DESC, identifier LIMIT 20), "
    "days AS ("
        "SELECT (bucket AT TIME ZONE 'UTC')::date AS day, hits, "
        "unique_visitors AS visitors, bots "
        "FROM hype.hits_by('day', 'UTC', "
            "(date_trunc('day', now() AT TIME ZONE 'UTC') "
            "- interval '29 days') AT TIME ZONE 'UTC', NULL) "
        "WHERE hits > 0 OR bots > 0) "
    "SELECT json_build_object("
        "'days', (SELECT coalesce(json_agg(days ORDER BY day DESC), '[]') "
            "FROM days), "
        "'links', (SELECT coalesce(json_agg(top ORDER BY hits DESC, "
            "identifier), '[]') FROM top), "
        "'funnel', (SELECT json_build_object("
            "'hits', hits, "
            "'visitors', unique_visitors, "
            "'linked', linked_users, "
            "'confirmed', confirmed) FROM hype.site_stats))";


void
ngx_http_hype_report_init(ngx_http_hype_report_t *report)
{
    ngx_queue_init(&report->waits);
}


void
ngx_http_hype_report_close(ngx_http_hype_report_t *report)
{
    if (report->text.data) {
        ngx_free(report->text.data);
        ngx_str_null(&report->text);
    }
}


ngx_int_t
ngx_http_hype_report_get(ngx_http_hype_report_t *report, ngx_msec_t valid,
    ngx_http_hype_wait_t *wait)
{
    if (report->text.len && ngx_current_msec - report->made < valid) {
        return NGX_OK;
    }

    if (report->tried
        && ngx_current_msec - report->tried < NGX_HTTP_HYPE_REPORT_RETRY)
    {
        return NGX_OK;
    }

    ngx_http_hype_park(report->park, wait, &report->waits, NULL, NGX_OK);

    if (!report->flight) {
        report->pending = 1;
        ngx_http_hype_db_wake(report->db, NGX_HTTP_HYPE_DB_CARE);
    }

    return NGX_AGAIN;
}


ngx_uint_t
ngx_http_hype_report_work(ngx_http_hype_report_t *report,
    ngx_http_hype_db_conn_t *conn)
{
    ngx_http_hype_db_statement_t  st;

    if (!report->pending) {
        return 0;
    }

    ngx_memzero(&st, sizeof(ngx_http_hype_db_statement_t));

    st.sql = ngx_http_hype_report_sql;
    st.judged = 1;
    st.timeout = NGX_HTTP_HYPE_REPORT_TIMEOUT;
    st.handler = ngx_http_hype_report_handler;
    st.data = report;

    report->pending = 0;
    report->flight = 1;

    ngx_http_hype_db_send(conn, &st);

    return 1;
}


static void
ngx_http_hype_report_handler(void *data, ngx_http_hype_db_outcome_e outcome,
    PGresult *res)
{
    ngx_http_hype_report_t *report = data;

    report->flight = 0;

    if (outcome == NGX_HTTP_HYPE_DB_DONE) {
        ngx_http_hype_report_keep(report, res);

    } else {
        ngx_http_hype_report_fail(report, outcome, res);
    }

    ngx_http_hype_park_wake_all(report->park, &report->waits, NGX_OK);
}


static void
ngx_http_hype_report_keep(ngx_http_hype_report_t *report, PGresult *res)
{
    size_t   len;
    u_char  *p;

    len = PQgetlength(res, 0, 0);

    p = ngx_alloc(len, report->log);
    if (p == NULL) {
        report->tried = ngx_current_msec;
        return;
    }

    ngx_memcpy(p, PQgetvalue(res, 0, 0), len);

    if (report->text.data) {
        ngx_free(report->text.data);
    }

    report->text.len = len;
    report->text.data = p;
    report->made = ngx_current_msec;
    report->tried = 0;
}


static void
ngx_http_hype_report_fail(ngx_http_hype_report_t *report,
    ngx_http_hype_db_outcome_e outcome, PGresult *res)
{
    const char  *reason;

    report->tried = ngx_current_msec;

    /* of a connection that is lost there is a line already */

    if (outcome != NGX_HTTP_HYPE_DB_REFUSED
        || (report->logged && ngx_current_msec - report->logged
                              < NGX_HTTP_HYPE_REPORT_LOG))
    {
        return;
    }

    report->logged = ngx_current_msec;

    reason = PQresultErrorMessage(res);

    ngx_log_error(NGX_LOG_ERR, report->log, 0,
                  "hype: PostgreSQL can't report: %*s",
                  strcspn(reason, "\n"), reason);
}


void
ngx_http_hype_report_away(ngx_http_hype_report_t *report)
{
    if (!report->pending
        || ngx_http_hype_db_available(report->db, NGX_HTTP_HYPE_DB_CARE))
    {
        return;
    }

    report->pending = 0;
    report->tried = ngx_current_msec;

    ngx_http_hype_park_wake_all(report->park, &report->waits, NGX_OK);
}
