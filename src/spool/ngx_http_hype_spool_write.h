
/*
 * What writes the spool and has it synced, for the spool's beginning and end.
 */


#ifndef _NGX_HTTP_HYPE_SPOOL_WRITE_H_INCLUDED_
#define _NGX_HTTP_HYPE_SPOOL_WRITE_H_INCLUDED_


#include "ngx_http_hype_spool.h"


#define NGX_HTTP_HYPE_SPOOL_SYNC_FDS   8


/* what the thread has to sync */

typedef struct {
    ngx_http_hype_spool_t  *spool;
    ngx_fd_t                fds[NGX_HTTP_HYPE_SPOOL_SYNC_FDS];
    ngx_uint_t              n;
    ngx_err_t               err;
} ngx_http_hype_spool_sync_t;


/*
 * Writes what has been committed, and wakes who waits for it, once it is
 * synced if that is to be always.  NGX_ERROR if the disk does not take it: the
 * records went to "lost" then.
 */

ngx_int_t ngx_http_hype_spool_flush(ngx_http_hype_spool_t *spool);

/* Handlers of the events "flush" and "sync". */

void ngx_http_hype_spool_flush_handler(ngx_event_t *ev);
void ngx_http_hype_spool_sync_handler(ngx_event_t *ev);

/* What the task does in its thread, and what is done after it. */

void ngx_http_hype_spool_sync_thread(void *data, ngx_log_t *log);
void ngx_http_hype_spool_sync_done(ngx_event_t *ev);


#endif /* _NGX_HTTP_HYPE_SPOOL_WRITE_H_INCLUDED_ */
