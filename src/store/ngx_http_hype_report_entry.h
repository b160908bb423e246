
/*
 * The reports of a worker: those that are kept, and those that are asked for,
 * each known by its arguments.  Their number is fixed, and so is how much they
 * hold, whatever viewers ask for.
 */


#ifndef _NGX_HTTP_HYPE_REPORT_ENTRY_H_INCLUDED_
#define _NGX_HTTP_HYPE_REPORT_ENTRY_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


#define NGX_HTTP_HYPE_REPORT_ENTRIES  16


/* why there is no new report */

typedef enum {
    NGX_HTTP_HYPE_REPORT_FINE = 0,
    NGX_HTTP_HYPE_REPORT_PENDING,   /* not ready yet */
    NGX_HTTP_HYPE_REPORT_BUSY,      /* too many are asked for */
    NGX_HTTP_HYPE_REPORT_AWAY,      /* no connection to the database */
    NGX_HTTP_HYPE_REPORT_GRANT,     /* hype_report is not granted */
    NGX_HTTP_HYPE_REPORT_SCHEMA,    /* the schema has no hype.report() */
    NGX_HTTP_HYPE_REPORT_SLOW,      /* it takes too long */
    NGX_HTTP_HYPE_REPORT_FAILED     /* anything else: see the error log */
} ngx_http_hype_report_problem_e;


typedef struct {
    ngx_str_t                        arguments;  /* "{...}" */
    uint32_t                         viewer;     /* who asked first */
    ngx_str_t                        text;       /* the last one, "{...}" */
    ngx_str_t                        error;      /* of the arguments, if bad */
    ngx_msec_t                       made;       /* when either came */
    ngx_msec_t                       tried;      /* when it failed, or 0 */
    ngx_http_hype_report_problem_e   problem;    /* and why */
    ngx_msec_t                       used;
    ngx_uint_t                       turn;       /* in order of asking */
    ngx_queue_t                      waits;
    ngx_uint_t                       refs;       /* of requests */

    unsigned                         pending:1;
} ngx_http_hype_report_entry_t;


typedef struct {
    ngx_log_t                       *log;
    ngx_http_hype_report_entry_t     list[NGX_HTTP_HYPE_REPORT_ENTRIES];
    ngx_uint_t                       turn;       /* the next one */
    uint32_t                         viewer;     /* who had the last turn */
} ngx_http_hype_report_entries_t;


/* "log" is for the caller to set. */

void ngx_http_hype_report_entries_init(
    ngx_http_hype_report_entries_t *entries);

/* Frees them all. */

void ngx_http_hype_report_entries_clear(
    ngx_http_hype_report_entries_t *entries);

/* The one of these arguments, or NULL. */

ngx_http_hype_report_entry_t *ngx_http_hype_report_entry_find(
    ngx_http_hype_report_entries_t *entries, ngx_str_t *arguments);

/*
 * A new one in place of one that nobody refers to; NULL if there is none, or
 * memory ran out.  The arguments are copied.
 */

ngx_http_hype_report_entry_t *ngx_http_hype_report_entry_create(
    ngx_http_hype_report_entries_t *entries, ngx_str_t *arguments);

/* Whether a viewer has as many pending as one may have. */

ngx_uint_t ngx_http_hype_report_entry_crowded(
    ngx_http_hype_report_entries_t *entries, uint32_t viewer);

/* The pending one whose turn it is, or NULL. */

ngx_http_hype_report_entry_t *ngx_http_hype_report_entry_next(
    ngx_http_hype_report_entries_t *entries);

/*
 * Gives one that is referred to its text, or error, which is copied.
 * NGX_ERROR: memory ran out.
 */

ngx_int_t ngx_http_hype_report_entry_keep(
    ngx_http_hype_report_entries_t *entries,
    ngx_http_hype_report_entry_t *entry, ngx_str_t *text, ngx_uint_t error);


#endif /* _NGX_HTTP_HYPE_REPORT_ENTRY_H_INCLUDED_ */
