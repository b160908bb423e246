
/*
 * PostgreSQL: a worker's connections, opened when there is work, driven by
 * the event loop, and opened again when they are lost.
 *
 * The database asks for work; nobody queues a statement here.  Whenever a
 * connection is idle, "work" is called, and may send one statement on it.
 * Who has new work calls ngx_http_hype_db_wake().
 */


#ifndef _NGX_HTTP_HYPE_DB_H_INCLUDED_
#define _NGX_HTTP_HYPE_DB_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include "ngx_http_hype_conninfo.h"
#include "ngx_http_hype_event.h"
#include "ngx_http_hype_metrics.h"
#include "ngx_http_hype_thread.h"
#include "ngx_http_hype_trouble.h"


/*
 * What connections are for.  The first one reads links and listens for their
 * changes, so that a batch can't delay that; it writes hits only if it is
 * the only one.
 */

#define NGX_HTTP_HYPE_DB_LINKS  0x01
#define NGX_HTTP_HYPE_DB_HITS   0x02

/* those that visitors wait for */
#define NGX_HTTP_HYPE_DB_VISITS                                               \
    (NGX_HTTP_HYPE_DB_LINKS|NGX_HTTP_HYPE_DB_HITS)

/* one more, which is opened for maintenance or a report, and closed then */
#define NGX_HTTP_HYPE_DB_CHORES  0x04

/* one more of worker 0, for the derivation, which stays open */
#define NGX_HTTP_HYPE_DB_DERIVE  0x08

/* one more that is opened for an owner's page or a relay, and stays open */
#define NGX_HTTP_HYPE_DB_PAGES  0x10

/* those that are opened when there is work, and only then */
#define NGX_HTTP_HYPE_DB_ON_DEMAND                                            \
    (NGX_HTTP_HYPE_DB_CHORES|NGX_HTTP_HYPE_DB_PAGES)


/* the most parameters that a statement has */
#define NGX_HTTP_HYPE_DB_PARAMS  15


/* what became of a statement (and so of its transaction) */

typedef enum {
    NGX_HTTP_HYPE_DB_DONE = 0,     /* committed */
    NGX_HTTP_HYPE_DB_DUPLICATE,    /* refused: a row is there already */
    NGX_HTTP_HYPE_DB_REFUSED,      /* refused, for whatever reason */
    NGX_HTTP_HYPE_DB_RETRY,        /* not done, but not refused either */
    NGX_HTTP_HYPE_DB_UNKNOWN       /* connection lost: done or not */
} ngx_http_hype_db_outcome_e;


typedef struct ngx_http_hype_db_s       ngx_http_hype_db_t;
typedef struct ngx_http_hype_db_conn_s  ngx_http_hype_db_conn_t;
typedef struct ngx_http_hype_db_task_s  ngx_http_hype_db_task_t;


typedef struct {
    ngx_http_hype_conninfo_t    info;
    ngx_uint_t                  connections;
    ngx_msec_t                  connect_timeout;
    ngx_msec_t                  timeout;          /* of a visitor's wait */
} ngx_http_hype_db_conf_t;


typedef struct {
    /* may hold several commands, if there are no parameters */
    const char                 *sql;

    /* or the name of a statement that was prepared on this connection */
    const char                 *prepared;

    /* when it is cancelled; 0: some seconds after a visitor's wait */
    ngx_msec_t                  timeout;

    /*
     * If it is refused, its handler finds out what that says of others: the
     * connection goes on, and the handler may send the next statement.
     */
    ngx_uint_t                  judged;  /* unsigned judged:1 */

    /* it has nothing of any record: what it gets is what others get */
    ngx_uint_t                  neutral;  /* unsigned neutral:1 */

    /* neither its success nor its failure says anything about hits */
    ngx_uint_t                  optional;  /* unsigned optional:1 */

    /* parameters in binary format, up to NGX_HTTP_HYPE_DB_PARAMS */
    int                         nparams;
    const Oid                  *types;
    const char *const          *values;
    const int                  *lengths;

    /* for COPY FROM STDIN: PQputCopyData() of all data; NGX_OK or NGX_ERROR */
    ngx_int_t                 (*copy)(void *data, PGconn *pg);

    /*
     * Called once, maybe before ngx_http_hype_db_send() returns, with the
     * last command's result if the outcome is NGX_HTTP_HYPE_DB_DONE, else
     * with the error's or NULL; it is freed afterwards.
     */
    void                      (*handler)(void *data,
                                    ngx_http_hype_db_outcome_e outcome,
                                    PGresult *res);
    void                       *data;
} ngx_http_hype_db_statement_t;


struct ngx_http_hype_db_s {
    ngx_http_hype_db_conf_t    *conf;
    ngx_http_hype_db_conn_t    *conns;
    ngx_uint_t                  nconns;

    ngx_atomic_t               *counters;
    ngx_http_hype_worker_t     *worker;
    ngx_http_hype_threads_t    *threads;

    /*
     * Since when, in ngx_current_msec, each change of a link has been heard;
     * 0: it is not heard now.
     */
    ngx_msec_t                  listening;

    /* a pooler is between, and its sessions can't listen */
    ngx_uint_t                  pooled;  /* unsigned pooled:1 */

    /* a worker of Citus: another server notifies, see hype.relay() */
    ngx_uint_t                  relayed;  /* unsigned relayed:1 */

    /* hits are refused, whatever they are: they are not available */
    ngx_uint_t                  refused;  /* unsigned refused:1 */

    /* the worker ends: no connection is opened any more */
    ngx_uint_t                  closed;  /* unsigned closed:1 */

    void                      (*work)(void *data,
                                    ngx_http_hype_db_conn_t *conn);
    void                      (*notify)(void *data, ngx_str_t *channel,
                                    ngx_str_t *payload);

    /* a role is not available any more, see ngx_http_hype_db_available() */
    void                      (*unavailable)(void *data);
    void                       *data;
};


struct ngx_http_hype_db_conn_s {
    ngx_http_hype_ident_t       ident;

    ngx_http_hype_db_t         *db;
    ngx_uint_t                  state;
    ngx_uint_t                  roles;
    PGconn                     *pg;
    ngx_connection_t           *connection;
    ngx_event_t                 timer;
    ngx_event_t                 next;    /* posted until it asks for work */
    ngx_http_hype_trouble_t     trouble;
    ngx_msec_t                  backoff;
    ngx_msec_t                  made;    /* since when it is set up */
    int64_t                     question;  /* when it was sent, ms */
    ngx_uint_t                  first;   /* of several hosts */
    ngx_http_hype_db_task_t    *task;    /* of a thread, or NULL */

    ngx_http_hype_thread_t      canceller;
    PGcancel                   *cancel;  /* what it sends, */
    char                        cancel_error[256];   /* or why it could not */

    ngx_http_hype_db_statement_t  statement;
    ngx_http_hype_db_outcome_e  outcome;
    PGresult                   *result;

    unsigned                    failing:1;   /* not worth a visitor's wait */
    unsigned                    overdue:1;   /* "timeout" is over */
    unsigned                    copied:1;    /* all data of a COPY are sent */
    unsigned                    cancelled:1;   /* the server was asked to */

    /*
     * The server is still being asked, and may cancel whatever is sent now: no
     * statement must be.  When that is over, the connection asks for work.
     */
    unsigned                    cancelling:1;

    /* reset when the connection is made: */
    unsigned                    prepare_sent:1;  /* of a statement, */
    unsigned                    prepared:1;      /* which is there */
    ngx_uint_t                  flags;       /* of those who have the work, */
    ngx_uint_t                  node;        /* and where it writes hits, */
    ngx_msec_t                  asked;       /* as it was told then */
};


/*
 * Prepares a worker's connections, which are opened later.  The caller sets
 * "threads" and the handlers, from "work" to "data", before that.  Counts in
 * "metrics" and in "worker".  NULL if memory ran out.
 */

ngx_http_hype_db_t *ngx_http_hype_db_create(ngx_cycle_t *cycle,
    ngx_http_hype_db_conf_t *conf, ngx_http_hype_metrics_t *metrics,
    ngx_http_hype_worker_t *worker);

/* Closes all; statements under way end as NGX_HTTP_HYPE_DB_UNKNOWN. */

void ngx_http_hype_db_close(ngx_http_hype_db_t *db);

/*
 * There is work for that role: an idle connection asks for it; if all that are
 * open are busy, one more is opened.
 */

void ngx_http_hype_db_wake(ngx_http_hype_db_t *db, ngx_uint_t role);

/*
 * Whether work for that role will probably be done soon.  Returns 0 while
 * PostgreSQL can't be reached, refuses, or stalls; else 1.
 */

ngx_uint_t ngx_http_hype_db_available(ngx_http_hype_db_t *db,
    ngx_uint_t role);

/*
 * Log that judged statements are refused for a fault that is not their own, or
 * that they are not refused any more.  "trouble" is their stream's.
 */

void ngx_http_hype_db_refused(ngx_http_hype_db_t *db,
    ngx_http_hype_trouble_t *trouble, PGresult *res);
void ngx_http_hype_db_accepted(ngx_http_hype_db_t *db,
    ngx_http_hype_trouble_t *trouble);

/* Sets or clears "refused". */

void ngx_http_hype_db_refuse_hits(ngx_http_hype_db_t *db, ngx_uint_t refused);

/* Whether a result, which may be NULL, is an error of that SQLSTATE. */

ngx_uint_t ngx_http_hype_db_is(PGresult *res, const char *code);

/* Closes an idle connection, and opens it again soon. */

void ngx_http_hype_db_renew(ngx_http_hype_db_conn_t *conn);

/*
 * From "work": sends a statement on an idle connection.  Copies the structure;
 * what it points to need not stay, but for "data".
 */

void ngx_http_hype_db_send(ngx_http_hype_db_conn_t *conn,
    ngx_http_hype_db_statement_t *statement);


#endif /* _NGX_HTTP_HYPE_DB_H_INCLUDED_ */
