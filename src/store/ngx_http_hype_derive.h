
/*
 * The derivation: what follows from hits, claims and confirms is made in
 * PostgreSQL, by hype.derive(), in short steps.  Worker 0 calls it soon after
 * something was written, on a connection of its own, so that no visitor and
 * no report waits for it.
 */


#ifndef _NGX_HTTP_HYPE_DERIVE_H_INCLUDED_
#define _NGX_HTTP_HYPE_DERIVE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include "ngx_http_hype_db.h"
#include "ngx_http_hype_event.h"
#include "ngx_http_hype_metrics.h"


typedef struct {
    ngx_http_hype_ident_t     ident;
    ngx_http_hype_db_t       *db;
    ngx_http_hype_metrics_t  *metrics;

    ngx_event_t               timer;      /* until the next call */

    ngx_msec_t                called;     /* the last time, with: */
    ngx_atomic_uint_t         rows;       /* the counter NGX_HTTP_HYPE_ROWS */
    ngx_msec_t                listening;  /* the database's */

    ngx_msec_t                timeout;    /* of the statement */
    ngx_msec_t                backoff;    /* 0: the last call went well */
    ngx_http_hype_trouble_t   rejected;   /* confirms */

    unsigned                  pending:1;  /* call when there is a connection */
    unsigned                  calling:1;  /* a call is under way */
    unsigned                  notified:1; /* meanwhile: call once more */
} ngx_http_hype_derive_t;


/* In zeroed memory.  Worker 0 calls; in others it does nothing. */

void ngx_http_hype_derive_init(ngx_http_hype_derive_t *derive,
    ngx_http_hype_db_t *db, ngx_http_hype_metrics_t *metrics);

/*
 * For worker 0 to call several times a second: calls hype.derive() if something
 * was written.
 */

void ngx_http_hype_derive_watch(ngx_http_hype_derive_t *derive);

/* A claim or a confirm was written somewhere: calls hype.derive() soon. */

void ngx_http_hype_derive_notify(ngx_http_hype_derive_t *derive);

/* Sends the call of hype.derive() on an idle connection if it is due. */

void ngx_http_hype_derive_work(ngx_http_hype_derive_t *derive,
    ngx_http_hype_db_conn_t *conn);

/* Returns for how many seconds something has been left to derive, or 0. */

ngx_uint_t ngx_http_hype_derive_age(ngx_http_hype_metrics_t *metrics);


#endif /* _NGX_HTTP_HYPE_DERIVE_H_INCLUDED_ */
