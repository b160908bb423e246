
#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_http_hype_cache.h"
#include "ngx_http_hype_hash.h"


/* at most one unknown identifier per so many bytes of the zone */
#define NGX_HTTP_HYPE_CACHE_UNKNOWN_SHARE  2048

/* milliseconds until a node is moved to the head of its queue again */
#define NGX_HTTP_HYPE_CACHE_USED           1000

/* look-ups in the database at a time; two with the same slot take turns */
#define NGX_HTTP_HYPE_CACHE_LOOKUPS        256


typedef struct {
    uint32_t                      hash;
    ngx_pid_t                     pid;          /* 0: nobody */
    ngx_msec_t                    since;
} ngx_http_hype_cache_lookup_t;


typedef struct ngx_http_hype_cache_node_s  ngx_http_hype_cache_node_t;

struct ngx_http_hype_cache_node_s {
    ngx_http_hype_cache_node_t   *next;         /* in its bucket */
    ngx_queue_t                   queue;
    int64_t                       id;
    int64_t                       expires;
    ngx_msec_t                    loaded;
    ngx_msec_t                    used;
    uint32_t                      hash;
    u_short                       user_len;
    u_short                       destination_len;
    u_char                        len;
    unsigned                      known:1;
    unsigned                      disabled:1;
    u_char                        data[1];  /* identifier, user, destination */
};


struct ngx_http_hype_cache_sh_s {
    ngx_http_hype_cache_node_t  **buckets;
    ngx_uint_t                    mask;
    ngx_uint_t                    max_unknowns;

    /* by "known" */
    ngx_queue_t                   queues[2];
    ngx_uint_t                    n[2];

    ngx_http_hype_cache_lookup_t  lookups[NGX_HTTP_HYPE_CACHE_LOOKUPS];
};


static ngx_int_t ngx_http_hype_cache_create(ngx_http_hype_cache_t *cache);
static void ngx_http_hype_cache_lock(ngx_http_hype_cache_t *cache);
static void ngx_http_hype_cache_change(ngx_http_hype_cache_t *cache);
static void ngx_http_hype_cache_changed(ngx_http_hype_cache_t *cache);
static void ngx_http_hype_cache_rebuild(ngx_http_hype_cache_t *cache);
static ngx_http_hype_cache_node_t **ngx_http_hype_cache_find(
    ngx_http_hype_cache_t *cache, ngx_str_t *identifier, uint32_t hash);
static void ngx_http_hype_cache_remove(ngx_http_hype_cache_t *cache,
    ngx_http_hype_cache_node_t **slot);
static ngx_int_t ngx_http_hype_cache_evict(ngx_http_hype_cache_t *cache,
    ngx_uint_t known);
static ngx_http_hype_cache_node_t *ngx_http_hype_cache_alloc(
    ngx_http_hype_cache_t *cache, size_t size, ngx_uint_t known);
static ngx_int_t ngx_http_hype_cache_copy(ngx_http_hype_cache_node_t *node,
    ngx_pool_t *pool, ngx_http_hype_link_t *link);


ngx_int_t
ngx_http_hype_cache_init_zone(ngx_shm_zone_t *zone, void *data)
{
    ngx_http_hype_cache_t *old = data;

    ngx_http_hype_cache_t  *cache;

    cache = zone->data;

    cache->shpool = (ngx_slab_pool_t *) zone->shm.addr;

    if (old || zone->shm.exists) {
        cache->sh = old ? old->sh : cache->shpool->data;
        cache->metrics = ngx_http_hype_metrics_of(cache->shpool);
        cache->counters = cache->metrics->counters;
        return NGX_OK;
    }

    cache->metrics = ngx_http_hype_metrics_create(cache->shpool);
    cache->counters = cache->metrics->counters;

    cache->sh = ngx_slab_calloc(cache->shpool,
                                sizeof(ngx_http_hype_cache_sh_t));
    if (cache->sh == NULL) {
        return NGX_ERROR;
    }

    cache->shpool->data = cache->sh;

    return ngx_http_hype_cache_create(cache);
}


static ngx_int_t
ngx_http_hype_cache_create(ngx_http_hype_cache_t *cache)
{
    size_t                     size;
    ngx_uint_t                 n;
    ngx_http_hype_cache_sh_t  *sh;

    sh = cache->sh;

    cache->shpool->log_nomem = 0;

    size = cache->shpool->end - (u_char *) cache->shpool;

    /* about one bucket per link, as most links take 128 or 256 bytes */

    for (n = 64; n * 256 < size; n *= 2) { /* void */ }

    sh->buckets = ngx_slab_calloc_locked(cache->shpool,
                                 n * sizeof(ngx_http_hype_cache_node_t *));
    if (sh->buckets == NULL) {
        return NGX_ERROR;
    }

    sh->mask = n - 1;
    sh->max_unknowns = size / NGX_HTTP_HYPE_CACHE_UNKNOWN_SHARE;

    ngx_queue_init(&sh->queues[0]);
    ngx_queue_init(&sh->queues[1]);

    return NGX_OK;
}


static void
ngx_http_hype_cache_lock(ngx_http_hype_cache_t *cache)
{
    ngx_shmtx_lock(&cache->shpool->mutex);

    if (cache->metrics->changing) {
        ngx_http_hype_cache_rebuild(cache);
    }
}


/* The barriers keep the compiler from moving the stores to the flag. */

static void
ngx_http_hype_cache_change(ngx_http_hype_cache_t *cache)
{
    cache->metrics->changing = 1;
    ngx_memory_barrier();
}


static void
ngx_http_hype_cache_changed(ngx_http_hype_cache_t *cache)
{
    ngx_memory_barrier();
    cache->metrics->changing = 0;
}


/* the lists may be broken: begins with an empty cache */

static void
ngx_http_hype_cache_rebuild(ngx_http_hype_cache_t *cache)
{
    ngx_slab_pool_t           *pool;
    ngx_http_hype_cache_sh_t  *sh;

    ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                  "hype: a worker died while it changed the link cache, "
                  "emptied the cache");

    pool = cache->shpool;

    ngx_slab_init(pool);

    /* the first allocation of its size gets the same place again */

    sh = ngx_slab_calloc_locked(pool, sizeof(ngx_http_hype_cache_sh_t));

    if (sh != cache->sh || ngx_http_hype_cache_create(cache) != NGX_OK) {
        ngx_log_error(NGX_LOG_ALERT, ngx_cycle->log, 0,
                      "hype: could not rebuild the link cache");
        ngx_abort();
    }

    cache->metrics->changing = 0;
}


ngx_int_t
ngx_http_hype_cache_get(ngx_http_hype_cache_t *cache, ngx_str_t *identifier,
    ngx_msec_t since, ngx_pool_t *pool, ngx_http_hype_link_t *link)
{
    uint32_t                      hash;
    ngx_int_t                     rc;
    ngx_msec_t                    now, valid;
    ngx_http_hype_cache_node_t   *node;

    now = ngx_current_msec;
    hash = ngx_http_hype_hash(cache->metrics->key, identifier);

    ngx_http_hype_cache_lock(cache);

    node = *ngx_http_hype_cache_find(cache, identifier, hash);

    if (node == NULL) {
        ngx_shmtx_unlock(&cache->shpool->mutex);
        return NGX_DECLINED;
    }

    if (now - node->used >= NGX_HTTP_HYPE_CACHE_USED) {
        ngx_http_hype_cache_change(cache);

        ngx_queue_remove(&node->queue);
        ngx_queue_insert_head(&cache->sh->queues[node->known], &node->queue);
        node->used = now;

        ngx_http_hype_cache_changed(cache);
    }

    rc = ngx_http_hype_cache_copy(node, pool, link);

    if (rc == NGX_OK) {
        valid = node->known ? cache->valid : cache->unknown;

        if (now - node->loaded >= valid
            || (since && (ngx_msec_int_t) (node->loaded - since) < 0))
        {
            rc = NGX_AGAIN;
        }
    }

    ngx_shmtx_unlock(&cache->shpool->mutex);

    return rc;
}


static ngx_int_t
ngx_http_hype_cache_copy(ngx_http_hype_cache_node_t *node, ngx_pool_t *pool,
    ngx_http_hype_link_t *link)
{
    u_char  *p;
    size_t   len;

    link->id = node->id;
    link->expires = node->expires;
    link->known = node->known;
    link->disabled = node->disabled;
    ngx_str_null(&link->user_id);
    ngx_str_null(&link->destination);

    len = node->user_len + node->destination_len;

    if (len == 0) {
        return NGX_OK;
    }

    p = ngx_pnalloc(pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(p, node->data + node->len, len);

    link->user_id.len = node->user_len;
    link->user_id.data = p;
    link->destination.len = node->destination_len;
    link->destination.data = p + node->user_len;

    return NGX_OK;
}


void
ngx_http_hype_cache_put(ngx_http_hype_cache_t *cache, ngx_str_t *identifier,
    ngx_http_hype_link_t *link, ngx_msec_t loaded)
{
    u_char                       *p;
    size_t                        size;
    uint32_t                      hash;
    ngx_http_hype_cache_sh_t     *sh;
    ngx_http_hype_cache_node_t   *node, **slot;

    if (link->user_id.len > 65535 || link->destination.len > 65535) {
        return;
    }

    size = offsetof(ngx_http_hype_cache_node_t, data) + identifier->len;

    if (link->known) {
        size += link->user_id.len + link->destination.len;
    }

    hash = ngx_http_hype_hash(cache->metrics->key, identifier);

    ngx_http_hype_cache_lock(cache);

    sh = cache->sh;
    ngx_http_hype_cache_change(cache);

    slot = ngx_http_hype_cache_find(cache, identifier, hash);

    if (*slot) {

        if ((ngx_msec_int_t) (loaded - (*slot)->loaded) < 0) {

            /* what is there was loaded later than this */

            ngx_http_hype_cache_changed(cache);
            ngx_shmtx_unlock(&cache->shpool->mutex);
            return;
        }

        ngx_http_hype_cache_remove(cache, slot);
    }

    node = ngx_http_hype_cache_alloc(cache, size, link->known);

    if (node) {
        node->id = link->id;
        node->expires = link->expires;
        node->loaded = loaded;
        node->used = ngx_current_msec;
        node->hash = hash;
        node->known = link->known;
        node->disabled = link->disabled;
        node->len = identifier->len;
        node->user_len = link->known ? link->user_id.len : 0;
        node->destination_len = link->known ? link->destination.len : 0;

        p = ngx_cpymem(node->data, identifier->data, node->len);
        p = ngx_cpymem(p, link->user_id.data, node->user_len);
        ngx_memcpy(p, link->destination.data, node->destination_len);

        ngx_queue_insert_head(&sh->queues[node->known], &node->queue);
        sh->n[node->known]++;

        slot = &sh->buckets[hash & sh->mask];
        node->next = *slot;
        *slot = node;
    }

    ngx_http_hype_cache_changed(cache);

    ngx_shmtx_unlock(&cache->shpool->mutex);
}


ngx_uint_t
ngx_http_hype_cache_begin_lookup(ngx_http_hype_cache_t *cache,
    ngx_str_t *identifier, ngx_msec_t timeout)
{
    uint32_t                       hash;
    ngx_uint_t                     rc;
    ngx_http_hype_cache_lookup_t  *lookup;

    hash = ngx_http_hype_hash(cache->metrics->key, identifier);

    ngx_http_hype_cache_lock(cache);

    lookup = &cache->sh->lookups[hash % NGX_HTTP_HYPE_CACHE_LOOKUPS];

    rc = (lookup->pid == 0 || lookup->pid == ngx_pid || lookup->hash != hash
          || ngx_current_msec - lookup->since >= timeout);

    if (rc) {
        lookup->hash = hash;
        lookup->pid = ngx_pid;
        lookup->since = ngx_current_msec;
    }

    ngx_shmtx_unlock(&cache->shpool->mutex);

    return rc;
}


void
ngx_http_hype_cache_end_lookup(ngx_http_hype_cache_t *cache,
    ngx_str_t *identifier)
{
    uint32_t                       hash;
    ngx_http_hype_cache_lookup_t  *lookup;

    hash = ngx_http_hype_hash(cache->metrics->key, identifier);

    ngx_http_hype_cache_lock(cache);

    lookup = &cache->sh->lookups[hash % NGX_HTTP_HYPE_CACHE_LOOKUPS];

    if (lookup->pid == ngx_pid && lookup->hash == hash) {
        lookup->pid = 0;
    }

    ngx_shmtx_unlock(&cache->shpool->mutex);
}


void
ngx_http_hype_cache_delete(ngx_http_hype_cache_t *cache,
    ngx_str_t *identifier)
{
    uint32_t                      hash;
    ngx_http_hype_cache_node_t  **slot;

    hash = ngx_http_hype_hash(cache->metrics->key, identifier);

    ngx_http_hype_cache_lock(cache);

    slot = ngx_http_hype_cache_find(cache, identifier, hash);

    if (*slot) {
        ngx_http_hype_cache_change(cache);
        ngx_http_hype_cache_remove(cache, slot);
        ngx_http_hype_cache_changed(cache);
    }

    ngx_shmtx_unlock(&cache->shpool->mutex);
}


/* the pointer to a node, or the end of its bucket */

static ngx_http_hype_cache_node_t **
ngx_http_hype_cache_find(ngx_http_hype_cache_t *cache, ngx_str_t *identifier,
    uint32_t hash)
{
    ngx_http_hype_cache_node_t  **slot, *node;

    for (slot = &cache->sh->buckets[hash & cache->sh->mask];
         *slot;
         slot = &node->next)
    {
        node = *slot;

        if (node->hash == hash
            && node->len == identifier->len
            && ngx_memcmp(node->data, identifier->data, node->len) == 0)
        {
            break;
        }
    }

    return slot;
}


static void
ngx_http_hype_cache_remove(ngx_http_hype_cache_t *cache,
    ngx_http_hype_cache_node_t **slot)
{
    ngx_http_hype_cache_node_t  *node;

    node = *slot;
    *slot = node->next;

    ngx_queue_remove(&node->queue);

    cache->sh->n[node->known]--;

    ngx_slab_free_locked(cache->shpool, node);
}


static ngx_int_t
ngx_http_hype_cache_evict(ngx_http_hype_cache_t *cache, ngx_uint_t known)
{
    ngx_str_t                    identifier;
    ngx_queue_t                 *queue;
    ngx_http_hype_cache_node_t  *node;

    queue = &cache->sh->queues[known];

    if (ngx_queue_empty(queue)) {
        return NGX_DECLINED;
    }

    node = ngx_queue_data(ngx_queue_last(queue), ngx_http_hype_cache_node_t,
                          queue);

    identifier.len = node->len;
    identifier.data = node->data;

    ngx_http_hype_count(cache, known ? NGX_HTTP_HYPE_EVICTIONS
                                     : NGX_HTTP_HYPE_UNKNOWN_EVICTIONS, 1);

    ngx_http_hype_cache_remove(cache,
                ngx_http_hype_cache_find(cache, &identifier, node->hash));

    return NGX_OK;
}


static ngx_http_hype_cache_node_t *
ngx_http_hype_cache_alloc(ngx_http_hype_cache_t *cache, size_t size,
    ngx_uint_t known)
{
    ngx_http_hype_cache_node_t  *node;

    if (!known && cache->sh->n[0] >= cache->sh->max_unknowns) {
        (void) ngx_http_hype_cache_evict(cache, 0);
    }

    for ( ;; ) {
        node = ngx_slab_alloc_locked(cache->shpool, size);

        if (node) {
            return node;
        }

        if (ngx_http_hype_cache_evict(cache, 0) != NGX_OK
            && (!known || ngx_http_hype_cache_evict(cache, 1) != NGX_OK))
        {
            return NULL;
        }
    }
}


void
ngx_http_hype_cache_stat(ngx_http_hype_cache_t *cache,
    ngx_http_hype_cache_stat_t *stat)
{
    ngx_uint_t        i, n;
    ngx_slab_pool_t  *pool;
    ngx_slab_stat_t  *slot;

    pool = cache->shpool;

    n = ngx_pagesize_shift - pool->min_shift;

    ngx_http_hype_cache_lock(cache);

    stat->links = cache->sh->n[1];
    stat->unknowns = cache->sh->n[0];

    /* free pages, and free pieces of pages in use */

    stat->free = pool->pfree * ngx_pagesize;

    for (i = 0; i < n; i++) {
        slot = &pool->stats[i];
        stat->free += (slot->total - slot->used) << (pool->min_shift + i);
    }

    ngx_shmtx_unlock(&pool->mutex);
}


ngx_uint_t
ngx_http_hype_cache_has_link(ngx_http_hype_cache_t *cache,
    ngx_str_t *identifier)
{
    uint32_t                     hash;
    ngx_uint_t                   found;
    ngx_http_hype_cache_node_t  *node;

    hash = ngx_http_hype_hash(cache->metrics->key, identifier);

    ngx_http_hype_cache_lock(cache);

    node = *ngx_http_hype_cache_find(cache, identifier, hash);
    found = (node && node->known);

    ngx_shmtx_unlock(&cache->shpool->mutex);

    return found;
}
