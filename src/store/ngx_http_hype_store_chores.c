
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include "ngx_http_hype_store.h"


/* milliseconds between two runs of hype.maintain(), tries, and for one run */
#define NGX_HTTP_HYPE_STORE_MAINTAIN             (24 * 60 * 60 * 1000)
#define NGX_HTTP_HYPE_STORE_MAINTAIN_RETRY       (15 * 60 * 1000)
#define NGX_HTTP_HYPE_STORE_MAINTENANCE_TIMEOUT  (10 * 60 * 1000)


/* milliseconds between two looks: at what others wrote, at the spool's files */
#define NGX_HTTP_HYPE_STORE_WATCH                250
#define NGX_HTTP_HYPE_STORE_TIDY                 1000


static void ngx_http_hype_store_release_item(void *data,
    ngx_http_hype_item_t *item);
static void ngx_http_hype_store_wake_maintain(ngx_http_hype_store_t *store);
static void ngx_http_hype_store_maintained(void *data,
    ngx_http_hype_db_outcome_e outcome, PGresult *res);


void
ngx_http_hype_store_unavailable(void *data)
{
    ngx_http_hype_store_t *store = data;

    ngx_post_event(&store->release, &ngx_posted_events);
}


/* nobody has to wait for what is not available; by now it may be again */

void
ngx_http_hype_store_release_handler(ngx_event_t *ev)
{
    ngx_http_hype_store_t  *store;

    store = ev->data;

    ngx_http_hype_links_release(&store->links);
    ngx_http_hype_report_release(&store->report);
    ngx_http_hype_report_release(&store->owner);

    if (!ngx_http_hype_db_available(store->db, NGX_HTTP_HYPE_DB_HITS)) {
        ngx_http_hype_queue_each(
                             &store->streams[NGX_HTTP_HYPE_STREAM_HITS].queue,
                             ngx_http_hype_store_release_item, store);
    }
}


static void
ngx_http_hype_store_release_item(void *data, ngx_http_hype_item_t *item)
{
    ngx_http_hype_store_t *store = data;

    if (ngx_queue_empty(&item->waits)) {
        return;
    }

    ngx_http_hype_park_wake_all(&store->park, &item->waits, NGX_DECLINED);

    ngx_http_hype_stream_expire(&store->streams[NGX_HTTP_HYPE_STREAM_HITS],
                                item);
}


void
ngx_http_hype_store_notify(void *data, ngx_str_t *channel,
    ngx_str_t *payload)
{
    ngx_http_hype_store_t *store = data;

    if (ngx_strcmp(channel->data, "hype_link") == 0) {
        ngx_http_hype_links_changed(&store->links, payload);
        return;
    }

    ngx_http_hype_derive_notify(&store->derive);
}


/* one timer for all chores: each makes those of requests slower */

void
ngx_http_hype_store_tick_handler(ngx_event_t *ev)
{
    ngx_uint_t              n, first;
    ngx_http_hype_store_t  *store;

    store = ev->data;

    /* of a worker that exits, the first of the new ones takes this over */

    first = (ngx_worker == 0 && !ngx_exiting);

    if (first) {
        ngx_http_hype_derive_watch(&store->derive);
        ngx_http_hype_relay_watch(&store->relay);

        if ((ngx_msec_int_t) (ngx_current_msec - store->maintain) >= 0) {
            ngx_http_hype_store_wake_maintain(store);
        }
    }

    if (ngx_current_msec - store->tidied >= NGX_HTTP_HYPE_STORE_TIDY) {
        store->tidied = ngx_current_msec;

        for (n = 0; n < NGX_HTTP_HYPE_STREAMS; n++) {
            ngx_http_hype_spool_tidy(&store->streams[n].spool);
        }
    }

    ngx_add_timer(ev, first ? NGX_HTTP_HYPE_STORE_WATCH
                            : NGX_HTTP_HYPE_STORE_TIDY);
}


static void
ngx_http_hype_store_wake_maintain(ngx_http_hype_store_t *store)
{
    /* this worker listens for claims, so it stays connected */

    store->maintaining = 1;
    store->maintain = ngx_current_msec + NGX_HTTP_HYPE_STORE_MAINTAIN_RETRY;

    ngx_http_hype_db_wake(store->db, NGX_HTTP_HYPE_DB_LINKS);
    ngx_http_hype_db_wake(store->db, NGX_HTTP_HYPE_DB_CHORES);
}


ngx_uint_t
ngx_http_hype_store_maintain(ngx_http_hype_store_t *store,
    ngx_http_hype_db_conn_t *conn)
{
    ngx_http_hype_db_statement_t  st;

    if (!store->maintaining) {
        return 0;
    }

    store->maintaining = 0;

    ngx_memzero(&st, sizeof(ngx_http_hype_db_statement_t));

    st.sql = "SELECT hype.maintain()";
    st.timeout = NGX_HTTP_HYPE_STORE_MAINTENANCE_TIMEOUT;
    st.handler = ngx_http_hype_store_maintained;
    st.data = store;

    ngx_http_hype_db_send(conn, &st);

    return 1;
}


static void
ngx_http_hype_store_maintained(void *data,
    ngx_http_hype_db_outcome_e outcome, PGresult *res)
{
    ngx_http_hype_store_t *store = data;

    if (outcome == NGX_HTTP_HYPE_DB_DONE) {
        store->maintain = ngx_current_msec + NGX_HTTP_HYPE_STORE_MAINTAIN;

        ngx_log_error(NGX_LOG_INFO, ngx_cycle->log, 0,
                      "hype: daily maintenance done");
    }
}
