
#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_http_hype_metrics.h"


#define NGX_HTTP_HYPE_METRICS_WORKERS  256

/* identifiers of recent visits are in so many sets of so many */
#define NGX_HTTP_HYPE_METRICS_SETS     256
#define NGX_HTTP_HYPE_METRICS_WAYS     4

/* one set for unknown identifiers per so many sets for links */
#define NGX_HTTP_HYPE_METRICS_UNKNOWN  4

/* seconds */
#define NGX_HTTP_HYPE_METRICS_PERIOD   600


static ngx_atomic_uint_t ngx_http_hype_metrics_age(
    ngx_http_hype_recent_t *recent, time_t now);


const ngx_uint_t  ngx_http_hype_sizes[NGX_HTTP_HYPE_SIZES] = {
    1, 2, 5, 10, 20, 50, 100, 200, 500, 1000
};

const ngx_uint_t  ngx_http_hype_commits[NGX_HTTP_HYPE_COMMITS] = {
    500, 1000, 2500, 5000, 10000, 25000, 50000, 100000, 250000, 500000,
    1000000, 2500000, 5000000, 10000000
};


ngx_http_hype_metrics_t *
ngx_http_hype_metrics_create(ngx_slab_pool_t *pool)
{
    size_t                    size, workers, links, unknown;
    ngx_uint_t                nworkers, sets, unknowns;
    ngx_time_t               *tp;
    ngx_http_hype_metrics_t  *metrics;

    /* they take a small part of a small zone */

    size = pool->end - (u_char *) pool;

    nworkers = ngx_max(16, ngx_min(size / 4096,
                                   NGX_HTTP_HYPE_METRICS_WORKERS));

    for (sets = 4;
         sets < NGX_HTTP_HYPE_METRICS_SETS && sets * 8192 < size;
         sets *= 2)
    { /* void */ }

    unknowns = sets / NGX_HTTP_HYPE_METRICS_UNKNOWN;

    workers = ngx_align(sizeof(ngx_http_hype_metrics_t),
                        sizeof(ngx_http_hype_worker_slot_t));
    links = workers + nworkers * sizeof(ngx_http_hype_worker_slot_t);
    unknown = links + sets * NGX_HTTP_HYPE_METRICS_WAYS
                      * sizeof(ngx_http_hype_recent_t);
    size = unknown + unknowns * NGX_HTTP_HYPE_METRICS_WAYS
                     * sizeof(ngx_http_hype_recent_t);

    /* the end of a zone need not be aligned */

    pool->end -= ngx_align(size, ngx_pagesize);
    pool->end -= (uintptr_t) pool->end % ngx_pagesize;

    ngx_slab_init(pool);

    metrics = ngx_http_hype_metrics_of(pool);

    ngx_memzero(metrics, size);

    tp = ngx_timeofday();

    metrics->started = (uint64_t) tp->sec * 1000 + tp->msec;
    metrics->nworkers = nworkers;
    ngx_http_hype_hash_key(metrics->key);
    metrics->workers = (ngx_http_hype_worker_slot_t *) (pool->end + workers);
    metrics->links.mask = sets - 1;
    metrics->links.recent = (ngx_http_hype_recent_t *) (pool->end + links);
    metrics->unknown.mask = unknowns - 1;
    metrics->unknown.recent = (ngx_http_hype_recent_t *)
                              (pool->end + unknown);

    return metrics;
}


/* one process at a time has a slot of the master's table */

ngx_http_hype_worker_t *
ngx_http_hype_metrics_join(ngx_http_hype_metrics_t *metrics, ngx_pool_t *pool)
{
    ngx_http_hype_worker_t  *worker;

    if ((ngx_uint_t) ngx_process_slot >= metrics->nworkers) {
        return ngx_pcalloc(pool, sizeof(ngx_http_hype_worker_t));
    }

    worker = &metrics->workers[ngx_process_slot].worker;

    worker->pid = 0;
    ngx_memory_barrier();

    ngx_memzero(worker, sizeof(ngx_http_hype_worker_t));

    ngx_memory_barrier();
    worker->pid = ngx_pid;

    return worker;
}


ngx_http_hype_worker_t *
ngx_http_hype_metrics_next(ngx_http_hype_metrics_t *metrics, ngx_uint_t *n)
{
    ngx_pid_t                pid;
    ngx_http_hype_worker_t  *worker;

    while (*n < metrics->nworkers) {
        worker = &metrics->workers[(*n)++].worker;
        pid = worker->pid;

        /* a worker that was killed has left its metrics */

        if (pid && (kill(pid, 0) == 0 || ngx_errno != NGX_ESRCH)) {
            return worker;
        }
    }

    return NULL;
}


void
ngx_http_hype_metrics_batch(ngx_http_hype_metrics_t *metrics,
    ngx_uint_t records, ngx_uint_t time)
{
    ngx_uint_t  size, commit;

    for (size = 0; size < NGX_HTTP_HYPE_SIZES; size++) {
        if (records <= ngx_http_hype_sizes[size]) {
            break;
        }
    }

    for (commit = 0; commit < NGX_HTTP_HYPE_COMMITS; commit++) {
        if (time <= ngx_http_hype_commits[commit]) {
            break;
        }
    }

    (void) ngx_atomic_fetch_add(&metrics->sizes[size], 1);
    (void) ngx_atomic_fetch_add(&metrics->commits[commit], 1);

    ngx_http_hype_count(metrics, NGX_HTTP_HYPE_ROWS, records);
    ngx_http_hype_count(metrics, NGX_HTTP_HYPE_COMMIT_TIME, time);
}


/*
 * The identifier with the fewest visits of a set makes room, so many that come
 * once do not push out one that comes again and again.  Two workers that change
 * a set at the same time may lose a visit or two.
 */

void
ngx_http_hype_metrics_visit(ngx_http_hype_metrics_t *metrics,
    ngx_http_hype_recents_t *recents, ngx_str_t *identifier)
{
    time_t                   now;
    uint32_t                 hash;
    ngx_uint_t               i;
    ngx_atomic_uint_t        hits, least;
    ngx_http_hype_recent_t  *set, *recent;

    now = ngx_time();
    hash = ngx_http_hype_hash(metrics->key, identifier);

    set = &recents->recent[(hash & recents->mask)
                           * NGX_HTTP_HYPE_METRICS_WAYS];

    for (i = 0; i < NGX_HTTP_HYPE_METRICS_WAYS; i++) {
        if (set[i].hash == hash && set[i].period) {
            (void) ngx_http_hype_metrics_age(&set[i], now);
            (void) ngx_atomic_fetch_add(&set[i].hits, 1);
            return;
        }
    }

    recent = set;
    least = ngx_http_hype_metrics_age(set, now);

    for (i = 1; i < NGX_HTTP_HYPE_METRICS_WAYS; i++) {
        hits = ngx_http_hype_metrics_age(&set[i], now);

        if (hits < least) {
            recent = &set[i];
            least = hits;
        }
    }

    recent->hash = hash;
    recent->before = 0;
    recent->hits = 1;

    recent->len = ngx_min(identifier->len, NGX_HTTP_HYPE_IDENTIFIER_MAX);
    ngx_memcpy(recent->data, identifier->data, recent->len);
}


/* hits of about one period: a part of the one before is added */

static ngx_atomic_uint_t
ngx_http_hype_metrics_age(ngx_http_hype_recent_t *recent, time_t now)
{
    uint32_t  period, left;

    period = now / NGX_HTTP_HYPE_METRICS_PERIOD;
    left = NGX_HTTP_HYPE_METRICS_PERIOD - now % NGX_HTTP_HYPE_METRICS_PERIOD;

    if (recent->period != period) {
        recent->before = (recent->period == period - 1) ? recent->hits : 0;
        recent->hits = 0;
        recent->period = period;
    }

    return recent->hits
           + recent->before * left / NGX_HTTP_HYPE_METRICS_PERIOD;
}


ngx_uint_t
ngx_http_hype_metrics_recent(ngx_http_hype_recents_t *recents,
    ngx_http_hype_recent_t *recent, ngx_uint_t n)
{
    time_t                   now;
    ngx_uint_t               i, j, found, total;
    ngx_atomic_uint_t        hits;
    ngx_http_hype_recent_t  *r;

    now = ngx_time();
    total = (recents->mask + 1) * NGX_HTTP_HYPE_METRICS_WAYS;
    found = 0;

    for (i = 0; i < total; i++) {
        r = &recents->recent[i];
        hits = ngx_http_hype_metrics_age(r, now);

        if (hits == 0 || (found == n && hits <= recent[n - 1].hits)) {
            continue;
        }

        if (found < n) {
            found++;
        }

        for (j = found - 1; j && recent[j - 1].hits < hits; j--) {
            recent[j] = recent[j - 1];
        }

        recent[j] = *r;
        recent[j].hits = hits;
    }

    return found;
}
