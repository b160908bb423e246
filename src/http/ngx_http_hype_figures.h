
/*
 * The figures of hype_status, of all workers at one moment, and how they are
 * written: as JSON, and as the text that Prometheus reads.
 */


#ifndef _NGX_HTTP_HYPE_FIGURES_H_INCLUDED_
#define _NGX_HTTP_HYPE_FIGURES_H_INCLUDED_


#include "ngx_http_hype.h"


/* links in the list of those of recent hits */
#define NGX_HTTP_HYPE_FIGURES_LINKS  20


/* what is neither a counter of all workers nor a histogram */

typedef enum {
    NGX_HTTP_HYPE_GAUGE_LINKS = NGX_HTTP_HYPE_COUNTERS,
    NGX_HTTP_HYPE_GAUGE_UNKNOWNS,
    NGX_HTTP_HYPE_GAUGE_CACHE_SIZE,
    NGX_HTTP_HYPE_GAUGE_CACHE_FREE,
    NGX_HTTP_HYPE_GAUGE_RECORDS,
    NGX_HTTP_HYPE_GAUGE_BYTES,
    NGX_HTTP_HYPE_GAUGE_WAITING,
    NGX_HTTP_HYPE_GAUGE_SPOOL_MAX,
    NGX_HTTP_HYPE_GAUGE_DERIVE_AGE,
    NGX_HTTP_HYPE_GAUGE_UP,
    NGX_HTTP_HYPE_GAUGE_SKEW,       /* ms */
    NGX_HTTP_HYPE_GAUGE_CONNECTIONS,

    NGX_HTTP_HYPE_FIGURES = NGX_HTTP_HYPE_GAUGE_CONNECTIONS
                            + NGX_HTTP_HYPE_CONNECTIONS
} ngx_http_hype_gauge_e;


typedef struct {
    int64_t                      values[NGX_HTTP_HYPE_FIGURES];

    /* batches, of so many records or microseconds at most; then all */
    ngx_uint_t                   sizes[NGX_HTTP_HYPE_SIZES + 1];
    ngx_uint_t                   commits[NGX_HTTP_HYPE_COMMITS + 1];

    uint64_t                     started;       /* ms since 1970 */
    ngx_uint_t                   spool;         /* unsigned spool:1 */
    ngx_array_t                  workers;       /* ngx_http_hype_worker_t */

    ngx_uint_t                   nlinks;
    ngx_http_hype_recent_t       links[NGX_HTTP_HYPE_FIGURES_LINKS];
    ngx_http_hype_name_t         names[NGX_HTTP_HYPE_FIGURES_LINKS];

    /* identifiers that no link has */
    ngx_uint_t                   nunknown;
    ngx_http_hype_recent_t       unknown[NGX_HTTP_HYPE_FIGURES_LINKS];
    ngx_http_hype_name_t         unknown_names[NGX_HTTP_HYPE_FIGURES_LINKS];
} ngx_http_hype_figures_t;


/* Collects them; NULL if memory ran out. */

ngx_http_hype_figures_t *ngx_http_hype_figures_get(
    ngx_http_hype_main_conf_t *hmcf, ngx_pool_t *pool);

/* Writes them; NGX_ERROR if memory ran out. */

ngx_int_t ngx_http_hype_figures_json(ngx_http_hype_figures_t *figures,
    ngx_pool_t *pool, ngx_str_t *text);
ngx_int_t ngx_http_hype_figures_prometheus(ngx_http_hype_figures_t *figures,
    ngx_pool_t *pool, ngx_str_t *text);


#endif /* _NGX_HTTP_HYPE_FIGURES_H_INCLUDED_ */
