
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
#include "ngx_http_hype_report.h"
#include "ngx_http_hype_stream.h"
#include "ngx_http_hype_uuid.h"


typedef struct {
    ngx_http_hype_ident_t    ident;
    ngx_http_hype_db_t      *db;
    ngx_http_hype_cache_t   *cache;
    ngx_http_hype_worker_t  *worker;     /* its figures */
    ngx_log_t               *log;

    ngx_http_hype_park_t     park;
    ngx_http_hype_links_t    links;
    ngx_http_hype_stream_t   streams[NGX_HTTP_HYPE_STREAMS];
    ngx_http_hype_report_t   report;
    ngx_http_hype_derive_t   derive;

    ngx_http_hype_uuid_pool_t  uuids;

    ngx_event_t              gather;     /* to send what has come */
    ngx_event_t              away;       /* to keep nobody waiting */

    ngx_uint_t               next;       /* stream whose turn it is */
    ngx_msec_t               visited;    /* when the last live hit came */

    ngx_event_t              maintain;

    unsigned                 others:1;   /* the last batch was no live hits' */
    unsigned                 looked:1;   /* the last turn was for links */
    unsigned                 maintaining:1;
} ngx_http_hype_store_t;


/* For a worker when it starts; no connection is opened yet. */

ngx_http_hype_store_t *ngx_http_hype_store_create(ngx_cycle_t *cycle,
    ngx_http_hype_db_conf_t *db, ngx_http_hype_spool_conf_t *spool,
    ngx_http_hype_cache_t *cache);

/* For one that ends: what is not committed goes to the spool. */

void ngx_http_hype_store_close(ngx_http_hype_store_t *store);

/*
 * Takes a hit, with the identifier if its link is not known.  "spool" says that
 * the spool is enough; it has to be where the link is not known, as nobody
 * knows yet whether there will be a row.
 *
 * NGX_AGAIN: the request is parked, and resumed with wait->status.
 * NGX_OK: there is nothing to wait for, wait->status is there: NGX_OK if the hit
 *     is committed, NGX_DECLINED if it is in the spool or else kept, NGX_ERROR
 *     if it is dropped.
 */

ngx_int_t ngx_http_hype_store_hit(ngx_http_hype_store_t *store,
    ngx_str_t *identifier, ngx_http_hype_row_t *row, ngx_uint_t spool,
    ngx_http_hype_wait_t *wait);

/*
 * Takes a hit that nobody waits for, or a claim or a confirm: into the spool, or
 * else into memory.
 */

void ngx_http_hype_store_keep_hit(ngx_http_hype_store_t *store,
    ngx_str_t *identifier, ngx_http_hype_row_t *row);
void ngx_http_hype_store_event(ngx_http_hype_store_t *store,
    ngx_http_hype_record_type_e type, ngx_http_hype_event_t *event);

/* The request's time is over: its hit goes on without it. */

void ngx_http_hype_store_expire(ngx_http_hype_store_t *store,
    ngx_http_hype_wait_t *wait);


#endif /* _NGX_HTTP_HYPE_STORE_H_INCLUDED_ */
