
#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_http_hype_links.h"


/* milliseconds between two times that all links are looked up again */
#define NGX_HTTP_HYPE_LINKS_DISTRUST  1000


static ngx_http_hype_lookup_t *ngx_http_hype_links_lookup(
    ngx_http_hype_links_t *links, ngx_str_t *identifier);
static ngx_int_t ngx_http_hype_links_copy(ngx_pool_t *pool,
    ngx_http_hype_link_t *dst, ngx_http_hype_link_t *src);
static void ngx_http_hype_links_distrust(ngx_http_hype_links_t *links);
static void ngx_http_hype_links_distrust_handler(ngx_event_t *ev);


void
ngx_http_hype_links_init(ngx_http_hype_links_t *links,
    ngx_http_hype_cache_t *cache, ngx_http_hype_db_t *db,
    ngx_http_hype_park_t *park)
{
    links->cache = cache;
    links->db = db;
    links->park = park;

    ngx_rbtree_init(&links->rbtree, &links->sentinel,
                    ngx_str_rbtree_insert_value);
    ngx_queue_init(&links->pending);
    ngx_queue_init(&links->flight);
    ngx_queue_init(&links->foreign);

    ngx_http_hype_event_init(&links->poll, ngx_http_hype_links_poll_handler,
                             links, 1);

    ngx_http_hype_event_init(&links->distrust,
                             ngx_http_hype_links_distrust_handler, links, 1);
}


ngx_int_t
ngx_http_hype_links_find(ngx_http_hype_links_t *links, ngx_str_t *identifier,
    ngx_http_hype_wait_t *wait)
{
    ngx_int_t                rc, status;
    ngx_http_hype_db_t      *db;
    ngx_http_hype_link_t    *link;
    ngx_http_hype_lookup_t  *lookup;

    db = links->db;
    link = wait->result;

    rc = ngx_http_hype_links_cached(links, identifier, wait->pool, link);

    if (rc == NGX_OK && (db->listening || db->pooled)) {
        ngx_http_hype_count(links->cache, NGX_HTTP_HYPE_CACHE_HITS, 1);
        return NGX_OK;
    }

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    /* what is to be asked for again may still serve while that can't be */

    status = (rc == NGX_DECLINED || !link->known) ? NGX_DECLINED : NGX_OK;

    if (!ngx_http_hype_db_available(db, NGX_HTTP_HYPE_DB_LINKS)) {

        if (rc == NGX_OK) {

            /* that it is unknown was true a moment ago */

            status = NGX_OK;
        }

        if (status == NGX_OK) {
            ngx_http_hype_count(links->cache, NGX_HTTP_HYPE_CACHE_STALE, 1);
        }

        return status;
    }

    ngx_http_hype_count(links->cache, NGX_HTTP_HYPE_CACHE_MISSES, 1);

    lookup = ngx_http_hype_links_lookup(links, identifier);
    if (lookup == NULL) {
        return NGX_ERROR;
    }

    ngx_http_hype_park(links->park, wait, &lookup->waits, NULL, status);

    ngx_http_hype_db_wake(db, NGX_HTTP_HYPE_DB_LINKS);

    return NGX_AGAIN;
}


ngx_int_t
ngx_http_hype_links_cached(ngx_http_hype_links_t *links,
    ngx_str_t *identifier, ngx_pool_t *pool, ngx_http_hype_link_t *link)
{
    ngx_msec_t  since;

    since = links->db->listening;

    if (since && links->since
        && (ngx_msec_int_t) (links->since - since) > 0)
    {
        since = links->since;
    }

    return ngx_http_hype_cache_get(links->cache, identifier, since, pool,
                                   link);
}


static ngx_http_hype_lookup_t *
ngx_http_hype_links_lookup(ngx_http_hype_links_t *links,
    ngx_str_t *identifier)
{
    ngx_http_hype_lookup_t  *lookup;

    lookup = ngx_http_hype_links_known(links, identifier);

    if (lookup) {
        return lookup;
    }

    lookup = ngx_alloc(sizeof(ngx_http_hype_lookup_t), ngx_cycle->log);
    if (lookup == NULL) {
        return NULL;
    }

    ngx_memcpy(lookup->data, identifier->data, identifier->len);

    lookup->node.node.key = 0;
    lookup->node.str.len = identifier->len;
    lookup->node.str.data = lookup->data;

    ngx_queue_init(&lookup->waits);
    ngx_queue_insert_tail(&links->pending, &lookup->queue);
    ngx_rbtree_insert(&links->rbtree, &lookup->node.node);

    return lookup;
}


ngx_http_hype_lookup_t *
ngx_http_hype_links_known(ngx_http_hype_links_t *links, ngx_str_t *identifier)
{
    /* all have the same key: the tree compares strings then */

    return (ngx_http_hype_lookup_t *) ngx_str_rbtree_lookup(&links->rbtree,
                                                            identifier, 0);
}


void
ngx_http_hype_links_wake(ngx_http_hype_links_t *links,
    ngx_http_hype_lookup_t *lookup, ngx_http_hype_link_t *link)
{
    ngx_queue_t           *q;
    ngx_http_hype_wait_t  *wait;

    while (!ngx_queue_empty(&lookup->waits)) {
        q = ngx_queue_head(&lookup->waits);
        wait = ngx_queue_data(q, ngx_http_hype_wait_t, place);

        if (link) {
            wait->status = ngx_http_hype_links_copy(wait->pool, wait->result,
                                                    link);
        }

        ngx_http_hype_park_wake(links->park, wait);
    }

    ngx_http_hype_links_free(links, lookup);
}


static ngx_int_t
ngx_http_hype_links_copy(ngx_pool_t *pool, ngx_http_hype_link_t *dst,
    ngx_http_hype_link_t *src)
{
    *dst = *src;

    dst->user_id.data = ngx_pstrdup(pool, &src->user_id);
    dst->destination.data = ngx_pstrdup(pool, &src->destination);

    if (dst->user_id.data == NULL || dst->destination.data == NULL) {
        return NGX_ERROR;
    }

    return NGX_OK;
}


void
ngx_http_hype_links_free(ngx_http_hype_links_t *links,
    ngx_http_hype_lookup_t *lookup)
{
    ngx_queue_remove(&lookup->queue);
    ngx_rbtree_delete(&links->rbtree, &lookup->node.node);
    ngx_free(lookup);
}


void
ngx_http_hype_links_release(ngx_http_hype_links_t *links)
{
    if (ngx_http_hype_db_available(links->db, NGX_HTTP_HYPE_DB_LINKS)) {
        return;
    }

    ngx_http_hype_links_fail(links, &links->pending);
    ngx_http_hype_links_fail(links, &links->foreign);
}


void
ngx_http_hype_links_fail(ngx_http_hype_links_t *links, ngx_queue_t *queue)
{
    ngx_queue_t             *q;
    ngx_http_hype_lookup_t  *lookup;

    while (!ngx_queue_empty(queue)) {
        q = ngx_queue_head(queue);
        lookup = ngx_queue_data(q, ngx_http_hype_lookup_t, queue);

        ngx_http_hype_links_wake(links, lookup, NULL);
    }
}


void
ngx_http_hype_links_changed(ngx_http_hype_links_t *links,
    ngx_str_t *identifier)
{
    ngx_http_hype_lookup_t  *lookup;

    if (identifier->len == 0) {

        /* anybody who can connect may send this: not as often as he likes */

        if (!links->distrust.timer_set) {
            ngx_http_hype_links_distrust(links);
            return;
        }

        links->distrusted = 1;
        return;
    }

    lookup = ngx_http_hype_links_known(links, identifier);

    if (lookup) {
        lookup->changed = 1;
    }

    ngx_http_hype_cache_delete(links->cache, identifier);
}


/* what was asked for up to now can't be trusted */

static void
ngx_http_hype_links_distrust(ngx_http_hype_links_t *links)
{
    links->distrusted = 0;
    links->since = ngx_current_msec + 1;

    ngx_add_timer(&links->distrust, NGX_HTTP_HYPE_LINKS_DISTRUST);
}


static void
ngx_http_hype_links_distrust_handler(ngx_event_t *ev)
{
    ngx_http_hype_links_t  *links;

    links = ev->data;

    /* the connection may be gone: what comes is trusted when there is one */

    if (links->distrusted && links->db->listening) {
        ngx_http_hype_links_distrust(links);
    }

    links->distrusted = 0;
}
