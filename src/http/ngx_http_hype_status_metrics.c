
#include "ngx_http_hype_status.h"


static void ngx_http_hype_status_add_up(ngx_uint_t *sums,
    ngx_atomic_t *counts, ngx_uint_t n);
static void ngx_http_hype_status_recent(ngx_http_hype_cache_t *cache,
    ngx_http_hype_recents_t *recents, ngx_uint_t known,
    ngx_http_hype_status_recent_t *recent);
static ngx_int_t ngx_http_hype_status_workers(ngx_http_hype_metrics_t *shared,
    ngx_http_hype_status_metrics_t *metrics, ngx_pool_t *pool);


ngx_http_hype_status_metrics_t *
ngx_http_hype_status_metrics(ngx_http_hype_main_conf_t *hmcf,
    ngx_pool_t *pool)
{
    int64_t                         *v;
    ngx_uint_t                       i;
    ngx_http_hype_metrics_t         *shared;
    ngx_http_hype_cache_stat_t       stat;
    ngx_http_hype_status_metrics_t  *metrics;

    metrics = ngx_pcalloc(pool, sizeof(ngx_http_hype_status_metrics_t));
    if (metrics == NULL) {
        return NULL;
    }

    shared = hmcf->cache->metrics;
    v = metrics->values;

    for (i = 0; i < NGX_HTTP_HYPE_COUNTERS; i++) {

        /* a gauge may be negative while several workers change it */

        v[i] = ngx_max((ngx_atomic_int_t) shared->counters[i], 0);
    }

    v[NGX_HTTP_HYPE_SPOOL_BYTES] += v[NGX_HTTP_HYPE_SPOOL_BYTES_CLAIMS]
                                    + v[NGX_HTTP_HYPE_SPOOL_BYTES_CONFIRMS];
    v[NGX_HTTP_HYPE_SPOOL_FILES] += v[NGX_HTTP_HYPE_SPOOL_FILES_CLAIMS]
                                    + v[NGX_HTTP_HYPE_SPOOL_FILES_CONFIRMS];

    ngx_http_hype_status_add_up(metrics->sizes, shared->sizes,
                                NGX_HTTP_HYPE_SIZES + 1);
    ngx_http_hype_status_add_up(metrics->commits, shared->commits,
                                NGX_HTTP_HYPE_COMMITS + 1);

    ngx_http_hype_cache_stat(hmcf->cache, &stat);

    v[NGX_HTTP_HYPE_GAUGE_LINKS] = stat.links;
    v[NGX_HTTP_HYPE_GAUGE_UNKNOWNS] = stat.unknowns;
    v[NGX_HTTP_HYPE_GAUGE_CACHE_SIZE] = hmcf->zone->shm.size;
    v[NGX_HTTP_HYPE_GAUGE_CACHE_FREE] = stat.free;
    v[NGX_HTTP_HYPE_GAUGE_DERIVE_AGE] = ngx_http_hype_derive_age(shared);
    v[NGX_HTTP_HYPE_GAUGE_STARTED] = shared->started;

    metrics->spool = (hmcf->spool.path != NULL);

    if (metrics->spool) {
        v[NGX_HTTP_HYPE_GAUGE_SPOOL_MAX] = hmcf->spool.max_size;
    }

    ngx_http_hype_status_recent(hmcf->cache, &shared->links, 1,
                                &metrics->links);
    ngx_http_hype_status_recent(hmcf->cache, &shared->unknown, 0,
                                &metrics->unknown);

    if (ngx_http_hype_status_workers(shared, metrics, pool) != NGX_OK) {
        return NULL;
    }

    return metrics;
}


static void
ngx_http_hype_status_add_up(ngx_uint_t *sums, ngx_atomic_t *counts,
    ngx_uint_t n)
{
    ngx_uint_t  i, sum;

    sum = 0;

    for (i = 0; i < n; i++) {
        sum += counts[i];
        sums[i] = sum;
    }
}


/* a link may be gone by now, and an unknown identifier may have one */

static void
ngx_http_hype_status_recent(ngx_http_hype_cache_t *cache,
    ngx_http_hype_recents_t *recents, ngx_uint_t known,
    ngx_http_hype_status_recent_t *recent)
{
    ngx_str_t                identifier;
    ngx_uint_t               i, n;
    ngx_http_hype_recent_t  *list;

    list = recent->list;

    n = ngx_http_hype_metrics_recent(recents, list,
                                     NGX_HTTP_HYPE_STATUS_RECENT);

    for (i = 0; i < n; i++) {
        identifier.len = list[i].len;
        identifier.data = list[i].data;

        if (ngx_http_hype_cache_has_link(cache, &identifier) == known) {
            list[recent->n++] = list[i];
        }
    }
}


static ngx_int_t
ngx_http_hype_status_workers(ngx_http_hype_metrics_t *shared,
    ngx_http_hype_status_metrics_t *metrics, ngx_pool_t *pool)
{
    int64_t                 *v;
    ngx_uint_t               i, n;
    ngx_http_hype_worker_t  *worker, *w;

    if (ngx_array_init(&metrics->workers, pool, 8,
                       sizeof(ngx_http_hype_worker_t))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    v = metrics->values;
    v[NGX_HTTP_HYPE_GAUGE_UP] = 1;

    n = 0;

    while ((worker = ngx_http_hype_metrics_next(shared, &n)) != NULL) {

        w = ngx_array_push(&metrics->workers);
        if (w == NULL) {
            return NGX_ERROR;
        }

        *w = *worker;

        v[NGX_HTTP_HYPE_GAUGE_RECORDS] += w->records;
        v[NGX_HTTP_HYPE_GAUGE_BYTES] += w->bytes;
        v[NGX_HTTP_HYPE_GAUGE_WAITING] += w->waiting;
        v[NGX_HTTP_HYPE_GAUGE_UP] &= !w->down;

        /* workers may be connected to different hosts */

        if (ngx_abs(w->skew) > ngx_abs(v[NGX_HTTP_HYPE_GAUGE_SKEW])) {
            v[NGX_HTTP_HYPE_GAUGE_SKEW] = w->skew;
        }

        for (i = 0; i < NGX_HTTP_HYPE_CONNECTIONS; i++) {
            v[NGX_HTTP_HYPE_GAUGE_CONNECTIONS + i] += w->connections[i];
        }
    }

    return NGX_OK;
}
