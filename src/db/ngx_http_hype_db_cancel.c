
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <pthread.h>
#include <signal.h>
#include "ngx_http_hype_db_conn.h"


/* milliseconds until the worker looks again whether the thread is done */
#define NGX_HTTP_HYPE_DB_CANCEL_POLL   10

/* milliseconds that an idle connection waits for the thread */
#define NGX_HTTP_HYPE_DB_CANCEL_WAIT   3000


/*
 * From malloc(), as the thread may outlive the worker's pool.  The worker
 * frees it once "done" is set.
 */

struct ngx_http_hype_db_cancel_s {
    PGcancel      *cancel;
    ngx_int_t      rc;
    char           error[256];
    ngx_atomic_t   done;
};


static ngx_int_t ngx_http_hype_db_cancel_start(
    ngx_http_hype_db_cancel_t *cancel);
static void *ngx_http_hype_db_cancel_thread(void *data);
static void ngx_http_hype_db_cancel_poll(ngx_http_hype_db_conn_t *conn);
static void ngx_http_hype_db_cancel_done(ngx_http_hype_db_conn_t *conn);


ngx_int_t
ngx_http_hype_db_cancel(ngx_http_hype_db_conn_t *conn)
{
    ngx_http_hype_db_cancel_t  *cancel;

    if (conn->cancelled || conn->cancel) {
        return NGX_DECLINED;
    }

    cancel = calloc(1, sizeof(ngx_http_hype_db_cancel_t));
    if (cancel == NULL) {
        return NGX_ERROR;
    }

    cancel->cancel = PQgetCancel(conn->pg);

    if (cancel->cancel == NULL
        || ngx_http_hype_db_cancel_start(cancel) != NGX_OK)
    {
        PQfreeCancel(cancel->cancel);
        free(cancel);
        return NGX_ERROR;
    }

    conn->cancel = cancel;
    conn->cancelling = 1;
    conn->cancelled = 1;
    conn->cancel_idle = ngx_current_msec;

    ngx_http_hype_db_cancel_poll(conn);

    return NGX_OK;
}


/*
 * PQcancel() waits for a server that does not answer for as long as the kernel
 * does, or for ever.  A worker that exits waits for the threads of
 * shared/thread, so this one is detached, and ends with the process.
 */

static ngx_int_t
ngx_http_hype_db_cancel_start(ngx_http_hype_db_cancel_t *cancel)
{
    int             rc;
    sigset_t        all, saved;
    pthread_t       tid;
    pthread_attr_t  attr;

    if (pthread_attr_init(&attr) != 0) {
        return NGX_ERROR;
    }

    (void) pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);

    /* signals are for the worker's own thread */

    sigfillset(&all);
    (void) pthread_sigmask(SIG_BLOCK, &all, &saved);

    rc = pthread_create(&tid, &attr, ngx_http_hype_db_cancel_thread, cancel);

    (void) pthread_sigmask(SIG_SETMASK, &saved, NULL);
    (void) pthread_attr_destroy(&attr);

    return (rc == 0) ? NGX_OK : NGX_ERROR;
}


static void *
ngx_http_hype_db_cancel_thread(void *data)
{
    ngx_http_hype_db_cancel_t *cancel = data;

    cancel->rc = PQcancel(cancel->cancel, cancel->error,
                          sizeof(cancel->error))
                 ? NGX_OK : NGX_ERROR;

    /* who sees "done" sees the result, too */

    ngx_memory_barrier();
    cancel->done = 1;

    return NULL;
}


/* a worker that exits waits for the connection, but not for the thread */

static void
ngx_http_hype_db_cancel_poll(ngx_http_hype_db_conn_t *conn)
{
    conn->cancel_poll.cancelable = !conn->cancelling;

    ngx_add_timer(&conn->cancel_poll, NGX_HTTP_HYPE_DB_CANCEL_POLL);
}


void
ngx_http_hype_db_cancel_handler(ngx_event_t *ev)
{
    ngx_http_hype_db_conn_t *conn = ev->data;

    if (conn->cancel->done) {
        ngx_memory_barrier();
        ngx_http_hype_db_cancel_done(conn);
        return;
    }

    ngx_http_hype_db_cancel_poll(conn);

    if (!conn->cancelling || conn->state != NGX_HTTP_HYPE_DB_IDLE) {
        conn->cancel_idle = ngx_current_msec;
        return;
    }

    if (ngx_current_msec - conn->cancel_idle > NGX_HTTP_HYPE_DB_CANCEL_WAIT) {
        ngx_http_hype_db_fail(conn, "no answer to a cancel request");
    }
}


static void
ngx_http_hype_db_cancel_done(ngx_http_hype_db_conn_t *conn)
{
    ngx_http_hype_db_cancel_t  *cancel;

    cancel = conn->cancel;
    conn->cancel = NULL;

    if (cancel->rc != NGX_OK) {
        ngx_http_hype_db_log(conn,
                             "could not send a cancel request to PostgreSQL",
                             cancel->error);
    }

    PQfreeCancel(cancel->cancel);
    free(cancel);

    if (!conn->cancelling) {
        return;
    }

    conn->cancelling = 0;

    if (conn->state == NGX_HTTP_HYPE_DB_IDLE && !conn->next.posted) {
        ngx_http_hype_db_idle(conn);
    }
}
