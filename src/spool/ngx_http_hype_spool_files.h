
/*
 * The spool's files and directory, for the other parts of the spool.
 */


#ifndef _NGX_HTTP_HYPE_SPOOL_FILES_H_INCLUDED_
#define _NGX_HTTP_HYPE_SPOOL_FILES_H_INCLUDED_


#include "ngx_http_hype_spool.h"


/* bytes of a file, or a fraction of "max_size" if that is more */
#define NGX_HTTP_HYPE_SPOOL_FILE_SIZE    (16 * 1024 * 1024)

/* files that a worker has open at a time, of its own and of others */
#define NGX_HTTP_HYPE_SPOOL_OPEN       64

/* of both, claims and confirms have one part each in so many */
#define NGX_HTTP_HYPE_SPOOL_SHARE      4

/* of "max_size", rejected and dropped records have one part each in so many */
#define NGX_HTTP_HYPE_SPOOL_SET_ASIDE      32


struct ngx_http_hype_spool_file_s {
    ngx_queue_t             queue;
    ngx_fd_t                fd;
    off_t                   size;
    off_t                   read;
    ngx_uint_t              number;
    ngx_uint_t              held;   /* records that are read, and not done */
    ngx_msec_t              unread; /* when it could not be read, or 0 */
    ngx_uint_t              dirty;  /* unsigned dirty:1 */
    ngx_uint_t              adopted;
    ngx_str_t               name;
};


/* The part of "n" that the spool's stream has. */

off_t ngx_http_hype_spool_part(ngx_http_hype_spool_t *spool, off_t n);

/* A new file to write to, as the last one; NGX_ERROR once it is logged. */

ngx_int_t ngx_http_hype_spool_new_tail(ngx_http_hype_spool_t *spool);

/* Nothing more goes to the last file; removes it, if all of it is read. */

void ngx_http_hype_spool_leave_tail(ngx_http_hype_spool_t *spool);

/*
 * Three ways to let a file go.  Its memory is freed.  "remove" deletes it;
 * "gone" counts it out, the caller has renamed or deleted it; "release" closes
 * it, and another worker may have it.
 */

void ngx_http_hype_spool_remove(ngx_http_hype_spool_t *spool,
    ngx_http_hype_spool_file_t *file);
void ngx_http_hype_spool_gone(ngx_http_hype_spool_t *spool,
    ngx_http_hype_spool_file_t *file);
void ngx_http_hype_spool_release(ngx_http_hype_spool_t *spool,
    ngx_http_hype_spool_file_t *file);

/*
 * Counts what is in the directory, and adopts the oldest of the files that
 * nobody holds.  "more" tells whether some were left.
 */

void ngx_http_hype_spool_scan(ngx_http_hype_spool_t *spool);

/*
 * Logs that the spool can't do "what" with the file, though not each time;
 * the former takes the disk for failing, too.
 */

void ngx_http_hype_spool_fail(ngx_http_hype_spool_t *spool,
    ngx_err_t err, const char *what, ngx_str_t *name);
void ngx_http_hype_spool_log(ngx_http_hype_spool_t *spool,
    ngx_err_t err, const char *what, ngx_str_t *name);


/* ngx_http_hype_spool_read.c */

/* The first file that has something to read, and can be read; or NULL. */

ngx_http_hype_spool_file_t *ngx_http_hype_spool_oldest(
    ngx_http_hype_spool_t *spool);


/* ngx_http_hype_spool_write.c: what writes, and has it synced */

#define NGX_HTTP_HYPE_SPOOL_SYNC_FDS   8


/* what the thread has to sync */

struct ngx_http_hype_spool_sync_s {
    ngx_http_hype_thread_t  thread;
    ngx_http_hype_spool_t  *spool;
    ngx_fd_t                fds[NGX_HTTP_HYPE_SPOOL_SYNC_FDS];
    ngx_uint_t              n;
    ngx_err_t               err;
};


/*
 * Writes what has been committed, and wakes who waits for it, once it is
 * synced if that is to be always.  NGX_ERROR if the disk does not take it: the
 * records went to "lost" then.
 */

ngx_int_t ngx_http_hype_spool_flush(ngx_http_hype_spool_t *spool);

/* Handlers of the events "flush" and "sync". */

void ngx_http_hype_spool_flush_handler(ngx_event_t *ev);
void ngx_http_hype_spool_sync_handler(ngx_event_t *ev);

/* What the thread does, and what is done after it. */

void ngx_http_hype_spool_sync_thread(void *data);
void ngx_http_hype_spool_sync_done(void *data);


#endif /* _NGX_HTTP_HYPE_SPOOL_FILES_H_INCLUDED_ */
