
/*
 * The metrics of hype_status, in shared memory: counters of all workers; what
 * each worker has at the moment, in a slot that no other worker writes to; and
 * the identifiers of recent visits.
 *
 * They are at the end of the zone, behind what links are allocated from, and
 * need no lock.
 */


#ifndef _NGX_HTTP_HYPE_METRICS_H_INCLUDED_
#define _NGX_HTTP_HYPE_METRICS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_http_hype_hash.h"
#include "ngx_http_hype_identifier.h"


/* buckets of the histograms, and one for what is above them */
#define NGX_HTTP_HYPE_SIZES    10
#define NGX_HTTP_HYPE_COMMITS  14


typedef enum {
    NGX_HTTP_HYPE_HITS = 0,         /* outcomes, in requests */
    NGX_HTTP_HYPE_SKIPPED,
    NGX_HTTP_HYPE_UNKNOWN,
    NGX_HTTP_HYPE_DISABLED,
    NGX_HTTP_HYPE_EXPIRED,
    NGX_HTTP_HYPE_SPOOLED,
    NGX_HTTP_HYPE_DROPPED,

    NGX_HTTP_HYPE_CACHE_HITS,       /* look-ups answered here */
    NGX_HTTP_HYPE_CACHE_MISSES,
    NGX_HTTP_HYPE_CACHE_STALE,      /* answered so as the database is away */
    NGX_HTTP_HYPE_EVICTIONS,        /* links that made room, */
    NGX_HTTP_HYPE_UNKNOWN_EVICTIONS,  /* identifiers without one */

    NGX_HTTP_HYPE_CLAIMS,
    NGX_HTTP_HYPE_CONFIRMS,

    NGX_HTTP_HYPE_ROWS,             /* records that are committed */
    NGX_HTTP_HYPE_COMMIT_TIME,      /* of batches, in microseconds */
    NGX_HTTP_HYPE_REJECTED,         /* records set aside */
    NGX_HTTP_HYPE_DB_ERRORS,

    NGX_HTTP_HYPE_DERIVE_CALLS,     /* of hype.derive(), */
    NGX_HTTP_HYPE_DERIVE_ERRORS,    /* and those that failed */

    NGX_HTTP_HYPE_SPOOL_RECORDS,    /* appended to spool files, */
    NGX_HTTP_HYPE_SPOOL_REPLAYED,   /* read back, and out of it */
    /* gauges, one for each stream: bytes in spool files, and their number */
    NGX_HTTP_HYPE_SPOOL_BYTES,
    NGX_HTTP_HYPE_SPOOL_BYTES_CLAIMS,
    NGX_HTTP_HYPE_SPOOL_BYTES_CONFIRMS,
    NGX_HTTP_HYPE_SPOOL_FILES,
    NGX_HTTP_HYPE_SPOOL_FILES_CLAIMS,
    NGX_HTTP_HYPE_SPOOL_FILES_CONFIRMS,

    NGX_HTTP_HYPE_COUNTERS
} ngx_http_hype_counter_e;


typedef enum {
    NGX_HTTP_HYPE_CONNECTIONS_IDLE = 0,
    NGX_HTTP_HYPE_CONNECTIONS_BUSY,
    NGX_HTTP_HYPE_CONNECTIONS_CONNECTING,
    NGX_HTTP_HYPE_CONNECTIONS_PAUSED,
    NGX_HTTP_HYPE_CONNECTIONS_CLOSED,

    NGX_HTTP_HYPE_CONNECTIONS
} ngx_http_hype_connections_e;


typedef struct {
    ngx_atomic_t                 pid;         /* 0: nobody */
    ngx_atomic_t                 records;     /* in the queue, */
    ngx_atomic_t                 bytes;       /* and their size */
    ngx_atomic_t                 waiting;     /* requests */
    ngx_atomic_t                 spool;       /* bytes to be read back */
    ngx_atomic_t                 down;        /* hits can't be written now */
    ngx_atomic_int_t             skew;        /* of PostgreSQL's clock, ms */
    ngx_atomic_t                 connections[NGX_HTTP_HYPE_CONNECTIONS];
} ngx_http_hype_worker_t;


typedef union {
    ngx_http_hype_worker_t       worker;
    u_char                       lines[128];  /* of no other's cache */
} ngx_http_hype_worker_slot_t;


/* visits by an identifier in the last minutes */

typedef struct {
    uint32_t                     hash;
    uint32_t                     period;
    ngx_atomic_t                 hits;        /* in this period, */
    ngx_atomic_t                 before;      /* and the one before */
    size_t                       len;
    u_char                       data[NGX_HTTP_HYPE_IDENTIFIER_MAX];
} ngx_http_hype_recent_t;


/* the identifiers of the most visits, in sets by their hash */

typedef struct {
    ngx_uint_t                   mask;        /* sets, less one */
    ngx_http_hype_recent_t      *recent;
} ngx_http_hype_recents_t;


typedef struct {
    /*
     * Set while the cache's lists are being changed: a worker that finds it set
     * has the mutex of one that was killed in the middle of it, be it while
     * that emptied the cache for the same reason.
     */
    ngx_uint_t                   changing;

    ngx_atomic_t                 counters[NGX_HTTP_HYPE_COUNTERS];

    /* batches, by records and by microseconds */
    ngx_atomic_t                 sizes[NGX_HTTP_HYPE_SIZES + 1];
    ngx_atomic_t                 commits[NGX_HTTP_HYPE_COMMITS + 1];

    uint64_t                     started;     /* ms since 1970 */

    /* in ngx_current_msec: when nothing was left to derive; 0: not yet */
    ngx_atomic_t                 derived;

    ngx_uint_t                   nworkers;
    ngx_http_hype_worker_slot_t *workers;
    ngx_http_hype_recents_t      links;
    ngx_http_hype_recents_t      unknown;     /* which no link has */
    u_char                       key[NGX_HTTP_HYPE_HASH_KEY];
} ngx_http_hype_metrics_t;


extern const ngx_uint_t  ngx_http_hype_sizes[NGX_HTTP_HYPE_SIZES];
extern const ngx_uint_t  ngx_http_hype_commits[NGX_HTTP_HYPE_COMMITS];


/*
 * Takes what is needed from the end of a new zone's pool, before anything is
 * allocated from that.  Returns it, zeroed but for a new key and the time.
 */

ngx_http_hype_metrics_t *ngx_http_hype_metrics_create(ngx_slab_pool_t *pool);

/* Where they are in a zone that was there before. */

#define ngx_http_hype_metrics_of(pool)                                        \
    ((ngx_http_hype_metrics_t *) (pool)->end)

/*
 * This worker's slot, emptied; one of its own that nobody sees if there are
 * too many workers, or NULL without memory for it.
 */

ngx_http_hype_worker_t *ngx_http_hype_metrics_join(
    ngx_http_hype_metrics_t *metrics, ngx_pool_t *pool);

/* The next worker that lives, from *n on, or NULL. */

ngx_http_hype_worker_t *ngx_http_hype_metrics_next(
    ngx_http_hype_metrics_t *metrics, ngx_uint_t *n);

/* A batch of so many records was committed, in so many microseconds. */

void ngx_http_hype_metrics_batch(ngx_http_hype_metrics_t *metrics,
    ngx_uint_t records, ngx_uint_t time);

/*
 * Counts a visit by a valid identifier, in "links" or "unknown" of the metrics.
 */

void ngx_http_hype_metrics_visit(ngx_http_hype_metrics_t *metrics,
    ngx_http_hype_recents_t *recents, ngx_str_t *identifier);

/*
 * Copies the identifiers with the most visits of about the last ten minutes,
 * "n" at most, the one with the most first.  Sets "hits", "len" and "data" of
 * each, and returns their number.
 */

ngx_uint_t ngx_http_hype_metrics_recent(ngx_http_hype_recents_t *recents,
    ngx_http_hype_recent_t *recent, ngx_uint_t n);


/* "of" has "counters" */

#define ngx_http_hype_count(of, counter, n)                                   \
    (void) ngx_atomic_fetch_add(&(of)->counters[counter], n)


#endif /* _NGX_HTTP_HYPE_METRICS_H_INCLUDED_ */
