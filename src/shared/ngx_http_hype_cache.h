
/*
 * The shared memory zone: links by their identifier, for all workers, and
 * behind them the metrics of hype_status.
 *
 * Known and unknown identifiers are apart: the unknown ones have a bounded
 * part of the zone and make room first, so that a scanner can't push links
 * out.  Each kind is evicted by least recent use.
 */


#ifndef _NGX_HTTP_HYPE_CACHE_H_INCLUDED_
#define _NGX_HTTP_HYPE_CACHE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_http_hype_metrics.h"


/* a link as requests need it */

typedef struct {
    int64_t                     id;
    int64_t                     expires;      /* ms since 1970, 0: never */
    ngx_str_t                   user_id;
    ngx_str_t                   destination;
    unsigned                    known:1;
    unsigned                    disabled:1;
} ngx_http_hype_link_t;


typedef struct {
    ngx_uint_t                  links;
    ngx_uint_t                  unknowns;
    size_t                      free;         /* bytes */
} ngx_http_hype_cache_stat_t;


typedef struct ngx_http_hype_cache_sh_s  ngx_http_hype_cache_sh_t;


typedef struct {
    ngx_http_hype_cache_sh_t   *sh;
    ngx_slab_pool_t            *shpool;
    ngx_http_hype_metrics_t    *metrics;
    ngx_atomic_t               *counters;     /* those of "metrics" */
    ngx_msec_t                  valid;
    ngx_msec_t                  unknown;
} ngx_http_hype_cache_t;


/*
 * The zone's init handler; zone->data is an ngx_http_hype_cache_t.  NGX_ERROR
 * if the zone is too small.
 */

ngx_int_t ngx_http_hype_cache_init_zone(ngx_shm_zone_t *zone, void *data);

/*
 * Looks an identifier up.  Copies a link, or that there is none, to "link", and
 * its strings to "pool".
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
 * Stores a copy of a link, or that there is none.  "loaded" is the time of the
 * query, in ngx_current_msec.  If there is no room, nothing is stored.
 */

void ngx_http_hype_cache_put(ngx_http_hype_cache_t *cache,
    ngx_str_t *identifier, ngx_http_hype_link_t *link, ngx_msec_t loaded);

/*
 * Begins to look an identifier up in the database.  Returns 0 while another
 * worker does, but for "timeout" milliseconds at most; else 1, and then the
 * look-up has to be ended, once its result is in the cache or there is none.
 */

ngx_uint_t ngx_http_hype_cache_begin_lookup(ngx_http_hype_cache_t *cache,
    ngx_str_t *identifier, ngx_msec_t timeout);
void ngx_http_hype_cache_end_lookup(ngx_http_hype_cache_t *cache,
    ngx_str_t *identifier);

/* Deletes an identifier. */

void ngx_http_hype_cache_delete(ngx_http_hype_cache_t *cache,
    ngx_str_t *identifier);

/* Tells how full the cache is. */

void ngx_http_hype_cache_stat(ngx_http_hype_cache_t *cache,
    ngx_http_hype_cache_stat_t *stat);

/* Whether the cache has a link of that identifier.  Returns 1 or 0. */

ngx_uint_t ngx_http_hype_cache_has_link(ngx_http_hype_cache_t *cache,
    ngx_str_t *identifier);


#endif /* _NGX_HTTP_HYPE_CACHE_H_INCLUDED_ */
