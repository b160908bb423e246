
/*
 * hype_status: a location that shows to people and to programs how the module
 * is doing.
 */


#ifndef _NGX_HTTP_HYPE_STATUS_H_INCLUDED_
#define _NGX_HTTP_HYPE_STATUS_H_INCLUDED_


#include "ngx_http_hype.h"


/* The location's content handler. */

ngx_int_t ngx_http_hype_status_handler(ngx_http_request_t *r);

#define NGX_HTTP_HYPE_STATUS_PAGE  "text/html; charset=utf-8"

/*
 * Sends a text that no cache may store; a page may only use what is of its own
 * location.  Takes the status and the Content-Type; the text has to live as
 * long as the request.  Returns what a content handler returns.
 */

ngx_int_t ngx_http_hype_status_send(ngx_http_request_t *r,
    ngx_uint_t status, const char *type, ngx_str_t *text);

/* why there is nothing to show, by ngx_http_hype_report_problem_e */

typedef struct {
    ngx_str_t                    name;
    ngx_str_t                    message;
} ngx_http_hype_status_problem_t;


/* ngx_http_hype_status_report.c: "?report" */

/*
 * A content handler: reads the arguments, waits for the report, and sends it,
 * or says what to do where there is none.
 */

ngx_int_t ngx_http_hype_status_report(ngx_http_request_t *r);


/* ngx_http_hype_status_metrics.c: the metrics of all workers at one moment */

/* identifiers in each list of recent visits */
#define NGX_HTTP_HYPE_STATUS_RECENT  20


/* what is neither a counter of all workers nor a histogram */

typedef enum {
    NGX_HTTP_HYPE_GAUGE_LINKS = NGX_HTTP_HYPE_COUNTERS,
    NGX_HTTP_HYPE_GAUGE_UNKNOWNS,
    NGX_HTTP_HYPE_GAUGE_CACHE_SIZE,
    NGX_HTTP_HYPE_GAUGE_CACHE_FREE,
    NGX_HTTP_HYPE_GAUGE_RECORDS,
    NGX_HTTP_HYPE_GAUGE_BYTES,
    NGX_HTTP_HYPE_GAUGE_WAITING,
    NGX_HTTP_HYPE_GAUGE_SPOOL_MAX,
    NGX_HTTP_HYPE_GAUGE_DERIVE_AGE,
    NGX_HTTP_HYPE_GAUGE_UP,
    NGX_HTTP_HYPE_GAUGE_SKEW,       /* ms */
    NGX_HTTP_HYPE_GAUGE_STARTED,    /* ms since 1970 */
    NGX_HTTP_HYPE_GAUGE_CONNECTIONS,

    NGX_HTTP_HYPE_GAUGES = NGX_HTTP_HYPE_GAUGE_CONNECTIONS
                           + NGX_HTTP_HYPE_CONNECTIONS
} ngx_http_hype_gauge_e;


typedef struct {
    ngx_uint_t                   n;
    ngx_http_hype_recent_t       list[NGX_HTTP_HYPE_STATUS_RECENT];
} ngx_http_hype_status_recent_t;


typedef struct {
    int64_t                      values[NGX_HTTP_HYPE_GAUGES];

    /* batches of at most so many records or microseconds, the last one: all */
    ngx_uint_t                   sizes[NGX_HTTP_HYPE_SIZES + 1];
    ngx_uint_t                   commits[NGX_HTTP_HYPE_COMMITS + 1];

    ngx_uint_t                   spool;      /* unsigned spool:1 */
    ngx_array_t                  workers;    /* ngx_http_hype_worker_t */

    ngx_http_hype_status_recent_t  links;
    ngx_http_hype_status_recent_t  unknown;  /* identifiers without a link */
} ngx_http_hype_status_metrics_t;


/* Collects them, in the pool.  NULL if memory ran out. */

ngx_http_hype_status_metrics_t *ngx_http_hype_status_metrics(
    ngx_http_hype_main_conf_t *hmcf, ngx_pool_t *pool);


/* ngx_http_hype_status_text.c: the metrics as text */

/*
 * Write the metrics to "text", in the pool: as JSON, and in the text format of
 * Prometheus.  NGX_ERROR if memory ran out.
 */

ngx_int_t ngx_http_hype_status_json(ngx_http_hype_status_metrics_t *metrics,
    ngx_pool_t *pool, ngx_str_t *text);
ngx_int_t ngx_http_hype_status_prometheus(
    ngx_http_hype_status_metrics_t *metrics, ngx_pool_t *pool,
    ngx_str_t *text);


/* what has its own URL: the page's, with an argument */

typedef struct {
    ngx_str_t                    argument;
    const char                  *type;       /* Content-Type */
    ngx_str_t                    text;       /* or what writes it: */
    ngx_int_t                  (*write)(
                                     ngx_http_hype_status_metrics_t *metrics,
                                     ngx_pool_t *pool, ngx_str_t *text);
} ngx_http_hype_status_part_t;

/* The one of these arguments, or the last one, which has no argument. */

ngx_http_hype_status_part_t *ngx_http_hype_status_find(
    ngx_http_hype_status_part_t *parts, ngx_str_t *args);


#endif /* _NGX_HTTP_HYPE_STATUS_H_INCLUDED_ */
