
/*
 * The reports: what a function of sql/hype.sql says, as JSON, for the
 * arguments that a viewer asks with.  They are read on a connection that is
 * not there for visitors, one after the other.  All who ask for the same get
 * the same one, which is kept for a while.
 */


#ifndef _NGX_HTTP_HYPE_REPORT_H_INCLUDED_
#define _NGX_HTTP_HYPE_REPORT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_http_hype_db.h"
#include "ngx_http_hype_park.h"
#include "ngx_http_hype_trouble.h"


/* maximum length of a name in PostgreSQL */
#define NGX_HTTP_HYPE_REPORT_NAME     63

/*
 * Their number is fixed, and so is how much they hold, whatever viewers ask
 * for.
 */
#define NGX_HTTP_HYPE_REPORT_ENTRIES  128


/* why there is no new report */

typedef enum {
    NGX_HTTP_HYPE_REPORT_FINE = 0,
    NGX_HTTP_HYPE_REPORT_PENDING,   /* not ready yet */
    NGX_HTTP_HYPE_REPORT_BUSY,      /* too many are asked for */
    NGX_HTTP_HYPE_REPORT_UNAVAILABLE,      /* no connection to the database */
    NGX_HTTP_HYPE_REPORT_GRANT,     /* hype_report is not granted */
    NGX_HTTP_HYPE_REPORT_SCHEMA,    /* the schema has no hype.report() */
    NGX_HTTP_HYPE_REPORT_SLOW,      /* it takes too long */
    NGX_HTTP_HYPE_REPORT_FAILED     /* anything else: see the error log */
} ngx_http_hype_report_problem_e;


typedef struct {
    ngx_str_t                        arguments;
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


/* what is asked for: hype.report() or hype.owner_page() */

typedef struct {
    ngx_uint_t                       role;       /* of the connection */
    const char                      *begin;      /* of a transaction, or NULL */
    const char                      *sql;

    /* of texts, in the arguments one after the other with a NUL between */
    int                              nparams;

    ngx_msec_t                       timeout;    /* of the query */
    const char                      *doing;      /* "can't" what, in the log */
} ngx_http_hype_report_kind_t;

extern const ngx_http_hype_report_kind_t  ngx_http_hype_report_status;
extern const ngx_http_hype_report_kind_t  ngx_http_hype_report_owner;


typedef struct {
    const ngx_http_hype_report_kind_t  *kind;
    ngx_http_hype_db_t              *db;
    ngx_http_hype_park_t            *park;

    ngx_http_hype_report_entry_t     entries[NGX_HTTP_HYPE_REPORT_ENTRIES];
    ngx_uint_t                       turn;       /* the next one */
    uint32_t                         viewer;     /* who had the last turn */
    ngx_http_hype_report_entry_t    *current;    /* being asked for */
    ngx_http_hype_db_conn_t         *conn;       /* where */
    ngx_uint_t                       step;

    /* of all reports */
    ngx_http_hype_report_problem_e   problem;
    ngx_msec_t                       tried;      /* when, or 0 */
    ngx_http_hype_trouble_t          trouble;

    /* the role that nginx connects as, "" until it has */
    u_char                           user[NGX_HTTP_HYPE_REPORT_NAME + 1];
} ngx_http_hype_report_t;


/* a request that waits; its status is an ngx_http_hype_report_problem_e */

typedef struct {
    ngx_http_hype_wait_t             wait;
    ngx_http_hype_report_t          *report;
    ngx_http_hype_report_entry_t    *entry;      /* or NULL */
} ngx_http_hype_report_wait_t;


/* In zeroed memory.  No report is there yet. */

void ngx_http_hype_report_init(ngx_http_hype_report_t *report,
    const ngx_http_hype_report_kind_t *kind, ngx_http_hype_db_t *db,
    ngx_http_hype_park_t *park);

/*
 * Gets a report that is at most "valid" milliseconds old.  "arguments" are
 * UTF-8 texts, as the kind has them, which are copied; "viewer" identifies the
 * client.
 *
 * NGX_OK: there is nothing to wait for.
 * NGX_AGAIN: the request is parked.
 *
 * Then wait->entry is NULL, or has the last report, which may be older, or an
 * error, or neither; the status says why there is no new report.  The entry
 * stays until ngx_http_hype_report_leave().
 */

ngx_int_t ngx_http_hype_report_get(ngx_http_hype_report_t *report,
    ngx_str_t *arguments, uint32_t viewer, ngx_msec_t valid,
    ngx_http_hype_report_wait_t *wait);

/* The request has its response, or is gone. */

void ngx_http_hype_report_leave(ngx_http_hype_report_wait_t *wait);

/* Sends a query on an idle connection.  Returns 1, or 0 if there is none. */

ngx_uint_t ngx_http_hype_report_work(ngx_http_hype_report_t *report,
    ngx_http_hype_db_conn_t *conn);

/* If the database is unavailable, all who wait go on with what there is. */

void ngx_http_hype_report_release(ngx_http_hype_report_t *report);


/* ngx_http_hype_report_entry.c: reports by their arguments */

/* Frees all of them. */

void ngx_http_hype_report_entries_free(ngx_http_hype_report_t *report);

/* The one of these arguments, or NULL. */

ngx_http_hype_report_entry_t *ngx_http_hype_report_entry_find(
    ngx_http_hype_report_t *report, ngx_str_t *arguments);

/*
 * A new one in place of one that nobody refers to; NULL if there is none, or
 * memory ran out.  The arguments are copied.
 */

ngx_http_hype_report_entry_t *ngx_http_hype_report_entry_create(
    ngx_http_hype_report_t *report, ngx_str_t *arguments);

/* Whether a viewer has as many pending as one may have. */

ngx_uint_t ngx_http_hype_report_entry_crowded(
    ngx_http_hype_report_t *report, uint32_t viewer);

/* The pending one whose turn it is, or NULL. */

ngx_http_hype_report_entry_t *ngx_http_hype_report_entry_next(
    ngx_http_hype_report_t *report);

/*
 * Gives one that is referred to its text, or error, which is copied.
 * NGX_ERROR: memory ran out.
 */

ngx_int_t ngx_http_hype_report_entry_keep(
    ngx_http_hype_report_t *report,
    ngx_http_hype_report_entry_t *entry, ngx_str_t *text, ngx_uint_t error);


#endif /* _NGX_HTTP_HYPE_REPORT_H_INCLUDED_ */
