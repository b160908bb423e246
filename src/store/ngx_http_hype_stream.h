
/*
 * A stream: a worker's hits, claims or confirms on their way to PostgreSQL.
 * Each has queues, a spool and faults of its own, so that none waits for what
 * another one is refused.
 */


#ifndef _NGX_HTTP_HYPE_STREAM_H_INCLUDED_
#define _NGX_HTTP_HYPE_STREAM_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include "ngx_http_hype_cache.h"
#include "ngx_http_hype_db.h"
#include "ngx_http_hype_event.h"
#include "ngx_http_hype_park.h"
#include "ngx_http_hype_queue.h"
#include "ngx_http_hype_record.h"
#include "ngx_http_hype_spool.h"


#define NGX_HTTP_HYPE_STREAM_HITS      0
#define NGX_HTTP_HYPE_STREAM_CLAIMS    1
#define NGX_HTTP_HYPE_STREAM_CONFIRMS  2
#define NGX_HTTP_HYPE_STREAMS          NGX_HTTP_HYPE_SPOOL_STREAMS


struct ngx_http_hype_stream_s {
    ngx_http_hype_ident_t          ident;
    ngx_uint_t                     n;         /* which one it is */
    ngx_http_hype_db_t            *db;
    ngx_http_hype_cache_t         *cache;
    ngx_http_hype_park_t          *park;

    ngx_http_hype_queue_faults_t   faults;
    ngx_http_hype_queue_t          queue;
    ngx_http_hype_queue_t          drain;     /* what is read from the spool */
    ngx_http_hype_spool_t          spool;

    ngx_event_t                    wake;      /* there is something to send */
    ngx_event_t                    report;    /* logs since the last time: */
    ngx_uint_t                     rejected;
    ngx_uint_t                     dropped;
    ngx_uint_t                     kept;      /* of those dropped */

    unsigned                       drained:1; /* the last batch was "drain"'s */
};


/*
 * All streams of a worker, in zeroed memory: one array, as a file of one stream
 * may have records of another.  NGX_ERROR if memory ran out.
 */

ngx_int_t ngx_http_hype_streams_init(ngx_http_hype_stream_t *streams,
    ngx_http_hype_db_t *db, ngx_http_hype_cache_t *cache,
    ngx_http_hype_park_t *park, ngx_http_hype_spool_conf_t *spool,
    ngx_cycle_t *cycle);

/* For a worker that ends: what is not committed goes to the spool. */

void ngx_http_hype_streams_close(ngx_http_hype_stream_t *streams);

/* Whether a record of that size may wait in memory.  Returns 1 or 0. */

ngx_uint_t ngx_http_hype_stream_room(ngx_http_hype_stream_t *stream,
    size_t size);

/* Has a stream send what it has, at the end of this turn of the event loop. */

void ngx_http_hype_stream_wake(void *stream);

/*
 * Keeps a record, whose item is the stream's from then on: in the spool, or in
 * memory if the spool does not take it.  NGX_ERROR: there is no room in
 * memory, either, and it is dropped.
 */

ngx_int_t ngx_http_hype_stream_keep(ngx_http_hype_stream_t *stream,
    ngx_http_hype_item_t *item);

/*
 * For the queues: sets a record aside, whose item stays the caller's.  The
 * reason is one line, as PostgreSQL says it.
 */

void ngx_http_hype_stream_reject(ngx_http_hype_stream_t *stream,
    ngx_http_hype_item_t *item, const char *reason);

/* For the queues: all records are refused now, or, with 0, not any more. */

void ngx_http_hype_stream_refused(ngx_http_hype_stream_t *stream,
    ngx_uint_t refused);

/*
 * The request of an item in "queue" waits no longer: moves the item to the
 * spool.  It stays in memory if the spool does not take it.
 */

void ngx_http_hype_stream_expire(ngx_http_hype_stream_t *stream,
    ngx_http_hype_item_t *item);

/*
 * Send a batch: "write" from memory, "drain" from the spool, "work" from
 * whichever of both has its turn.  It should take "target" microseconds at
 * most, so that others do not wait longer; 0: any time.  Return 1, or 0 if
 * there is nothing to send.
 */

ngx_uint_t ngx_http_hype_stream_write(ngx_http_hype_stream_t *stream,
    ngx_http_hype_db_conn_t *conn, ngx_uint_t target);
ngx_uint_t ngx_http_hype_stream_drain(ngx_http_hype_stream_t *stream,
    ngx_http_hype_db_conn_t *conn, ngx_uint_t target);
ngx_uint_t ngx_http_hype_stream_work(ngx_http_hype_stream_t *stream,
    ngx_http_hype_db_conn_t *conn, ngx_uint_t target);


#endif /* _NGX_HTTP_HYPE_STREAM_H_INCLUDED_ */
