
#include "ngx_http_hype_status.h"


/* bytes of text: what is always there, and of each identifier and worker */
#define NGX_HTTP_HYPE_STATUS_TEXT    16384
#define NGX_HTTP_HYPE_STATUS_ITEM    512


/*
 * A value of both formats: JSON has it behind the text "json", Prometheus as a
 * metric.  A row without a name is of the metric above it.
 */

typedef struct {
    const char  *json;       /* NULL: not in JSON */
    ngx_uint_t   value;
    ngx_uint_t   unit;       /* it is shown in so many, a power of ten */
    const char  *name;
    const char  *labels;
    const char  *type;
    const char  *help;
} ngx_http_hype_status_value_t;


typedef struct {
    const char        *json;
    const char        *name;
    const char        *help;
    const ngx_uint_t  *bounds;
    ngx_uint_t        *counts;   /* up to each bound, and of all */
    ngx_uint_t         n;
    ngx_uint_t         unit;     /* of bounds and sum, as above */
    int64_t            sum;
} ngx_http_hype_histogram_t;


static u_char *ngx_http_hype_status_alloc(
    ngx_http_hype_status_metrics_t *metrics, ngx_pool_t *pool, u_char **last);
static void ngx_http_hype_status_histograms(
    ngx_http_hype_status_metrics_t *metrics, ngx_http_hype_histogram_t *h);
static u_char *ngx_http_hype_json_histogram(u_char *p, u_char *last,
    ngx_http_hype_histogram_t *h);
static u_char *ngx_http_hype_json_workers(u_char *p, u_char *last,
    ngx_array_t *workers);
static u_char *ngx_http_hype_json_recent(u_char *p, u_char *last,
    const char *name, const char *count,
    ngx_http_hype_status_recent_t *recent);
static u_char *ngx_http_hype_prometheus_histogram(u_char *p, u_char *last,
    ngx_http_hype_histogram_t *h);
static u_char *ngx_http_hype_status_fraction(u_char *p, u_char *last,
    int64_t value, ngx_uint_t unit);


static const ngx_http_hype_status_value_t  ngx_http_hype_status_values[] = {

    { ",\"appended\":", NGX_HTTP_HYPE_SPOOL_RECORDS,
      1, "hype_spool_appended_records_total", NULL, "counter",
      "Records written to spool files." },

    { ",\"replayed\":", NGX_HTTP_HYPE_SPOOL_REPLAYED,
      1, "hype_spool_replayed_records_total", NULL, "counter",
      "Records of spool files that are done." },

    { ",\"bytes\":", NGX_HTTP_HYPE_SPOOL_BYTES,
      1, "hype_spool_bytes", NULL, "gauge",
      "Size of all spool files." },

    { ",\"files\":", NGX_HTTP_HYPE_SPOOL_FILES,
      1, "hype_spool_files", NULL, "gauge",
      "Number of spool files." },

    { ",\"max_size\":", NGX_HTTP_HYPE_GAUGE_SPOOL_MAX,
      1, "hype_spool_max_bytes", NULL, "gauge",
      "Size that all spool files may have, 0 without a spool." },

    { "},\n\"outcomes\":{\"hit\":", NGX_HTTP_HYPE_HITS,
      1, "hype_requests_total", "outcome=\"hit\"", "counter",
      "Requests by a referral link, by what became of them; dropped "
      "ones also count claims and confirms." },
    { ",\"skipped\":", NGX_HTTP_HYPE_SKIPPED,
      1, NULL, "outcome=\"skipped\"", NULL, NULL },
    { ",\"unknown\":", NGX_HTTP_HYPE_UNKNOWN,
      1, NULL, "outcome=\"unknown\"", NULL, NULL },
    { ",\"disabled\":", NGX_HTTP_HYPE_DISABLED,
      1, NULL, "outcome=\"disabled\"", NULL, NULL },
    { ",\"expired\":", NGX_HTTP_HYPE_EXPIRED,
      1, NULL, "outcome=\"expired\"", NULL, NULL },
    { ",\"spooled\":", NGX_HTTP_HYPE_SPOOLED,
      1, NULL, "outcome=\"spooled\"", NULL, NULL },
    { ",\"dropped\":", NGX_HTTP_HYPE_DROPPED,
      1, NULL, "outcome=\"dropped\"", NULL, NULL },

    { "},\n\"claims\":", NGX_HTTP_HYPE_CLAIMS,
      1, "hype_claims_total", NULL, "counter",
      "Claims of a visitor by a user." },

    { ",\"confirms\":", NGX_HTTP_HYPE_CONFIRMS,
      1, "hype_confirms_total", NULL, "counter",
      "Confirms by hype_confirm." },

    { ",\n\"cache\":{\"hits\":", NGX_HTTP_HYPE_CACHE_HITS,
      1, "hype_cache_lookups_total", "result=\"hit\"", "counter",
      "Look-ups of identifiers in the link cache." },
    { ",\"misses\":", NGX_HTTP_HYPE_CACHE_MISSES,
      1, NULL, "result=\"miss\"", NULL, NULL },
    { ",\"stale\":", NGX_HTTP_HYPE_CACHE_STALE,
      1, NULL, "result=\"stale\"", NULL, NULL },

    { ",\"evictions\":", NGX_HTTP_HYPE_EVICTIONS,
      1, "hype_cache_evictions_total", "state=\"known\"", "counter",
      "Identifiers that made room for others in the link cache." },
    { ",\"unknown_evictions\":", NGX_HTTP_HYPE_UNKNOWN_EVICTIONS,
      1, NULL, "state=\"unknown\"", NULL, NULL },

    { ",\"links\":", NGX_HTTP_HYPE_GAUGE_LINKS,
      1, "hype_cache_links", "state=\"known\"", "gauge",
      "Identifiers in the link cache." },
    { ",\"unknown\":", NGX_HTTP_HYPE_GAUGE_UNKNOWNS,
      1, NULL, "state=\"unknown\"", NULL, NULL },

    { ",\"size\":", NGX_HTTP_HYPE_GAUGE_CACHE_SIZE,
      1, "hype_cache_size_bytes", NULL, "gauge",
      "Size of the shared memory zone." },

    { ",\"free\":", NGX_HTTP_HYPE_GAUGE_CACHE_FREE,
      1, "hype_cache_free_bytes", NULL, "gauge",
      "Free memory in the zone." },

    { "},\n\"queue\":{\"records\":", NGX_HTTP_HYPE_GAUGE_RECORDS,
      1, "hype_queue_records", NULL, "gauge",
      "Records in the workers' memory on their way to PostgreSQL." },

    { ",\"bytes\":", NGX_HTTP_HYPE_GAUGE_BYTES,
      1, "hype_queue_bytes", NULL, "gauge",
      "Size of these records." },

    { ",\"waiting\":", NGX_HTTP_HYPE_GAUGE_WAITING,
      1, "hype_waiting_requests", NULL, "gauge",
      "Requests that wait for PostgreSQL or the spool." },

    { NULL, NGX_HTTP_HYPE_REJECTED,
      1, "hype_rejected_records_total", NULL, "counter",
      "Records that PostgreSQL refuses, set aside." },

    { "},\n\"derive\":{\"calls\":", NGX_HTTP_HYPE_DERIVE_CALLS,
      1, "hype_derive_calls_total", NULL, "counter",
      "Calls of hype.derive()." },

    { ",\"errors\":", NGX_HTTP_HYPE_DERIVE_ERRORS,
      1, "hype_derive_errors_total", NULL, "counter",
      "Calls of hype.derive() that failed." },

    { ",\"age\":", NGX_HTTP_HYPE_GAUGE_DERIVE_AGE,
      1, "hype_derive_age_seconds", NULL, "gauge",
      "Time since nothing was left to be derived, 0 if nothing is." },

    { "},\n\"started\":", NGX_HTTP_HYPE_GAUGE_STARTED,
      1000, "hype_start_time_seconds", NULL, "gauge",
      "When the counters began, in seconds since 1970." },

    { ",\n\"database\":{\"connections\":{\"idle\":",
      NGX_HTTP_HYPE_GAUGE_CONNECTIONS
      + NGX_HTTP_HYPE_CONNECTIONS_IDLE,
      1, "hype_database_connections", "state=\"idle\"", "gauge",
      "Connections of all workers to PostgreSQL." },
    { ",\"busy\":",
      NGX_HTTP_HYPE_GAUGE_CONNECTIONS
      + NGX_HTTP_HYPE_CONNECTIONS_BUSY,
      1, NULL, "state=\"busy\"", NULL, NULL },
    { ",\"connecting\":",
      NGX_HTTP_HYPE_GAUGE_CONNECTIONS
      + NGX_HTTP_HYPE_CONNECTIONS_CONNECTING,
      1, NULL, "state=\"connecting\"", NULL, NULL },
    { ",\"paused\":",
      NGX_HTTP_HYPE_GAUGE_CONNECTIONS
      + NGX_HTTP_HYPE_CONNECTIONS_PAUSED,
      1, NULL, "state=\"paused\"", NULL, NULL },
    { ",\"closed\":",
      NGX_HTTP_HYPE_GAUGE_CONNECTIONS
      + NGX_HTTP_HYPE_CONNECTIONS_CLOSED,
      1, NULL, "state=\"closed\"", NULL, NULL },

    { "},\"errors\":", NGX_HTTP_HYPE_DB_ERRORS,
      1, "hype_database_errors_total", NULL, "counter",
      "Failed connections and statements." },

    { NULL, NGX_HTTP_HYPE_GAUGE_UP,
      1, "hype_database_up", NULL, "gauge",
      "Whether all workers can write hits to PostgreSQL." },

    { ",\"clock_skew\":", NGX_HTTP_HYPE_GAUGE_SKEW,
      1000, "hype_clock_skew_seconds", NULL, "gauge",
      "How much PostgreSQL's clock is ahead of nginx's." },

    { NULL, 0, 0, NULL, NULL, NULL, NULL }
};


static u_char *
ngx_http_hype_status_alloc(ngx_http_hype_status_metrics_t *metrics,
    ngx_pool_t *pool, u_char **last)
{
    size_t   size;
    u_char  *p;

    size = NGX_HTTP_HYPE_STATUS_TEXT
           + (metrics->links.n + metrics->unknown.n + metrics->workers.nelts)
             * NGX_HTTP_HYPE_STATUS_ITEM;

    p = ngx_pnalloc(pool, size);

    *last = p + size;

    return p;
}


static void
ngx_http_hype_status_histograms(ngx_http_hype_status_metrics_t *metrics,
    ngx_http_hype_histogram_t *h)
{
    h[0].json = "size";
    h[0].name = "hype_batch_records";
    h[0].help = "Records in a batch, which is one transaction.";
    h[0].bounds = ngx_http_hype_sizes;
    h[0].counts = metrics->sizes;
    h[0].n = NGX_HTTP_HYPE_SIZES;
    h[0].unit = 1;
    h[0].sum = metrics->values[NGX_HTTP_HYPE_ROWS];

    h[1].json = "commit";
    h[1].name = "hype_commit_duration_seconds";
    h[1].help = "Time from sending a batch to its commit.";
    h[1].bounds = ngx_http_hype_commits;
    h[1].counts = metrics->commits;
    h[1].n = NGX_HTTP_HYPE_COMMITS;
    h[1].unit = 1000000;
    h[1].sum = metrics->values[NGX_HTTP_HYPE_COMMIT_TIME];
}


ngx_int_t
ngx_http_hype_status_json(ngx_http_hype_status_metrics_t *metrics,
    ngx_pool_t *pool, ngx_str_t *text)
{
    u_char                              *p, *last;
    int64_t                             *v, *c;
    ngx_time_t                          *tp;
    ngx_http_hype_histogram_t            h[2];
    const ngx_http_hype_status_value_t  *value;

    p = ngx_http_hype_status_alloc(metrics, pool, &last);
    if (p == NULL) {
        return NGX_ERROR;
    }

    text->data = p;

    v = metrics->values;
    c = &v[NGX_HTTP_HYPE_GAUGE_CONNECTIONS];
    tp = ngx_timeofday();

    p = ngx_slprintf(p, last, "{\"version\":\"%s\",\"nginx\":\"%s\","
                     "\"time\":%T.%03M,\n\"spool\":{\"enabled\":%s",
                     NGX_HTTP_HYPE_VERSION, NGINX_VERSION, tp->sec, tp->msec,
                     metrics->spool ? "true" : "false");

    for (value = ngx_http_hype_status_values; value->unit; value++) {
        if (value->json) {
            p = ngx_slprintf(p, last, "%s", value->json);
            p = ngx_http_hype_status_fraction(p, last, v[value->value],
                                              value->unit);
        }
    }

    p = ngx_slprintf(p, last, ",\"state\":\"%s\"},\n\"batches\":{"
                     "\"count\":%ui,\"records\":%L,\"rejected\":%L",
                     !v[NGX_HTTP_HYPE_GAUGE_UP] ? "down"
                     : (c[NGX_HTTP_HYPE_CONNECTIONS_IDLE]
                        || c[NGX_HTTP_HYPE_CONNECTIONS_BUSY]) ? "up"
                     : "unused",
                     metrics->sizes[NGX_HTTP_HYPE_SIZES],
                     v[NGX_HTTP_HYPE_ROWS], v[NGX_HTTP_HYPE_REJECTED]);

    ngx_http_hype_status_histograms(metrics, h);

    p = ngx_http_hype_json_histogram(p, last, &h[0]);
    p = ngx_http_hype_json_histogram(p, last, &h[1]);
    p = ngx_slprintf(p, last, "}");

    p = ngx_http_hype_json_workers(p, last, &metrics->workers);
    p = ngx_http_hype_json_recent(p, last, "links", "hits", &metrics->links);
    p = ngx_http_hype_json_recent(p, last, "unknown", "visits",
                                  &metrics->unknown);
    p = ngx_slprintf(p, last, "}\n");

    text->len = p - text->data;

    return NGX_OK;
}


static u_char *
ngx_http_hype_json_histogram(u_char *p, u_char *last,
    ngx_http_hype_histogram_t *h)
{
    ngx_uint_t  i;

    p = ngx_slprintf(p, last, ",\n  \"%s\":{\"le\":[", h->json);

    for (i = 0; i < h->n; i++) {
        p = ngx_slprintf(p, last, "%s", i ? "," : "");
        p = ngx_http_hype_status_fraction(p, last, h->bounds[i], h->unit);
    }

    p = ngx_slprintf(p, last, "],\"count\":[");

    for (i = 0; i < h->n; i++) {
        p = ngx_slprintf(p, last, "%s%ui", i ? "," : "", h->counts[i]);
    }

    p = ngx_slprintf(p, last, "],\"sum\":");
    p = ngx_http_hype_status_fraction(p, last, h->sum, h->unit);

    return ngx_slprintf(p, last, "}");
}


static u_char *
ngx_http_hype_json_workers(u_char *p, u_char *last, ngx_array_t *workers)
{
    ngx_uint_t               i;
    ngx_atomic_t            *c;
    ngx_http_hype_worker_t  *w;

    p = ngx_slprintf(p, last, ",\n\"workers\":[");

    w = workers->elts;

    for (i = 0; i < workers->nelts; i++) {
        c = w[i].connections;

        p = ngx_slprintf(p, last,
                         "%s\n  {\"pid\":%uA,\"queue\":%uA,\"waiting\":%uA,"
                         "\"spool\":%uA,\"away\":%s,\"connections\":{"
                         "\"idle\":%uA,\"busy\":%uA,\"connecting\":%uA,"
                         "\"paused\":%uA,\"closed\":%uA}}",
                         i ? "," : "", w[i].pid, w[i].records, w[i].waiting,
                         w[i].spool, w[i].down ? "true" : "false",
                         c[NGX_HTTP_HYPE_CONNECTIONS_IDLE],
                         c[NGX_HTTP_HYPE_CONNECTIONS_BUSY],
                         c[NGX_HTTP_HYPE_CONNECTIONS_CONNECTING],
                         c[NGX_HTTP_HYPE_CONNECTIONS_PAUSED],
                         c[NGX_HTTP_HYPE_CONNECTIONS_CLOSED]);
    }

    return ngx_slprintf(p, last, "]");
}


/* an identifier has no character that JSON escapes */

static u_char *
ngx_http_hype_json_recent(u_char *p, u_char *last, const char *name,
    const char *count, ngx_http_hype_status_recent_t *recent)
{
    ngx_uint_t               i;
    ngx_http_hype_recent_t  *r;

    p = ngx_slprintf(p, last, ",\n\"%s\":[", name);

    for (i = 0; i < recent->n; i++) {
        r = &recent->list[i];
        p = ngx_slprintf(p, last, "%s\n  {\"identifier\":\"%*s\",\"%s\":%uA}",
                         i ? "," : "", r->len, r->data, count, r->hits);
    }

    return ngx_slprintf(p, last, "]");
}


/* https://prometheus.io/docs/instrumenting/exposition_formats/ */

ngx_int_t
ngx_http_hype_status_prometheus(ngx_http_hype_status_metrics_t *metrics,
    ngx_pool_t *pool, ngx_str_t *text)
{
    u_char                              *p, *last;
    const char                          *name;
    ngx_http_hype_histogram_t            h[2];
    const ngx_http_hype_status_value_t  *value;

    p = ngx_http_hype_status_alloc(metrics, pool, &last);
    if (p == NULL) {
        return NGX_ERROR;
    }

    text->data = p;
    name = "";

    for (value = ngx_http_hype_status_values; value->unit; value++) {

        if (value->name) {
            name = value->name;
            p = ngx_slprintf(p, last, "# HELP %s %s\n# TYPE %s %s\n",
                             name, value->help, name, value->type);
        }

        p = value->labels ? ngx_slprintf(p, last, "%s{%s} ", name,
                                         value->labels)
                          : ngx_slprintf(p, last, "%s ", name);
        p = ngx_http_hype_status_fraction(p, last,
                                          metrics->values[value->value],
                                          value->unit);
        p = ngx_slprintf(p, last, "\n");
    }

    ngx_http_hype_status_histograms(metrics, h);

    p = ngx_http_hype_prometheus_histogram(p, last, &h[0]);
    p = ngx_http_hype_prometheus_histogram(p, last, &h[1]);

    p = ngx_slprintf(p, last,
                     "# HELP hype_info Versions of the module and of nginx.\n"
                     "# TYPE hype_info gauge\n"
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
                     h->name, h->help, h->name);

    for (i = 0; i < h->n; i++) {
        p = ngx_slprintf(p, last, "%s_bucket{le=\"", h->name);
        p = ngx_http_hype_status_fraction(p, last, h->bounds[i], h->unit);
        p = ngx_slprintf(p, last, "\"} %ui\n", h->counts[i]);
    }

    p = ngx_slprintf(p, last, "%s_bucket{le=\"+Inf\"} %ui\n%s_sum ",
                     h->name, h->counts[i], h->name);
    p = ngx_http_hype_status_fraction(p, last, h->sum, h->unit);

    return ngx_slprintf(p, last, "\n%s_count %ui\n", h->name, h->counts[i]);
}


/* without zeros at the end */

static u_char *
ngx_http_hype_status_fraction(u_char *p, u_char *last, int64_t value,
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
