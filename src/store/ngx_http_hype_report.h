
/*
 * The reports: what hype.report() of sql/hype.sql says, as JSON, for the
 * arguments that a viewer asks with.  They are read by a role that may do
 * nothing else, on the connection that is not there for visitors, one after
 * the other.  All who ask for the same get the same one, which is kept for a
 * while.
 */


#ifndef _NGX_HTTP_HYPE_REPORT_H_INCLUDED_
#define _NGX_HTTP_HYPE_REPORT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_http_hype_db.h"
#include "ngx_http_hype_park.h"
#include "ngx_http_hype_report_entry.h"


/* maximum length of a name in PostgreSQL */
#define NGX_HTTP_HYPE_REPORT_NAME     63


typedef struct {
    ngx_http_hype_db_t              *db;
    ngx_http_hype_park_t            *park;
    ngx_log_t                       *log;

    ngx_http_hype_report_entries_t   entries;
    ngx_http_hype_report_entry_t    *current;    /* being asked for */
    ngx_http_hype_db_conn_t         *conn;       /* where */
    ngx_uint_t                       step;

    /* of all reports */
    ngx_http_hype_report_problem_e   problem;
    ngx_msec_t                       tried;      /* when, or 0 */
    ngx_msec_t                       logged;     /* when that was logged */

    /* the role that nginx connects as, "" until it has */
    u_char                           user[NGX_HTTP_HYPE_REPORT_NAME + 1];
} ngx_http_hype_report_t;


/* a request; its status is an ngx_http_hype_report_problem_e */

typedef struct {
    ngx_http_hype_wait_t             wait;
    ngx_http_hype_report_t          *report;
    ngx_http_hype_report_entry_t    *entry;      /* or NULL */
} ngx_http_hype_report_wait_t;


/* "db", "park" and "log" are for the caller to set. */

void ngx_http_hype_report_init(ngx_http_hype_report_t *report);

/* For a worker that ends, once the database is closed. */

void ngx_http_hype_report_close(ngx_http_hype_report_t *report);

/*
 * Sees to a report that is no older than "valid" milliseconds.  "arguments"
 * is a JSON object, and is copied; "viewer" tells one client from others.
 *
 * NGX_OK: there is nothing to wait for.  wait->entry has the last report,
 *     which may be older, or the error, or neither, or is NULL;
 *     its status says why there is no new one.
 * NGX_AGAIN: the request is parked; then wait->entry is as above.
 *
 * wait->entry stays until ngx_http_hype_report_leave().
 */

ngx_int_t ngx_http_hype_report_get(ngx_http_hype_report_t *report,
    ngx_str_t *arguments, uint32_t viewer, ngx_msec_t valid,
    ngx_http_hype_report_wait_t *wait);

/* The request is answered, or gone. */

void ngx_http_hype_report_leave(ngx_http_hype_report_wait_t *wait);

/* Sends a query; returns 0 if there is none to be sent. */

ngx_uint_t ngx_http_hype_report_work(ngx_http_hype_report_t *report,
    ngx_http_hype_db_conn_t *conn);

/* Lets all who wait go on with what there is; the database's "away". */

void ngx_http_hype_report_away(ngx_http_hype_report_t *report);


#endif /* _NGX_HTTP_HYPE_REPORT_H_INCLUDED_ */
