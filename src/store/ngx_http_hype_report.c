
#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_http_hype_report.h"


/* milliseconds for the statements around the query */
#define NGX_HTTP_HYPE_REPORT_SHORT    5000

/* until a failed report is tried again */
#define NGX_HTTP_HYPE_REPORT_RETRY    1000

/* in PostgreSQL's src/include/catalog/pg_type.dat */
#define NGX_HTTP_HYPE_REPORT_TEXT     25

/* maximum number of parameters */
#define NGX_HTTP_HYPE_REPORT_PARAMS   3


typedef enum {
    NGX_HTTP_HYPE_REPORT_BEGIN = 0,
    NGX_HTTP_HYPE_REPORT_SELECT,
    NGX_HTTP_HYPE_REPORT_END
} ngx_http_hype_report_step_e;


static void ngx_http_hype_report_send(ngx_http_hype_report_t *report,
    ngx_http_hype_report_step_e step);
static void ngx_http_hype_report_query(ngx_http_hype_report_t *report,
    ngx_http_hype_db_statement_t *st);
static void ngx_http_hype_report_handler(void *data,
    ngx_http_hype_db_outcome_e outcome, PGresult *res);
static void ngx_http_hype_report_done(ngx_http_hype_report_t *report);
static void ngx_http_hype_report_keep(ngx_http_hype_report_t *report,
    const char *value, size_t len, ngx_uint_t error);
static void ngx_http_hype_report_refused(ngx_http_hype_report_t *report,
    PGresult *res);
static void ngx_http_hype_report_lost(ngx_http_hype_report_t *report);


/* the server ends the query by itself, before it is cancelled */

const ngx_http_hype_report_kind_t  ngx_http_hype_report_status = {
    NGX_HTTP_HYPE_DB_CHORES,
    "BEGIN READ ONLY; "
    "SET LOCAL ROLE hype_report; "
    "SET LOCAL statement_timeout = '10s'",
    "SELECT hype.report($1::jsonb)",
    1,
    10000 + 5000,
    "report"
};

/* nobody waits for as long */

const ngx_http_hype_report_kind_t  ngx_http_hype_report_owner = {
    NGX_HTTP_HYPE_DB_PAGES,
    NULL,
    "SELECT hype.owner_page($1, $2::boolean, $3)",
    3,
    5000,
    "show a user's links"
};


void
ngx_http_hype_report_init(ngx_http_hype_report_t *report,
    const ngx_http_hype_report_kind_t *kind, ngx_http_hype_db_t *db,
    ngx_http_hype_park_t *park)
{
    ngx_uint_t  i;

    report->kind = kind;
    report->db = db;
    report->park = park;

    for (i = 0; i < NGX_HTTP_HYPE_REPORT_ENTRIES; i++) {
        ngx_queue_init(&report->entries[i].waits);
    }
}


ngx_int_t
ngx_http_hype_report_get(ngx_http_hype_report_t *report,
    ngx_str_t *arguments, uint32_t viewer, ngx_msec_t valid,
    ngx_http_hype_report_wait_t *wait)
{
    ngx_uint_t                     failing;
    ngx_http_hype_report_entry_t  *entry;

    wait->report = report;
    wait->wait.status = NGX_HTTP_HYPE_REPORT_FINE;

    entry = ngx_http_hype_report_entry_find(report, arguments);

    failing = report->tried
              && ngx_current_msec - report->tried < NGX_HTTP_HYPE_REPORT_RETRY;

    if (entry == NULL && !failing
        && !ngx_http_hype_report_entry_crowded(report, viewer))
    {
        entry = ngx_http_hype_report_entry_create(report, arguments);
    }

    if (entry == NULL) {
        wait->wait.status = failing ? report->problem
                                    : NGX_HTTP_HYPE_REPORT_BUSY;
        return NGX_OK;
    }

    entry->used = ngx_current_msec;
    entry->refs++;
    wait->entry = entry;

    if ((entry->text.len || entry->error.len)
        && ngx_current_msec - entry->made < valid)
    {
        return NGX_OK;
    }

    if (failing) {
        wait->wait.status = report->problem;
        return NGX_OK;
    }

    if (entry->tried
        && ngx_current_msec - entry->tried < NGX_HTTP_HYPE_REPORT_RETRY)
    {
        wait->wait.status = entry->problem;
        return NGX_OK;
    }

    if (entry != report->current && !entry->pending) {

        if (ngx_http_hype_report_entry_crowded(report, viewer)) {
            wait->wait.status = NGX_HTTP_HYPE_REPORT_BUSY;
            return NGX_OK;
        }

        entry->pending = 1;
        entry->viewer = viewer;
        entry->turn = report->turn++;
    }

    ngx_http_hype_park(report->park, &wait->wait, &entry->waits, NULL,
                       NGX_HTTP_HYPE_REPORT_PENDING);

    if (entry->pending) {
        ngx_http_hype_db_wake(report->db, report->kind->role);
    }

    return NGX_AGAIN;
}


void
ngx_http_hype_report_leave(ngx_http_hype_report_wait_t *wait)
{
    ngx_http_hype_park_leave(wait->report->park, &wait->wait);

    if (wait->entry) {
        wait->entry->refs--;
        wait->entry = NULL;
    }
}


ngx_uint_t
ngx_http_hype_report_work(ngx_http_hype_report_t *report,
    ngx_http_hype_db_conn_t *conn)
{
    const char                    *user;
    ngx_http_hype_report_entry_t  *entry;

    entry = ngx_http_hype_report_entry_next(report);
    if (entry == NULL) {
        return 0;
    }

    user = PQuser(conn->pg);

    if (user) {
        ngx_cpystrn(report->user, (u_char *) user, sizeof(report->user));
    }

    entry->pending = 0;
    entry->refs++;

    report->viewer = entry->viewer;
    report->current = entry;
    report->conn = conn;

    ngx_http_hype_report_send(report, report->kind->begin
                                      ? NGX_HTTP_HYPE_REPORT_BEGIN
                                      : NGX_HTTP_HYPE_REPORT_SELECT);

    return 1;
}


/*
 * The query has a parameter, and so has to be sent alone.  Behind a pooler the
 * transaction keeps the session.
 */

static void
ngx_http_hype_report_send(ngx_http_hype_report_t *report,
    ngx_http_hype_report_step_e step)
{
    ngx_http_hype_db_statement_t  st;

    ngx_memzero(&st, sizeof(ngx_http_hype_db_statement_t));

    st.judged = 1;
    st.timeout = NGX_HTTP_HYPE_REPORT_SHORT;
    st.handler = ngx_http_hype_report_handler;
    st.data = report;

    report->step = step;

    switch (step) {

    case NGX_HTTP_HYPE_REPORT_BEGIN:
        st.sql = report->kind->begin;
        break;

    case NGX_HTTP_HYPE_REPORT_SELECT:
        ngx_http_hype_report_query(report, &st);
        return;

    default:
        st.sql = "COMMIT";
    }

    ngx_http_hype_db_send(report->conn, &st);
}


static void
ngx_http_hype_report_query(ngx_http_hype_report_t *report,
    ngx_http_hype_db_statement_t *st)
{
    int          i, lengths[NGX_HTTP_HYPE_REPORT_PARAMS];
    u_char      *p, *end, *last;
    const char  *values[NGX_HTTP_HYPE_REPORT_PARAMS];

    static const Oid  types[NGX_HTTP_HYPE_REPORT_PARAMS] = {
        NGX_HTTP_HYPE_REPORT_TEXT,
        NGX_HTTP_HYPE_REPORT_TEXT,
        NGX_HTTP_HYPE_REPORT_TEXT
    };

    p = report->current->arguments.data;
    last = p + report->current->arguments.len;

    for (i = 0; i < report->kind->nparams; i++) {
        end = ngx_strlchr(p, last, '\0');

        if (end == NULL) {
            end = last;
        }

        values[i] = (const char *) p;
        lengths[i] = end - p;

        p = end + 1;
    }

    st->sql = report->kind->sql;
    st->timeout = report->kind->timeout;
    st->nparams = report->kind->nparams;
    st->types = types;
    st->values = values;
    st->lengths = lengths;

    /* alone, it may write, which a primary that is a standby now refuses */

    st->neutral = (report->kind->begin == NULL);

    ngx_http_hype_db_send(report->conn, st);
}


static void
ngx_http_hype_report_handler(void *data, ngx_http_hype_db_outcome_e outcome,
    PGresult *res)
{
    ngx_http_hype_report_t *report = data;

    if (outcome == NGX_HTTP_HYPE_DB_UNKNOWN
        || outcome == NGX_HTTP_HYPE_DB_RETRY)
    {
        ngx_http_hype_report_lost(report);
        return;
    }

    if (report->step == NGX_HTTP_HYPE_REPORT_END) {

        if (outcome != NGX_HTTP_HYPE_DB_DONE) {

            /* a cancel request came too late: the transaction is still open */

            ngx_http_hype_db_renew(report->conn);
        }

        ngx_http_hype_report_done(report);
        return;
    }

    if (outcome != NGX_HTTP_HYPE_DB_DONE) {
        ngx_http_hype_report_refused(report, res);

    } else if (report->step == NGX_HTTP_HYPE_REPORT_BEGIN) {
        ngx_http_hype_report_send(report, NGX_HTTP_HYPE_REPORT_SELECT);
        return;

    } else {
        ngx_http_hype_report_keep(report, PQgetvalue(res, 0, 0),
                                  PQgetlength(res, 0, 0), 0);
    }

    if (report->kind->begin == NULL) {
        ngx_http_hype_report_done(report);
        return;
    }

    ngx_http_hype_report_send(report, NGX_HTTP_HYPE_REPORT_END);
}


static void
ngx_http_hype_report_done(ngx_http_hype_report_t *report)
{
    ngx_http_hype_report_entry_t  *entry;

    entry = report->current;
    entry->refs--;
    report->current = NULL;

    ngx_http_hype_park_wake_all(report->park, &entry->waits,
                                entry->tried ? entry->problem
                                             : NGX_HTTP_HYPE_REPORT_FINE);
}


static void
ngx_http_hype_report_keep(ngx_http_hype_report_t *report, const char *value,
    size_t len, ngx_uint_t error)
{
    ngx_str_t                      text;
    ngx_http_hype_report_entry_t  *entry;

    entry = report->current;

    text.len = len;
    text.data = (u_char *) value;

    report->tried = 0;

    if (ngx_http_hype_report_entry_keep(report, entry, &text, error)
        != NGX_OK)
    {
        entry->tried = ngx_current_msec;
        entry->problem = NGX_HTTP_HYPE_REPORT_FAILED;
    }
}


/* PostgreSQL's manual, appendix A: "PostgreSQL Error Codes" */

static void
ngx_http_hype_report_refused(ngx_http_hype_report_t *report, PGresult *res)
{
    const char                      *code, *text;
    ngx_http_hype_report_problem_e   problem;

    static const char  unclear[] = "the arguments can't be read";

    code = PQresultErrorField(res, PG_DIAG_SQLSTATE);
    problem = NGX_HTTP_HYPE_REPORT_FAILED;

    if (report->step == NGX_HTTP_HYPE_REPORT_BEGIN) {

        if (ngx_http_hype_db_is(res, "42501")) {
            problem = NGX_HTTP_HYPE_REPORT_GRANT;

        } else if (ngx_http_hype_db_is(res, "22023")) {

            /* there is no such role */

            problem = NGX_HTTP_HYPE_REPORT_SCHEMA;
        }

        report->problem = problem;
        report->tried = ngx_current_msec;

    } else if (code && ngx_strncmp(code, "22", 2) == 0) {
        text = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);

        if (text == NULL || !ngx_http_hype_db_is(res, "22023")) {
            text = unclear;

        } else if (ngx_strncmp(text, "hype.report: ", 13) == 0) {
            text += 13;
        }

        ngx_http_hype_report_keep(report, text, ngx_strlen(text), 1);
        return;

    } else if (ngx_http_hype_db_is(res, "57014")) {
        problem = NGX_HTTP_HYPE_REPORT_SLOW;

    } else if (ngx_http_hype_db_is(res, "55P03")) {

        /* lock_timeout is also how long a viewer waits */

        problem = NGX_HTTP_HYPE_REPORT_PENDING;

    } else if (ngx_http_hype_db_is(res, "42883")
               || ngx_http_hype_db_is(res, "42501")
               || ngx_http_hype_db_is(res, "3F000"))
    {
        problem = NGX_HTTP_HYPE_REPORT_SCHEMA;
    }

    report->current->problem = problem;
    report->current->tried = ngx_current_msec;

    if (ngx_http_hype_trouble_log(&report->trouble)) {
        text = PQresultErrorMessage(res);

        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "hype: PostgreSQL can't %s: %*s",
                      report->kind->doing, strcspn(text, "\n"), text);
    }
}


/* the database has logged that the connection is lost */

static void
ngx_http_hype_report_lost(ngx_http_hype_report_t *report)
{
    ngx_uint_t                     i;
    ngx_http_hype_report_entry_t  *entry;

    report->problem = NGX_HTTP_HYPE_REPORT_UNAVAILABLE;
    report->tried = ngx_current_msec;

    if (report->current) {
        report->current->refs--;
        report->current = NULL;
    }

    for (i = 0; i < NGX_HTTP_HYPE_REPORT_ENTRIES; i++) {
        entry = &report->entries[i];
        entry->pending = 0;

        ngx_http_hype_park_wake_all(report->park, &entry->waits,
                                    NGX_HTTP_HYPE_REPORT_UNAVAILABLE);
    }
}


void
ngx_http_hype_report_release(ngx_http_hype_report_t *report)
{
    ngx_uint_t  i;

    if (report->current
        || ngx_http_hype_db_available(report->db, report->kind->role))
    {
        return;
    }

    for (i = 0; i < NGX_HTTP_HYPE_REPORT_ENTRIES; i++) {

        if (report->entries[i].pending) {
            ngx_http_hype_report_lost(report);
            return;
        }
    }
}
