
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include "ngx_http_hype_db.h"
#include "ngx_http_hype_db_conn.h"


/* how long a statement may be overdue before it is cancelled */
#define NGX_HTTP_HYPE_DB_PATIENCE       5000

/* how long its result may take then before its connection is given up */
#define NGX_HTTP_HYPE_DB_GRACE          3000
#define NGX_HTTP_HYPE_DB_GRACE_EXITING  1000


static void ngx_http_hype_db_timer_handler(ngx_event_t *ev);


ngx_http_hype_db_t *
ngx_http_hype_db_create(ngx_cycle_t *cycle, ngx_http_hype_db_conf_t *conf,
    ngx_http_hype_metrics_t *metrics, ngx_http_hype_worker_t *worker)
{
    ngx_uint_t                i;
    ngx_http_hype_db_t       *db;
    ngx_http_hype_db_conn_t  *conn;

    db = ngx_pcalloc(cycle->pool, sizeof(ngx_http_hype_db_t));
    if (db == NULL) {
        return NULL;
    }

    db->nconns = conf->connections + (ngx_worker == 0 ? 3 : 2);

    db->conns = ngx_pcalloc(cycle->pool,
                            db->nconns * sizeof(ngx_http_hype_db_conn_t));
    if (db->conns == NULL) {
        return NULL;
    }

    db->conf = conf;
    db->counters = metrics->counters;
    db->worker = worker;

    worker->connections[NGX_HTTP_HYPE_CONNECTIONS_CLOSED] = conf->connections;

    for (i = 0; i < db->nconns; i++) {
        conn = &db->conns[i];

        conn->db = db;
        conn->roles = (i == 0) ? NGX_HTTP_HYPE_DB_LINKS
                      : (i < conf->connections) ? NGX_HTTP_HYPE_DB_HITS
                      : (i == conf->connections) ? NGX_HTTP_HYPE_DB_CHORES
                      : (i == conf->connections + 1) ? NGX_HTTP_HYPE_DB_PAGES
                      : NGX_HTTP_HYPE_DB_DERIVE;

        ngx_http_hype_event_init(&conn->timer, ngx_http_hype_db_timer_handler,
                                 conn, 0);
        ngx_http_hype_event_init(&conn->next, ngx_http_hype_db_next_handler,
                                 conn, 0);

        conn->canceller.work = ngx_http_hype_db_cancel_thread;
        conn->canceller.done = ngx_http_hype_db_cancel_done;
        conn->canceller.data = conn;
        conn->canceller.cancelable = 1;

        if (conf->info.resolve || conf->info.blocking) {
            conn->task = ngx_pcalloc(cycle->pool,
                                     sizeof(ngx_http_hype_db_task_t));
            if (conn->task == NULL) {
                return NULL;
            }

            conn->task->thread.work = ngx_http_hype_db_thread;
            conn->task->thread.done = ngx_http_hype_db_thread_done;
            conn->task->thread.data = conn->task;
            conn->task->thread.cancelable = 1;
            conn->task->conn = conn;
        }
    }

    if (conf->connections == 1) {
        db->conns[0].roles |= NGX_HTTP_HYPE_DB_HITS;
    }

    return db;
}


void
ngx_http_hype_db_close(ngx_http_hype_db_t *db)
{
    ngx_uint_t  i;

    db->closed = 1;

    for (i = 0; i < db->nconns; i++) {
        ngx_http_hype_db_disconnect(&db->conns[i]);
    }
}


void
ngx_http_hype_db_wake(ngx_http_hype_db_t *db, ngx_uint_t role)
{
    ngx_uint_t                i, opening;
    ngx_http_hype_db_conn_t  *conn, *closed;

    closed = NULL;
    opening = 0;

    for (i = 0; i < db->nconns; i++) {
        conn = &db->conns[i];

        if (!(conn->roles & role)) {
            continue;
        }

        switch (conn->state) {

        case NGX_HTTP_HYPE_DB_IDLE:
            if (conn->cancelling) {
                break;
            }

            if (!conn->next.posted) {
                ngx_http_hype_db_idle(conn);
            }

            return;

        case NGX_HTTP_HYPE_DB_BUSY:
            break;

        case NGX_HTTP_HYPE_DB_CLOSED:
            if (closed == NULL && !conn->timer.timer_set) {
                closed = conn;
            }
            break;

        default:
            /* it will ask by itself */
            opening = 1;
        }
    }

    if (closed && !opening && !db->closed) {
        ngx_http_hype_db_open(closed);
    }
}


static void
ngx_http_hype_db_timer_handler(ngx_event_t *ev)
{
    ngx_http_hype_db_conn_t *conn = ev->data;

    switch (conn->state) {

    case NGX_HTTP_HYPE_DB_CLOSED:
        ngx_http_hype_db_open(conn);
        break;

    case NGX_HTTP_HYPE_DB_PAUSED:
        ngx_http_hype_db_state(conn, NGX_HTTP_HYPE_DB_IDLE);
        ngx_http_hype_db_failing(conn, 0);
        ngx_http_hype_db_idle(conn);
        break;

    case NGX_HTTP_HYPE_DB_IDLE:

        if (!conn->next.posted) {
            ngx_http_hype_db_fail(conn, "no answer to a cancel request");
        }

        break;

    case NGX_HTTP_HYPE_DB_BUSY:

        if (!conn->overdue && !ngx_exiting) {
            conn->overdue = 1;
            ngx_http_hype_db_timer(conn, NGX_HTTP_HYPE_DB_PATIENCE, 0);
            ngx_http_hype_db_failing(conn, 1);
            break;
        }

        if (ngx_http_hype_db_cancel(conn) == NGX_OK) {
            ngx_http_hype_db_timer(conn, ngx_exiting
                                         ? NGX_HTTP_HYPE_DB_GRACE_EXITING
                                         : NGX_HTTP_HYPE_DB_GRACE, 0);
            break;
        }

        ngx_http_hype_db_fail(conn, "timed out");
        break;

    case NGX_HTTP_HYPE_DB_CONNECTING:
    case NGX_HTTP_HYPE_DB_SETUP:

        /* libpq would not skip a host that does not answer */

        conn->first++;

        /* fall through */

    default:
        ngx_http_hype_db_fail(conn, "timed out");
    }
}
