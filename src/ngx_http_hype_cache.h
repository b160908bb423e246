
/*
 * The shared memory zone: links by their identifier, for all workers, and
 * the counters.
 *
 * Known and unknown identifiers are apart: the unknown ones have a bounded
 * part of the zone and make room first, so that a scanner can't push links
 * out.  Each kind is evicted by least recent use.
 */


#ifndef _NGX_HTTP_HYPE_CACHE_H_INCLUDED_
#define _NGX_HTTP_HYPE_CACHE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


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

    NGX_HTTP_HYPE_CLAIMS,
    NGX_HTTP_HYPE_CONFIRMS,

    NGX_HTTP_HYPE_BATCHES,          /* transactions committed */
    NGX_HTTP_HYPE_ROWS,             /* records in them */
    NGX_HTTP_HYPE_REJECTED,         /* records set aside */
    NGX_HTTP_HYPE_DB_ERRORS,

    NGX_HTTP_HYPE_SPOOL_RECORDS,    /* appended to spool files */
    NGX_HTTP_HYPE_SPOOL_BYTES,      /* a gauge: in spool files now */

    NGX_HTTP_HYPE_COUNTERS
} ngx_http_hype_counter_e;


/* a link as requests need it */

typedef struct {
    int64_t                     id;
    int64_t                     expires;      /* ms since 1970, 0: never */
    ngx_str_t                   user_id;
    ngx_str_t                   destination;
    unsigned                    known:1;
    unsigned                    disabled:1;
} ngx_http_hype_link_t;


typedef struct ngx_http_hype_cache_sh_s  ngx_http_hype_cache_sh_t;


typedef struct {
    ngx_http_hype_cache_sh_t   *sh;
    ngx_slab_pool_t            *shpool;
    ngx_atomic_t               *counters;     /* NGX_HTTP_HYPE_COUNTERS */
    ngx_msec_t                  valid;
    ngx_msec_t                  unknown;
    ngx_log_t                  *log;
} ngx_http_hype_cache_t;


/* The zone's init handler; zone->data is an ngx_http_hype_cache_t. */

ngx_int_t ngx_http_hype_cache_init_zone(ngx_shm_zone_t *zone, void *data);

/*
 * Looks an identifier up.  What is found, a link or that there is none, is
 * copied to "link", its strings into "pool".
 *
 * NGX_OK: found, still valid, and loaded at or after "since" (in
 *     ngx_current_msec; 0 for any time).
 * NGX_AGAIN: found, but it has to be looked up in the database again; it may
 *     serve while that can't be done.
 * NGX_DECLINED: not found.
 * NGX_ERROR: no memory.
 */

ngx_int_t ngx_http_hype_cache_get(ngx_http_hype_cache_t *cache,
    ngx_str_t *identifier, ngx_msec_t since, ngx_pool_t *pool,
    ngx_http_hype_link_t *link);

/*
 * Stores a link, or that there is none; "loaded" is when the database was
 * asked, in ngx_current_msec.  Without room for it, it is left out.
 */

void ngx_http_hype_cache_put(ngx_http_hype_cache_t *cache,
    ngx_str_t *identifier, ngx_http_hype_link_t *link, ngx_msec_t loaded);

/*
 * Whether this worker is to ask the database for an identifier: 0 while
 * another one does, for "timeout" milliseconds at most.  Who has asked says
 * so when it has put the answer, or has none.
 */

ngx_uint_t ngx_http_hype_cache_ask(ngx_http_hype_cache_t *cache,
    ngx_str_t *identifier, ngx_msec_t timeout);
void ngx_http_hype_cache_asked(ngx_http_hype_cache_t *cache,
    ngx_str_t *identifier);

/* Forgets an identifier. */

void ngx_http_hype_cache_delete(ngx_http_hype_cache_t *cache,
    ngx_str_t *identifier);


#define ngx_http_hype_count(cache, counter, n)                                \
    (void) ngx_atomic_fetch_add(&(cache)->counters[counter], n)


#endif /* _NGX_HTTP_HYPE_CACHE_H_INCLUDED_ */
