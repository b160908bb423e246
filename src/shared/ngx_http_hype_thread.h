
/*
 * Work that would block the worker, in a thread of its own, which ends when it
 * has had none for a second: a new thread costs more than a short fsync().  A
 * worker that has no such work has no other thread: nginx's thread pools
 * start theirs with the worker, and from the first one on, system calls and
 * allocations of the C library take longer.
 */


#ifndef _NGX_HTTP_HYPE_THREAD_H_INCLUDED_
#define _NGX_HTTP_HYPE_THREAD_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <pthread.h>
#include <semaphore.h>


/* those of a worker */

typedef struct {
    ngx_queue_t               started;     /* to be joined */
    ngx_connection_t         *connection;  /* reads from the pipe, or NULL */
    ngx_fd_t                  pipe[2];     /* names those that are done */
} ngx_http_hype_threads_t;


typedef struct {
    void                    (*work)(void *data);  /* in the thread */
    void                    (*done)(void *data);  /* in the worker, after it */
    void                     *data;
    ngx_uint_t                cancelable;         /* as the worker ends */

    ngx_queue_t               queue;
    ngx_http_hype_threads_t  *threads;            /* NULL: it is joined */
    pthread_t                 id;
    sem_t                     more;               /* work, or the end */
    ngx_atomic_t              state;
    ngx_uint_t                running;            /* its work */
} ngx_http_hype_thread_t;


/* Sets up zeroed memory.  Starts no thread. */

void ngx_http_hype_threads_init(ngx_http_hype_threads_t *threads);

/*
 * Ends the threads that are cancelable where they wait, and waits for all.
 * None is started after that, and no "done" is called.
 */

void ngx_http_hype_threads_close(ngx_http_hype_threads_t *threads);

/*
 * Has a thread that is not running do its work.  It is zeroed memory, with
 * "work" to "cancelable" set, that stays until "threads" are closed.  The first
 * one takes a connection of worker_connections.  NGX_ERROR: there is none, or
 * no resources for a thread.
 */

ngx_int_t ngx_http_hype_thread_start(ngx_http_hype_threads_t *threads,
    ngx_http_hype_thread_t *thread);


#endif /* _NGX_HTTP_HYPE_THREAD_H_INCLUDED_ */
