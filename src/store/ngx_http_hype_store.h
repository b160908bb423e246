
/*
 * A worker's way to PostgreSQL and back: what becomes of hits, claims and
 * confirms, and whose turn it is when a connection is idle.
 */


#ifndef _NGX_HTTP_HYPE_STORE_H_INCLUDED_
#define _NGX_HTTP_HYPE_STORE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_http_hype_cache.h"
#include "ngx_http_hype_db.h"
#include "ngx_http_hype_derive.h"
#include "ngx_http_hype_event.h"
#include "ngx_http_hype_links.h"
#include "ngx_http_hype_park.h"
#include "ngx_http_hype_record.h"
#include "ngx_http_hype_relay.h"
#include "ngx_http_hype_report.h"
#include "ngx_http_hype_stream.h"
#include "ngx_http_hype_thread.h"
#include "ngx_http_hype_uuid.h"


typedef struct {
    ngx_http_hype_ident_t    ident;
    ngx_http_hype_db_t      *db;
    ngx_http_hype_cache_t   *cache;
    ngx_http_hype_worker_t  *worker;     /* its metrics */
    ngx_http_hype_threads_t  threads;

    ngx_http_hype_park_t     park;
    ngx_http_hype_links_t    links;
    ngx_http_hype_stream_t   streams[NGX_HTTP_HYPE_STREAMS];
    ngx_http_hype_report_t   report;     /* of hype_status, */
    ngx_http_hype_report_t   owner;      /* and of hype_links */
    ngx_http_hype_derive_t   derive;
    ngx_http_hype_relay_t    relay;

    ngx_http_hype_uuid_pool_t  uuids;

    ngx_event_t              release;      /* to let go who waits in vain */

    ngx_uint_t               next;       /* stream whose turn it is */
    ngx_msec_t               visited;    /* when the last live hit came */

    ngx_event_t              tick;
    ngx_msec_t               tidied;     /* when the spool's files were */
    ngx_msec_t               maintain;   /* when it is due */

    unsigned                 others:1;   /* the last batch was no live hits' */
    unsigned                 looked:1;   /* the last turn was for links */
    unsigned                 maintaining:1;
} ngx_http_hype_store_t;


/*
 * For a worker that starts.  Opens no connection yet.  Returns what belongs to
 * the cycle's pool, or NULL if memory ran out.
 */

ngx_http_hype_store_t *ngx_http_hype_store_create(ngx_cycle_t *cycle,
    ngx_http_hype_db_conf_t *db, ngx_http_hype_spool_conf_t *spool,
    ngx_http_hype_cache_t *cache);

/* For a worker that ends: what is not committed goes to the spool. */

void ngx_http_hype_store_close(ngx_http_hype_store_t *store);

/*
 * Takes a copy of a hit, with the identifier if its link is not known, else an
 * empty one.  "spool" says that the hit need not be committed: the spool is
 * enough.
 *
 * NGX_AGAIN: the request is parked, and resumed with wait->status.
 * NGX_OK: there is nothing to wait for, and wait->status is set.
 *
 * wait->status is NGX_OK if the hit is committed, NGX_DECLINED if it is in the
 * spool or in memory, NGX_ERROR if it is dropped.
 */

ngx_int_t ngx_http_hype_store_hit(ngx_http_hype_store_t *store,
    ngx_str_t *identifier, ngx_http_hype_row_t *row, ngx_uint_t spool,
    ngx_http_hype_wait_t *wait);

/*
 * Take a copy of a hit that nobody waits for, or of a claim or a confirm: into
 * the spool, or else into memory.  What has no room is dropped, and counted.
 */

void ngx_http_hype_store_keep_hit(ngx_http_hype_store_t *store,
    ngx_str_t *identifier, ngx_http_hype_row_t *row);
void ngx_http_hype_store_event(ngx_http_hype_store_t *store,
    ngx_http_hype_record_type_e type, ngx_http_hype_event_t *event);

/* The request waits no longer: its hit goes on without it. */

void ngx_http_hype_store_expire(ngx_http_hype_store_t *store,
    ngx_http_hype_wait_t *wait);


/* ngx_http_hype_store_turn.c: whose turn it is on an idle connection */

/* The database's "work". */

void ngx_http_hype_store_work(void *data, ngx_http_hype_db_conn_t *conn);


/* ngx_http_hype_store_chores.c: maintenance, and what the database tells */

/* The database's "notify" and "unavailable". */

void ngx_http_hype_store_notify(void *data, ngx_str_t *channel,
    ngx_str_t *payload);
void ngx_http_hype_store_unavailable(void *data);

/* Handlers of the events "release" and "tick". */

void ngx_http_hype_store_release_handler(ngx_event_t *ev);
void ngx_http_hype_store_tick_handler(ngx_event_t *ev);

/* Sends the daily maintenance if it is due.  Returns 1, or 0 if it is not. */

ngx_uint_t ngx_http_hype_store_maintain(ngx_http_hype_store_t *store,
    ngx_http_hype_db_conn_t *conn);


#endif /* _NGX_HTTP_HYPE_STORE_H_INCLUDED_ */
