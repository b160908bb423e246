
#include "ngx_http_hype_figures.h"


/* bytes of text: what is always there, and of each link and worker */
#define NGX_HTTP_HYPE_FIGURES_TEXT    16384
#define NGX_HTTP_HYPE_FIGURES_LINK    512
#define NGX_HTTP_HYPE_FIGURES_WORKER  512


typedef struct {
    const char  *name;
    const char  *type;       /* NULL: as the one before */
    const char  *help;
    const char  *labels;
    ngx_uint_t   figure;
} ngx_http_hype_metric_t;


typedef struct {
    const char        *name;
    const char        *metric;
    const char        *help;
    const ngx_uint_t  *bounds;
    ngx_uint_t        *counts;   /* up to each bound, and of all */
    ngx_uint_t         n;
    ngx_uint_t         unit;     /* of bounds and sum, 1 to so many */
    int64_t            sum;
} ngx_http_hype_histogram_t;


static ngx_int_t ngx_http_hype_figures_workers(
    ngx_http_hype_figures_t *figures, ngx_http_hype_metrics_t *metrics,
    ngx_pool_t *pool);
static void ngx_http_hype_figures_histograms(
    ngx_http_hype_figures_t *figures, ngx_http_hype_histogram_t *h);
static void ngx_http_hype_figures_add_up(ngx_uint_t *sums,
    ngx_atomic_t *counts, ngx_uint_t n);
static u_char *ngx_http_hype_figures_alloc(ngx_http_hype_figures_t *figures,
    ngx_pool_t *pool, u_char **last);
static u_char *ngx_http_hype_json_counters(u_char *p, u_char *last,
    ngx_http_hype_figures_t *figures);
static u_char *ngx_http_hype_json_histogram(u_char *p, u_char *last,
    ngx_http_hype_histogram_t *h);
static u_char *ngx_http_hype_json_stores(u_char *p, u_char *last,
    ngx_http_hype_figures_t *figures);
static u_char *ngx_http_hype_json_workers(u_char *p, u_char *last,
    ngx_http_hype_figures_t *figures);
static u_char *ngx_http_hype_json_recent(u_char *p, u_char *last,
    const char *list, const char *number, ngx_http_hype_recent_t *recent,
    ngx_http_hype_name_t *name, ngx_uint_t n);
static u_char *ngx_http_hype_prometheus_histogram(u_char *p, u_char *last,
    ngx_http_hype_histogram_t *h);
static u_char *ngx_http_hype_figures_fraction(u_char *p, u_char *last,
    int64_t value, ngx_uint_t unit);


static const ngx_http_hype_metric_t  ngx_http_hype_metrics[] = {

    { "hype_requests_total", "counter",
      "Requests by a referral link, by what became of them; dropped ones "
      "also count claims and confirms.",
      "outcome=\"hit\"", NGX_HTTP_HYPE_HITS },
    { "hype_requests_total", NULL, NULL,
      "outcome=\"skipped\"", NGX_HTTP_HYPE_SKIPPED },
    { "hype_requests_total", NULL, NULL,
      "outcome=\"unknown\"", NGX_HTTP_HYPE_UNKNOWN },
    { "hype_requests_total", NULL, NULL,
      "outcome=\"disabled\"", NGX_HTTP_HYPE_DISABLED },
    { "hype_requests_total", NULL, NULL,
      "outcome=\"expired\"", NGX_HTTP_HYPE_EXPIRED },
    { "hype_requests_total", NULL, NULL,
      "outcome=\"spooled\"", NGX_HTTP_HYPE_SPOOLED },
    { "hype_requests_total", NULL, NULL,
      "outcome=\"dropped\"", NGX_HTTP_HYPE_DROPPED },

    { "hype_claims_total", "counter",
      "Claims of a visitor by a user.", NULL, NGX_HTTP_HYPE_CLAIMS },
    { "hype_confirms_total", "counter",
      "Confirms by hype_confirm.", NULL, NGX_HTTP_HYPE_CONFIRMS },

    { "hype_cache_lookups_total", "counter",
      "Look-ups of identifiers in the link cache.",
      "result=\"hit\"", NGX_HTTP_HYPE_CACHE_HITS },
    { "hype_cache_lookups_total", NULL, NULL,
      "result=\"miss\"", NGX_HTTP_HYPE_CACHE_MISSES },
    { "hype_cache_lookups_total", NULL, NULL,
      "result=\"stale\"", NGX_HTTP_HYPE_CACHE_STALE },
    { "hype_cache_evictions_total", "counter",
      "Identifiers that made room for others in the link cache.",
      "state=\"known\"", NGX_HTTP_HYPE_EVICTIONS },
    { "hype_cache_evictions_total", NULL, NULL,
      "state=\"unknown\"", NGX_HTTP_HYPE_UNKNOWN_EVICTIONS },
    { "hype_cache_links", "gauge",
      "Identifiers in the link cache.",
      "state=\"known\"", NGX_HTTP_HYPE_GAUGE_LINKS },
    { "hype_cache_links", NULL, NULL,
      "state=\"unknown\"", NGX_HTTP_HYPE_GAUGE_UNKNOWNS },
    { "hype_cache_size_bytes", "gauge",
      "Size of the shared memory zone.",
      NULL, NGX_HTTP_HYPE_GAUGE_CACHE_SIZE },
    { "hype_cache_free_bytes", "gauge",
      "Free memory in the zone.", NULL, NGX_HTTP_HYPE_GAUGE_CACHE_FREE },

    { "hype_queue_records", "gauge",
      "Records in the workers' memory on their way to PostgreSQL.",
      NULL, NGX_HTTP_HYPE_GAUGE_RECORDS },
    { "hype_queue_bytes", "gauge",
      "Size of these records.", NULL, NGX_HTTP_HYPE_GAUGE_BYTES },
    { "hype_waiting_requests", "gauge",
      "Requests that wait for PostgreSQL or the spool.",
      NULL, NGX_HTTP_HYPE_GAUGE_WAITING },
    { "hype_rejected_records_total", "counter",
      "Records that PostgreSQL refuses, set aside.",
      NULL, NGX_HTTP_HYPE_REJECTED },

    { "hype_spool_appended_records_total", "counter",
      "Records written to spool files.",
      NULL, NGX_HTTP_HYPE_SPOOL_RECORDS },
    { "hype_spool_replayed_records_total", "counter",
      "Records of spool files that are done.",
      NULL, NGX_HTTP_HYPE_SPOOL_REPLAYED },
    { "hype_spool_bytes", "gauge",
      "Size of all spool files.", NULL, NGX_HTTP_HYPE_SPOOL_BYTES },
    { "hype_spool_files", "gauge",
      "Number of spool files.", NULL, NGX_HTTP_HYPE_SPOOL_FILES },
    { "hype_spool_max_bytes", "gauge",
      "Size that all spool files may have, 0 without a spool.",
      NULL, NGX_HTTP_HYPE_GAUGE_SPOOL_MAX },

    { "hype_database_connections", "gauge",
      "Connections of all workers to PostgreSQL.",
      "state=\"idle\"",
      NGX_HTTP_HYPE_GAUGE_CONNECTIONS + NGX_HTTP_HYPE_CONNECTIONS_IDLE },
    { "hype_database_connections", NULL, NULL,
      "state=\"busy\"",
      NGX_HTTP_HYPE_GAUGE_CONNECTIONS + NGX_HTTP_HYPE_CONNECTIONS_BUSY },
    { "hype_database_connections", NULL, NULL,
      "state=\"connecting\"",
      NGX_HTTP_HYPE_GAUGE_CONNECTIONS
      + NGX_HTTP_HYPE_CONNECTIONS_CONNECTING },
    { "hype_database_connections", NULL, NULL,
      "state=\"paused\"",
      NGX_HTTP_HYPE_GAUGE_CONNECTIONS + NGX_HTTP_HYPE_CONNECTIONS_PAUSED },
    { "hype_database_connections", NULL, NULL,
      "state=\"closed\"",
      NGX_HTTP_HYPE_GAUGE_CONNECTIONS + NGX_HTTP_HYPE_CONNECTIONS_CLOSED },
    { "hype_database_errors_total", "counter",
      "Failed connections and statements.",
      NULL, NGX_HTTP_HYPE_DB_ERRORS },
    { "hype_database_up", "gauge",
      "Whether all workers can write hits to PostgreSQL.",
      NULL, NGX_HTTP_HYPE_GAUGE_UP },

    { "hype_derive_calls_total", "counter",
      "Calls of hype.derive().",
      NULL, NGX_HTTP_HYPE_DERIVE_CALLS },
    { "hype_derive_errors_total", "counter",
      "Calls of hype.derive() that failed.",
      NULL, NGX_HTTP_HYPE_DERIVE_ERRORS },
    { "hype_derive_age_seconds", "gauge",
      "Time since nothing was left to be derived, 0 if nothing is.",
      NULL, NGX_HTTP_HYPE_GAUGE_DERIVE_AGE },

    { NULL, NULL, NULL, NULL, 0 }
};


ngx_http_hype_figures_t *
ngx_http_hype_figures_get(ngx_http_hype_main_conf_t *hmcf, ngx_pool_t *pool)
{
    ngx_uint_t                   i;
    ngx_http_hype_name_t         names[NGX_HTTP_HYPE_FIGURES_LINKS];
    ngx_http_hype_figures_t     *figures;
    ngx_http_hype_metrics_t     *metrics;
    ngx_http_hype_cache_stat_t   stat;

    figures = ngx_pcalloc(pool, sizeof(ngx_http_hype_figures_t));
    if (figures == NULL) {
        return NULL;
    }

    metrics = hmcf->cache->metrics;

    figures->started = metrics->started;
    figures->spool = (hmcf->spool.path != NULL);

    for (i = 0; i < NGX_HTTP_HYPE_COUNTERS; i++) {
        figures->values[i] = (ngx_atomic_int_t) metrics->counters[i];

        if (figures->values[i] < 0) {

            /* a gauge, while it is set by one worker and changed by others */

            figures->values[i] = 0;
        }
    }

    figures->values[NGX_HTTP_HYPE_SPOOL_BYTES]
        += figures->values[NGX_HTTP_HYPE_SPOOL_BYTES_CLAIMS]
           + figures->values[NGX_HTTP_HYPE_SPOOL_BYTES_CONFIRMS];

    figures->values[NGX_HTTP_HYPE_SPOOL_FILES]
        += figures->values[NGX_HTTP_HYPE_SPOOL_FILES_CLAIMS]
           + figures->values[NGX_HTTP_HYPE_SPOOL_FILES_CONFIRMS];

    ngx_http_hype_figures_add_up(figures->sizes, metrics->sizes,
                                 NGX_HTTP_HYPE_SIZES + 1);
    ngx_http_hype_figures_add_up(figures->commits, metrics->commits,
                                 NGX_HTTP_HYPE_COMMITS + 1);

    ngx_http_hype_cache_stat(hmcf->cache, &stat);

    figures->values[NGX_HTTP_HYPE_GAUGE_LINKS] = stat.links;
    figures->values[NGX_HTTP_HYPE_GAUGE_UNKNOWNS] = stat.unknowns;
    figures->values[NGX_HTTP_HYPE_GAUGE_CACHE_SIZE] = hmcf->zone->shm.size;
    figures->values[NGX_HTTP_HYPE_GAUGE_CACHE_FREE] = stat.free;

    if (figures->spool) {
        figures->values[NGX_HTTP_HYPE_GAUGE_SPOOL_MAX] = hmcf->spool.max_size;
    }

    figures->values[NGX_HTTP_HYPE_GAUGE_DERIVE_AGE]
        = ngx_http_hype_derive_age(metrics);

    figures->nlinks = ngx_http_hype_metrics_recent(&metrics->links,
                                                   figures->links,
                                                   NGX_HTTP_HYPE_FIGURES_LINKS);

    ngx_http_hype_cache_names(hmcf->cache, figures->links, figures->names,
                              figures->nlinks);

    figures->nunknown = ngx_http_hype_metrics_unknowns(metrics,
                                                   figures->unknown,
                                                   figures->unknown_names,
                                                   NGX_HTTP_HYPE_FIGURES_LINKS);

    /* by now there may be such a link */

    ngx_http_hype_cache_names(hmcf->cache, figures->unknown, names,
                              figures->nunknown);

    for (i = 0; i < figures->nunknown; i++) {
        if (names[i].len) {
            figures->unknown_names[i].len = 0;
        }
    }

    if (ngx_http_hype_figures_workers(figures, metrics, pool) != NGX_OK) {
        return NULL;
    }

    return figures;
}


static ngx_int_t
ngx_http_hype_figures_workers(ngx_http_hype_figures_t *figures,
    ngx_http_hype_metrics_t *metrics, ngx_pool_t *pool)
{
    ngx_uint_t               i, n;
    ngx_http_hype_worker_t  *worker, *w;

    if (ngx_array_init(&figures->workers, pool, 8,
                       sizeof(ngx_http_hype_worker_t))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    figures->values[NGX_HTTP_HYPE_GAUGE_UP] = 1;

    n = 0;

    while ((worker = ngx_http_hype_metrics_next(metrics, &n)) != NULL) {

        w = ngx_array_push(&figures->workers);
        if (w == NULL) {
            return NGX_ERROR;
        }

        *w = *worker;

        figures->values[NGX_HTTP_HYPE_GAUGE_RECORDS] += w->records;
        figures->values[NGX_HTTP_HYPE_GAUGE_BYTES] += w->bytes;
        figures->values[NGX_HTTP_HYPE_GAUGE_WAITING] += w->waiting;
        figures->values[NGX_HTTP_HYPE_GAUGE_UP] &= !w->away;

        /* workers may be connected to different hosts */

        if (ngx_abs(w->skew)
            > ngx_abs(figures->values[NGX_HTTP_HYPE_GAUGE_SKEW]))
        {
            figures->values[NGX_HTTP_HYPE_GAUGE_SKEW] = w->skew;
        }

        for (i = 0; i < NGX_HTTP_HYPE_CONNECTIONS; i++) {
            figures->values[NGX_HTTP_HYPE_GAUGE_CONNECTIONS + i]
                += w->connections[i];
        }
    }

    return NGX_OK;
}


static void
ngx_http_hype_figures_histograms(ngx_http_hype_figures_t *figures,
    ngx_http_hype_histogram_t *h)
{
    h[0].name = "size";
    h[0].metric = "hype_batch_records";
    h[0].help = "Records in a batch, which is one transaction.";
    h[0].bounds = ngx_http_hype_sizes;
    h[0].counts = figures->sizes;
    h[0].n = NGX_HTTP_HYPE_SIZES;
    h[0].unit = 1;
    h[0].sum = figures->values[NGX_HTTP_HYPE_ROWS];

    h[1].name = "commit";
    h[1].metric = "hype_commit_duration_seconds";
    h[1].help = "Time from sending a batch to its commit.";
    h[1].bounds = ngx_http_hype_commits;
    h[1].counts = figures->commits;
    h[1].n = NGX_HTTP_HYPE_COMMITS;
    h[1].unit = 1000000;
    h[1].sum = figures->values[NGX_HTTP_HYPE_COMMIT_TIME];
}


static void
ngx_http_hype_figures_add_up(ngx_uint_t *sums, ngx_atomic_t *counts,
    ngx_uint_t n)
{
    ngx_uint_t  i, sum;

    sum = 0;

    for (i = 0; i < n; i++) {
        sum += counts[i];
        sums[i] = sum;
    }
}


static u_char *
ngx_http_hype_figures_alloc(ngx_http_hype_figures_t *figures,
    ngx_pool_t *pool, u_char **last)
{
    size_t   size;
    u_char  *p;

    size = NGX_HTTP_HYPE_FIGURES_TEXT
           + (figures->nlinks + figures->nunknown)
             * NGX_HTTP_HYPE_FIGURES_LINK
           + figures->workers.nelts * NGX_HTTP_HYPE_FIGURES_WORKER;

    p = ngx_pnalloc(pool, size);

    *last = p + size;

    return p;
}


ngx_int_t
ngx_http_hype_figures_json(ngx_http_hype_figures_t *figures,
    ngx_pool_t *pool, ngx_str_t *text)
{
    u_char      *p, *last;
    ngx_time_t  *tp;

    p = ngx_http_hype_figures_alloc(figures, pool, &last);
    if (p == NULL) {
        return NGX_ERROR;
    }

    tp = ngx_timeofday();

    text->data = p;

    p = ngx_slprintf(p, last, "{\"version\":\"%s\",\"nginx\":\"%s\","
                     "\"time\":%T.%03M,\"started\":",
                     NGX_HTTP_HYPE_VERSION, NGINX_VERSION, tp->sec,
                     tp->msec);
    p = ngx_http_hype_figures_fraction(p, last, figures->started, 1000);

    p = ngx_http_hype_json_counters(p, last, figures);
    p = ngx_http_hype_json_stores(p, last, figures);
    p = ngx_http_hype_json_workers(p, last, figures);
    p = ngx_http_hype_json_recent(p, last, "links", "hits", figures->links,
                                  figures->names, figures->nlinks);
    p = ngx_http_hype_json_recent(p, last, "unknown", "visits",
                                  figures->unknown, figures->unknown_names,
                                  figures->nunknown);

    p = ngx_slprintf(p, last, "}\n");

    text->len = p - text->data;

    return NGX_OK;
}


static u_char *
ngx_http_hype_json_counters(u_char *p, u_char *last,
    ngx_http_hype_figures_t *figures)
{
    int64_t     *v;
    ngx_uint_t   i;

    v = figures->values;

    p = ngx_slprintf(p, last, ",\n\"outcomes\":{");

    for (i = 0; ngx_http_hype_outcomes[i].len; i++) {
        p = ngx_slprintf(p, last, "%s\"%V\":%L", i ? "," : "",
                         &ngx_http_hype_outcomes[i], v[i]);
    }

    p = ngx_slprintf(p, last, "},\n\"claims\":%L,\"confirms\":%L",
                     v[NGX_HTTP_HYPE_CLAIMS], v[NGX_HTTP_HYPE_CONFIRMS]);

    return ngx_slprintf(p, last,
                        ",\n\"cache\":{\"hits\":%L,\"misses\":%L,"
                        "\"stale\":%L,\"evictions\":%L,"
                        "\"unknown_evictions\":%L,\"links\":%L,"
                        "\"unknown\":%L,\"size\":%L,\"free\":%L}",
                        v[NGX_HTTP_HYPE_CACHE_HITS],
                        v[NGX_HTTP_HYPE_CACHE_MISSES],
                        v[NGX_HTTP_HYPE_CACHE_STALE],
                        v[NGX_HTTP_HYPE_EVICTIONS],
                        v[NGX_HTTP_HYPE_UNKNOWN_EVICTIONS],
                        v[NGX_HTTP_HYPE_GAUGE_LINKS],
                        v[NGX_HTTP_HYPE_GAUGE_UNKNOWNS],
                        v[NGX_HTTP_HYPE_GAUGE_CACHE_SIZE],
                        v[NGX_HTTP_HYPE_GAUGE_CACHE_FREE]);
}


static u_char *
ngx_http_hype_json_stores(u_char *p, u_char *last,
    ngx_http_hype_figures_t *figures)
{
    int64_t                    *v, *c;
    const char                 *state;
    ngx_http_hype_histogram_t   h[2];

    v = figures->values;
    c = &v[NGX_HTTP_HYPE_GAUGE_CONNECTIONS];

    p = ngx_slprintf(p, last,
                     ",\n\"queue\":{\"records\":%L,\"bytes\":%L,"
                     "\"waiting\":%L},\n"
                     "\"batches\":{\"count\":%ui,\"records\":%L,"
                     "\"rejected\":%L",
                     v[NGX_HTTP_HYPE_GAUGE_RECORDS],
                     v[NGX_HTTP_HYPE_GAUGE_BYTES],
                     v[NGX_HTTP_HYPE_GAUGE_WAITING],
                     figures->sizes[NGX_HTTP_HYPE_SIZES],
                     v[NGX_HTTP_HYPE_ROWS], v[NGX_HTTP_HYPE_REJECTED]);

    ngx_http_hype_figures_histograms(figures, h);

    p = ngx_http_hype_json_histogram(p, last, &h[0]);
    p = ngx_http_hype_json_histogram(p, last, &h[1]);

    p = ngx_slprintf(p, last,
                     "},\n\"spool\":{\"enabled\":%s,\"appended\":%L,"
                     "\"replayed\":%L,\"bytes\":%L,\"files\":%L,"
                     "\"max_size\":%L}",
                     figures->spool ? "true" : "false",
                     v[NGX_HTTP_HYPE_SPOOL_RECORDS],
                     v[NGX_HTTP_HYPE_SPOOL_REPLAYED],
                     v[NGX_HTTP_HYPE_SPOOL_BYTES],
                     v[NGX_HTTP_HYPE_SPOOL_FILES],
                     v[NGX_HTTP_HYPE_GAUGE_SPOOL_MAX]);

    state = !v[NGX_HTTP_HYPE_GAUGE_UP] ? "down"
            : (c[NGX_HTTP_HYPE_CONNECTIONS_IDLE]
               || c[NGX_HTTP_HYPE_CONNECTIONS_BUSY]) ? "up" : "unused";

    p = ngx_slprintf(p, last,
                     ",\n\"database\":{\"connections\":{\"idle\":%L,"
                     "\"busy\":%L,\"connecting\":%L,\"paused\":%L,"
                     "\"closed\":%L},\"errors\":%L,\"state\":\"%s\","
                     "\"clock_skew\":",
                     c[NGX_HTTP_HYPE_CONNECTIONS_IDLE],
                     c[NGX_HTTP_HYPE_CONNECTIONS_BUSY],
                     c[NGX_HTTP_HYPE_CONNECTIONS_CONNECTING],
                     c[NGX_HTTP_HYPE_CONNECTIONS_PAUSED],
                     c[NGX_HTTP_HYPE_CONNECTIONS_CLOSED],
                     v[NGX_HTTP_HYPE_DB_ERRORS], state);
    p = ngx_http_hype_figures_fraction(p, last, v[NGX_HTTP_HYPE_GAUGE_SKEW],
                                       1000);

    return ngx_slprintf(p, last,
                        "},\n\"derive\":{\"calls\":%L,\"errors\":%L,"
                        "\"age\":%L}",
                        v[NGX_HTTP_HYPE_DERIVE_CALLS],
                        v[NGX_HTTP_HYPE_DERIVE_ERRORS],
                        v[NGX_HTTP_HYPE_GAUGE_DERIVE_AGE]);
}


static u_char *
ngx_http_hype_json_histogram(u_char *p, u_char *last,
    ngx_http_hype_histogram_t *h)
{
    ngx_uint_t  i;

    p = ngx_slprintf(p, last, ",\n  \"%s\":{\"le\":[", h->name);

    for (i = 0; i < h->n; i++) {
        p = ngx_slprintf(p, last, "%s", i ? "," : "");
        p = ngx_http_hype_figures_fraction(p, last, h->bounds[i], h->unit);
    }

    p = ngx_slprintf(p, last, "],\"count\":[");

    for (i = 0; i < h->n; i++) {
        p = ngx_slprintf(p, last, "%s%ui", i ? "," : "", h->counts[i]);
    }

    p = ngx_slprintf(p, last, "],\"sum\":");
    p = ngx_http_hype_figures_fraction(p, last, h->sum, h->unit);

    return ngx_slprintf(p, last, "}");
}


static u_char *
ngx_http_hype_json_workers(u_char *p, u_char *last,
    ngx_http_hype_figures_t *figures)
{
    ngx_uint_t               i;
    ngx_http_hype_worker_t  *w;

    p = ngx_slprintf(p, last, ",\n\"workers\":[");

    w = figures->workers.elts;

    for (i = 0; i < figures->workers.nelts; i++, w++) {
        p = ngx_slprintf(p, last,
                         "%s\n  {\"pid\":%uA,\"queue\":%uA,\"waiting\":%uA,"
                         "\"spool\":%uA,\"away\":%s,\"connections\":{"
                         "\"idle\":%uA,\"busy\":%uA,\"connecting\":%uA,"
                         "\"paused\":%uA,\"closed\":%uA}}",
                         i ? "," : "", w->pid, w->records, w->waiting,
                         w->spool, w->away ? "true" : "false",
                         w->connections[NGX_HTTP_HYPE_CONNECTIONS_IDLE],
                         w->connections[NGX_HTTP_HYPE_CONNECTIONS_BUSY],
                         w->connections[NGX_HTTP_HYPE_CONNECTIONS_CONNECTING],
                         w->connections[NGX_HTTP_HYPE_CONNECTIONS_PAUSED],
                         w->connections[NGX_HTTP_HYPE_CONNECTIONS_CLOSED]);
    }

    return ngx_slprintf(p, last, "]");
}


/* an identifier has nothing in it that JSON would have escaped */

static u_char *
ngx_http_hype_json_recent(u_char *p, u_char *last, const char *list,
    const char *number, ngx_http_hype_recent_t *recent,
    ngx_http_hype_name_t *name, ngx_uint_t n)
{
    const char  *comma;

    p = ngx_slprintf(p, last, ",\n\"%s\":[", list);

    comma = "";

    for ( /* void */ ; n; n--, recent++, name++) {

        if (name->len == 0) {
            continue;
        }

        p = ngx_slprintf(p, last, "%s\n  {\"identifier\":\"%*s\",\"%s\":%uA}",
                         comma, name->len, name->data, number, recent->hits);
        comma = ",";
    }

    return ngx_slprintf(p, last, "]");
}


/* https://prometheus.io/docs/instrumenting/exposition_formats/ */

ngx_int_t
ngx_http_hype_figures_prometheus(ngx_http_hype_figures_t *figures,
    ngx_pool_t *pool, ngx_str_t *text)
{
    u_char                        *p, *last;
    ngx_http_hype_histogram_t      h[2];
    const ngx_http_hype_metric_t  *m;

    p = ngx_http_hype_figures_alloc(figures, pool, &last);
    if (p == NULL) {
        return NGX_ERROR;
    }

    text->data = p;

    for (m = ngx_http_hype_metrics; m->name; m++) {

        if (m->type) {
            p = ngx_slprintf(p, last, "# HELP %s %s\n# TYPE %s %s\n",
                             m->name, m->help, m->name, m->type);
        }

        p = ngx_slprintf(p, last, "%s%s%s%s %L\n", m->name,
                         m->labels ? "{" : "", m->labels ? m->labels : "",
                         m->labels ? "}" : "", figures->values[m->figure]);
    }

    ngx_http_hype_figures_histograms(figures, h);

    p = ngx_http_hype_prometheus_histogram(p, last, &h[0]);
    p = ngx_http_hype_prometheus_histogram(p, last, &h[1]);

    p = ngx_slprintf(p, last,
                     "# HELP hype_clock_skew_seconds How much PostgreSQL's "
                     "clock is ahead of nginx's.\n"
                     "# TYPE hype_clock_skew_seconds gauge\n"
                     "hype_clock_skew_seconds ");
    p = ngx_http_hype_figures_fraction(p, last,
                                  figures->values[NGX_HTTP_HYPE_GAUGE_SKEW],
                                  1000);

    p = ngx_slprintf(p, last,
                     "\n# HELP hype_start_time_seconds When the counters "
                     "began, in seconds since 1970.\n"
                     "# TYPE hype_start_time_seconds gauge\n"
                     "hype_start_time_seconds ");
    p = ngx_http_hype_figures_fraction(p, last, figures->started, 1000);

    p = ngx_slprintf(p, last,
                     "\n# HELP hype_info Versions of the module and of "
                     "nginx.\n# TYPE hype_info gauge\n"
                     "hype_info{version=\"%s\",nginx=\"%s\"} 1\n",
                     NGX_HTTP_HYPE_VERSION, NGINX_VERSION);

    text->len = p - text->data;

    return NGX_OK;
}


static u_char *
ngx_http_hype_prometheus_histogram(u_char *p, u_char *last,
    ngx_http_hype_histogram_t *h)
{
    ngx_uint_t  i;

    p = ngx_slprintf(p, last, "# HELP %s %s\n# TYPE %s histogram\n",
                     h->metric, h->help, h->metric);

    for (i = 0; i < h->n; i++) {
        p = ngx_slprintf(p, last, "%s_bucket{le=\"", h->metric);
        p = ngx_http_hype_figures_fraction(p, last, h->bounds[i], h->unit);
        p = ngx_slprintf(p, last, "\"} %ui\n", h->counts[i]);
    }

    p = ngx_slprintf(p, last, "%s_bucket{le=\"+Inf\"} %ui\n%s_sum ",
                     h->metric, h->counts[i], h->metric);
    p = ngx_http_hype_figures_fraction(p, last, h->sum, h->unit);

    return ngx_slprintf(p, last, "\n%s_count %ui\n", h->metric,
                        h->counts[i]);
}


/* in units of so many, a power of ten, without zeros at the end */

static u_char *
ngx_http_hype_figures_fraction(u_char *p, u_char *last, int64_t value,
    ngx_uint_t unit)
{
    int64_t  rest;

    if (value < 0) {
        p = ngx_slprintf(p, last, "-");
        value = -value;
    }

    p = ngx_slprintf(p, last, "%L", value / (int64_t) unit);

    rest = value % (int64_t) unit;

    if (rest == 0) {
        return p;
    }

    p = ngx_slprintf(p, last, ".");

    do {
        rest *= 10;
        p = ngx_slprintf(p, last, "%L", rest / (int64_t) unit);
        rest %= (int64_t) unit;
    } while (rest);

    return p;
}
