
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include "ngx_http_hype_store.h"


ngx_http_hype_store_t *
ngx_http_hype_store_create(ngx_cycle_t *cycle, ngx_http_hype_db_conf_t *db,
    ngx_http_hype_spool_conf_t *spool, ngx_http_hype_cache_t *cache)
{
    ngx_http_hype_store_t  *store;

    store = ngx_pcalloc(cycle->pool, sizeof(ngx_http_hype_store_t));
    if (store == NULL) {
        return NULL;
    }

    store->worker = ngx_http_hype_metrics_join(cache->metrics, cycle->pool);
    if (store->worker == NULL) {
        return NULL;
    }

    store->db = ngx_http_hype_db_create(cycle, db, cache->metrics,
                                        store->worker);
    if (store->db == NULL) {
        return NULL;
    }

    ngx_http_hype_threads_init(&store->threads);

    store->db->threads = &store->threads;
    store->db->work = ngx_http_hype_store_work;
    store->db->notify = ngx_http_hype_store_notify;
    store->db->unavailable = ngx_http_hype_store_unavailable;
    store->db->data = store;

    store->cache = cache;

    ngx_http_hype_park_init(&store->park, db->timeout,
                            &store->worker->waiting);

    ngx_http_hype_links_init(&store->links, cache, store->db, &store->park);

    ngx_http_hype_report_init(&store->report, &ngx_http_hype_report_status,
                              store->db, &store->park);

    ngx_http_hype_report_init(&store->owner, &ngx_http_hype_report_owner,
                              store->db, &store->park);

    ngx_http_hype_event_init(&store->release,
                             ngx_http_hype_store_release_handler, store, 0);

    ngx_http_hype_event_init(&store->tick, ngx_http_hype_store_tick_handler,
                             store, 1);

    if (ngx_http_hype_streams_init(store->streams, store->db, cache,
                                   &store->park, spool, cycle)
        != NGX_OK)
    {
        return NULL;
    }

    ngx_http_hype_derive_init(&store->derive, store->db, cache->metrics);

    store->relay.db = store->db;

    store->tidied = ngx_current_msec;
    store->maintain = ngx_current_msec;

    if (ngx_worker == 0 || spool->path) {
        ngx_add_timer(&store->tick, 1);
    }

    return store;
}


void
ngx_http_hype_store_close(ngx_http_hype_store_t *store)
{
    ngx_http_hype_db_close(store->db);
    ngx_http_hype_threads_close(&store->threads);
    ngx_http_hype_streams_close(store->streams);
    ngx_http_hype_report_entries_free(&store->report);
    ngx_http_hype_report_entries_free(&store->owner);

    store->worker->pid = 0;
}


ngx_int_t
ngx_http_hype_store_hit(ngx_http_hype_store_t *store, ngx_str_t *identifier,
    ngx_http_hype_row_t *row, ngx_uint_t spool, ngx_http_hype_wait_t *wait)
{
    u_char                  *p;
    size_t                   size;
    ngx_int_t                rc;
    ngx_uint_t               live;
    ngx_http_hype_item_t    *item;
    ngx_http_hype_stream_t  *stream;

    stream = &store->streams[NGX_HTTP_HYPE_STREAM_HITS];

    size = ngx_http_hype_record_hit_length(identifier, row);

    live = identifier->len == 0
           && ngx_http_hype_stream_room(stream, size)
           && ngx_http_hype_db_available(store->db, NGX_HTTP_HYPE_DB_HITS);

    if (spool || !live) {
        p = ngx_http_hype_spool_reserve(&stream->spool, size);

        if (p) {
            (void) ngx_http_hype_record_hit(p, identifier, row);

            ngx_http_hype_spool_commit(&stream->spool, size, wait);

            return NGX_AGAIN;
        }
    }

    item = ngx_http_hype_queue_alloc(size);
    if (item == NULL) {
        wait->status = NGX_ERROR;
        return NGX_OK;
    }

    (void) ngx_http_hype_record_hit(item->record, identifier, row);

    if (!live) {
        rc = ngx_http_hype_stream_keep(stream, item);
        wait->status = (rc == NGX_OK) ? NGX_DECLINED : NGX_ERROR;

        return NGX_OK;
    }

    store->visited = ngx_current_msec;

    ngx_http_hype_park(&store->park, wait, &item->waits, item, NGX_DECLINED);
    ngx_http_hype_queue_push(&stream->queue, item);

    /* all hits of a turn of the event loop are one batch */

    ngx_http_hype_stream_wake(stream);

    return NGX_AGAIN;
}


void
ngx_http_hype_store_keep_hit(ngx_http_hype_store_t *store,
    ngx_str_t *identifier, ngx_http_hype_row_t *row)
{
    size_t                 size;
    ngx_http_hype_item_t  *item;

    size = ngx_http_hype_record_hit_length(identifier, row);

    item = ngx_http_hype_queue_alloc(size);
    if (item == NULL) {
        ngx_http_hype_count(store->cache, NGX_HTTP_HYPE_DROPPED, 1);
        return;
    }

    (void) ngx_http_hype_record_hit(item->record, identifier, row);

    (void) ngx_http_hype_stream_keep(
                             &store->streams[NGX_HTTP_HYPE_STREAM_HITS], item);
}


void
ngx_http_hype_store_event(ngx_http_hype_store_t *store,
    ngx_http_hype_record_type_e type, ngx_http_hype_event_t *event)
{
    size_t                 size;
    ngx_http_hype_item_t  *item;

    size = ngx_http_hype_record_event_length(event);

    item = ngx_http_hype_queue_alloc(size);
    if (item == NULL) {
        ngx_http_hype_count(store->cache, NGX_HTTP_HYPE_DROPPED, 1);
        return;
    }

    (void) ngx_http_hype_record_event(item->record, type, event);

    (void) ngx_http_hype_stream_keep(
                       &store->streams[type - NGX_HTTP_HYPE_RECORD_HIT], item);
}


void
ngx_http_hype_store_expire(ngx_http_hype_store_t *store,
    ngx_http_hype_wait_t *wait)
{
    if (wait->owner) {
        ngx_http_hype_stream_expire(&store->streams[NGX_HTTP_HYPE_STREAM_HITS],
                                    wait->owner);
    }
}
