
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <signal.h>
#include "ngx_http_hype_thread.h"


/* a thread waits so many seconds for more work */
#define NGX_HTTP_HYPE_THREAD_WAIT  1

#define NGX_HTTP_HYPE_THREAD_BUSY  0
#define NGX_HTTP_HYPE_THREAD_IDLE  1
#define NGX_HTTP_HYPE_THREAD_OVER  2


static ngx_int_t ngx_http_hype_threads_open(ngx_http_hype_threads_t *threads);
static ngx_int_t ngx_http_hype_threads_watch(
    ngx_http_hype_threads_t *threads);
static void ngx_http_hype_threads_handler(ngx_event_t *ev);
static ngx_int_t ngx_http_hype_thread_create(ngx_http_hype_thread_t *thread);
static void *ngx_http_hype_thread_main(void *data);
static ngx_uint_t ngx_http_hype_thread_more(ngx_http_hype_thread_t *thread);
static void ngx_http_hype_thread_join(ngx_http_hype_thread_t *thread);


void
ngx_http_hype_threads_init(ngx_http_hype_threads_t *threads)
{
    ngx_queue_init(&threads->started);
}


void
ngx_http_hype_threads_close(ngx_http_hype_threads_t *threads)
{
    ngx_queue_t             *q;
    ngx_http_hype_thread_t  *thread;

    for (q = ngx_queue_head(&threads->started);
         q != ngx_queue_sentinel(&threads->started);
         q = ngx_queue_next(q))
    {
        thread = ngx_queue_data(q, ngx_http_hype_thread_t, queue);

        if (thread->cancelable) {
            (void) pthread_cancel(thread->id);
        }

        (void) sem_post(&thread->more);
    }

    while (!ngx_queue_empty(&threads->started)) {
        q = ngx_queue_head(&threads->started);

        thread = ngx_queue_data(q, ngx_http_hype_thread_t, queue);

        ngx_http_hype_thread_join(thread);
    }

    if (threads->connection) {
        ngx_close_connection(threads->connection);
        threads->connection = NULL;

        (void) close(threads->pipe[1]);
    }
}


ngx_int_t
ngx_http_hype_thread_start(ngx_http_hype_threads_t *threads,
    ngx_http_hype_thread_t *thread)
{
    if (thread->threads) {

        if (ngx_atomic_cmp_set(&thread->state, NGX_HTTP_HYPE_THREAD_IDLE,
                               NGX_HTTP_HYPE_THREAD_BUSY))
        {
            (void) sem_post(&thread->more);
            thread->running = 1;
            return NGX_OK;
        }

        /* it has just ended */

        ngx_http_hype_thread_join(thread);
    }

    if (threads->connection == NULL
        && ngx_http_hype_threads_open(threads) != NGX_OK)
    {
        return NGX_ERROR;
    }

    thread->threads = threads;

    if (ngx_http_hype_thread_create(thread) != NGX_OK) {
        thread->threads = NULL;
        return NGX_ERROR;
    }

    ngx_queue_insert_tail(&threads->started, &thread->queue);
    thread->running = 1;

    return NGX_OK;
}


static ngx_int_t
ngx_http_hype_thread_create(ngx_http_hype_thread_t *thread)
{
    int       rc;
    sigset_t  all, saved;

    thread->state = NGX_HTTP_HYPE_THREAD_BUSY;

    if (sem_init(&thread->more, 0, 0) == -1) {
        return NGX_ERROR;
    }

    /* signals are for the worker's own thread */

    sigfillset(&all);
    (void) pthread_sigmask(SIG_BLOCK, &all, &saved);

    rc = pthread_create(&thread->id, NULL, ngx_http_hype_thread_main, thread);

    (void) pthread_sigmask(SIG_SETMASK, &saved, NULL);

    return (rc == 0) ? NGX_OK : NGX_ERROR;
}


static ngx_int_t
ngx_http_hype_threads_open(ngx_http_hype_threads_t *threads)
{
    if (pipe(threads->pipe) == -1) {
        return NGX_ERROR;
    }

    if (ngx_http_hype_threads_watch(threads) != NGX_OK) {
        (void) close(threads->pipe[0]);
        (void) close(threads->pipe[1]);
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_hype_threads_watch(ngx_http_hype_threads_t *threads)
{
    ngx_connection_t  *c;

    if (ngx_nonblocking(threads->pipe[0]) == -1
        || fcntl(threads->pipe[0], F_SETFD, FD_CLOEXEC) == -1
        || fcntl(threads->pipe[1], F_SETFD, FD_CLOEXEC) == -1)
    {
        return NGX_ERROR;
    }

    c = ngx_get_connection(threads->pipe[0], ngx_cycle->log);
    if (c == NULL) {
        return NGX_ERROR;
    }

    c->data = threads;
    c->log = ngx_cycle->log;
    c->read->log = c->log;
    c->write->log = c->log;
    c->read->handler = ngx_http_hype_threads_handler;

    if (ngx_add_event(c->read, NGX_READ_EVENT, NGX_LEVEL_EVENT) != NGX_OK) {
        ngx_free_connection(c);
        return NGX_ERROR;
    }

    threads->connection = c;

    return NGX_OK;
}


static void
ngx_http_hype_threads_handler(ngx_event_t *ev)
{
    ngx_connection_t         *c;
    ngx_http_hype_thread_t   *thread;
    ngx_http_hype_threads_t  *threads;

    c = ev->data;
    threads = c->data;

    while (read(threads->pipe[0], &thread, sizeof(ngx_http_hype_thread_t *))
           == (ssize_t) sizeof(ngx_http_hype_thread_t *))
    {
        thread->running = 0;

        thread->done(thread->data);
    }
}


static void *
ngx_http_hype_thread_main(void *data)
{
    ngx_http_hype_thread_t *thread = data;

    do {
        thread->work(thread->data);

        thread->state = NGX_HTTP_HYPE_THREAD_IDLE;

        /* there is room for far more, and a pipe takes these bytes at once */

        if (write(thread->threads->pipe[1], &thread,
                  sizeof(ngx_http_hype_thread_t *))
            != (ssize_t) sizeof(ngx_http_hype_thread_t *))
        {
            ngx_log_error(NGX_LOG_ALERT, ngx_cycle->log, ngx_errno,
                          "hype: a thread could not tell that it is done");
        }

    } while (ngx_http_hype_thread_more(thread));

    return NULL;
}


static ngx_uint_t
ngx_http_hype_thread_more(ngx_http_hype_thread_t *thread)
{
    struct timespec  end;

    (void) clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += NGX_HTTP_HYPE_THREAD_WAIT;

    (void) sem_timedwait(&thread->more, &end);

    /* whatever ended the wait, there may be work by now */

    return !ngx_atomic_cmp_set(&thread->state, NGX_HTTP_HYPE_THREAD_IDLE,
                               NGX_HTTP_HYPE_THREAD_OVER);
}


static void
ngx_http_hype_thread_join(ngx_http_hype_thread_t *thread)
{
    (void) pthread_join(thread->id, NULL);
    (void) sem_destroy(&thread->more);

    ngx_queue_remove(&thread->queue);
    thread->threads = NULL;
    thread->running = 0;
}
