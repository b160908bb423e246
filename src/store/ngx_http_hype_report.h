
/*
 * The reports: what the roll-ups of sql/hype.sql say, as JSON.  They are read
 * by a role that may do nothing else, on the connection that is not there
 * for visitors, once for all who ask meanwhile, and kept for a while.
 */


#ifndef _NGX_HTTP_HYPE_REPORT_H_INCLUDED_
#define _NGX_HTTP_HYPE_REPORT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_http_hype_db.h"
#include "ngx_http_hype_park.h"


typedef struct {
    ngx_http_hype_db_t       *db;
    ngx_http_hype_park_t     *park;
    ngx_log_t                *log;

    ngx_str_t                 text;     /* the last one, "{...}" */
    ngx_msec_t                made;
    ngx_msec_t                tried;    /* when one has failed, or 0 */
    ngx_msec_t                logged;   /* when that was told of, or 0 */
    ngx_queue_t               waits;

    unsigned                  pending:1;
    unsigned                  flight:1;
} ngx_http_hype_report_t;


/* What is above "text" is for the caller to set. */

void ngx_http_hype_report_init(ngx_http_hype_report_t *report);

/* For a worker that ends, once the database is closed. */

void ngx_http_hype_report_close(ngx_http_hype_report_t *report);

/*
 * Sees to a report that is no older than "valid" milliseconds.
 *
 * NGX_OK: there is nothing to wait for; report->text is the last one, which
 *     may be older if a new one has just failed, and is empty if there is
 *     none.
 * NGX_AGAIN: the request is parked.
 */

ngx_int_t ngx_http_hype_report_get(ngx_http_hype_report_t *report,
    ngx_msec_t valid, ngx_http_hype_wait_t *wait);

/* Sends a query; returns 0 if there is none to be sent. */

ngx_uint_t ngx_http_hype_report_work(ngx_http_hype_report_t *report,
    ngx_http_hype_db_conn_t *conn);

/* Lets all who wait go on with what there is; the database's "away". */

void ngx_http_hype_report_away(ngx_http_hype_report_t *report);


#endif /* _NGX_HTTP_HYPE_REPORT_H_INCLUDED_ */
