
/*
 * The spool of a stream: records in files of their own for each worker, to be
 * read back in their order.  A file is held by a lock; one whose holder is gone
 * is adopted by a worker that lives.
 *
 * What has been appended is safe from the worker's end, and from the
 * machine's as far as "sync" says.
 */


#ifndef _NGX_HTTP_HYPE_SPOOL_H_INCLUDED_
#define _NGX_HTTP_HYPE_SPOOL_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_thread_pool.h>
#include "ngx_http_hype_event.h"
#include "ngx_http_hype_metrics.h"
#include "ngx_http_hype_park.h"
#include "ngx_http_hype_record.h"
#include "ngx_http_hype_trouble.h"


#define NGX_HTTP_HYPE_SPOOL_STREAMS      3

/* the least "max_size" */
#define NGX_HTTP_HYPE_SPOOL_MIN          (64 * 1024)

#define NGX_HTTP_HYPE_SPOOL_REJECTED     0
#define NGX_HTTP_HYPE_SPOOL_DROPPED      1

#define NGX_HTTP_HYPE_SPOOL_SYNC_OFF     0
#define NGX_HTTP_HYPE_SPOOL_SYNC_ALWAYS  ((ngx_msec_t) -1)


typedef struct {
    ngx_path_t                   *path;      /* NULL: there is no spool */
    off_t                         max_size;  /* of all files */
    ngx_msec_t                    sync;      /* or one of the above */
} ngx_http_hype_spool_conf_t;


typedef struct ngx_http_hype_spool_file_s  ngx_http_hype_spool_file_t;


typedef struct {
    ngx_http_hype_ident_t         ident;
    ngx_http_hype_spool_conf_t   *conf;
    ngx_uint_t                    stream;    /* a record's type, less one */
    ngx_atomic_t                 *counters;  /* of all workers */
    ngx_http_hype_worker_t       *worker;
    ngx_http_hype_park_t         *park;
    ngx_log_t                    *log;

    ngx_queue_t                   files;     /* the oldest first */
    ngx_http_hype_spool_file_t      *tail;      /* the one that is written */
    ngx_uint_t                    serial;

    u_char                       *buf;       /* what is not yet written */
    size_t                        used;
    size_t                        size;
    ngx_uint_t                    records;
    ngx_queue_t                   waits;     /* for what is in "buf", */
    ngx_queue_t                   written;   /* and not yet synced */
    ngx_queue_t                   syncing;

    ngx_event_t                   flush;     /* at the end of this turn */
    ngx_event_t                   tidy;      /* looks for orphans, too */
    ngx_event_t                   sync;
    ngx_thread_task_t            *task;

    ngx_uint_t                    held;      /* records that are not done */

    ngx_msec_t                    failed;    /* when a write failed, or 0 */
    ngx_http_hype_trouble_t       trouble;
    ngx_uint_t                    syncs;     /* the time to sync has come */
    ngx_uint_t                    more;      /* files to be adopted */
    ngx_uint_t                    closing;   /* the worker has no threads */

    /* there is something to read */
    void                        (*wake)(void *data);

    /* a record that was reserved and committed can't be written */
    void                        (*lost)(void *data, u_char *record,
                                      size_t size);
    void                         *data;
} ngx_http_hype_spool_t;


/*
 * Opens nothing yet; adopts the files that nobody holds.  What is above
 * "segments", "wake", "lost" and "data" are for the caller to set.
 */

ngx_int_t ngx_http_hype_spool_init(ngx_http_hype_spool_t *spool,
    ngx_cycle_t *cycle);

/* Writes what is left, closes all files, and removes those that are done. */

void ngx_http_hype_spool_close(ngx_http_hype_spool_t *spool);

/*
 * Room for a record of that size, to be written there by the caller; NULL if
 * the spool is full or failing.
 */

u_char *ngx_http_hype_spool_reserve(ngx_http_hype_spool_t *spool,
    size_t size);

/*
 * The record is there.  It is written to the file with all others at the end of
 * this turn of the event loop; until then "wait" is parked, with the status
 * NGX_DECLINED.
 */

void ngx_http_hype_spool_commit(ngx_http_hype_spool_t *spool, size_t size,
    ngx_http_hype_wait_t *wait);

/*
 * Appends a record, and writes it to the file at once.  NGX_ERROR if it is
 * not there.
 */

ngx_int_t ngx_http_hype_spool_append(ngx_http_hype_spool_t *spool,
    u_char *record, size_t size);

/*
 * Hands out the next records, up to "n": "handler" is called for each, with the
 * number of its file; it returns NGX_OK, or NGX_ERROR to be given this one
 * again the next time.  Returns their number.
 *
 * A file is removed when ngx_http_hype_spool_done() has been called for all
 * records of it; if that never comes, all of it will be read again.
 */

ngx_uint_t ngx_http_hype_spool_read(ngx_http_hype_spool_t *spool,
    ngx_uint_t n, ngx_int_t (*handler)(void *data, u_char *record,
    size_t size, ngx_uint_t number));
void ngx_http_hype_spool_done(ngx_http_hype_spool_t *spool, ngx_uint_t number,
    size_t size);

/* Whether there is something to read. */

ngx_uint_t ngx_http_hype_spool_pending(ngx_http_hype_spool_t *spool);

/*
 * Appends a record, and a note with the time and the reason, to one of the
 * files that nobody reads back but hype-spool: "rejected.records" and
 * "dropped.records" in the spool's directory.  Seals the record.
 *
 * NGX_DECLINED if there is no spool, or the file has its share of "max_size";
 * NGX_ERROR if the disk does not take it.
 */

ngx_int_t ngx_http_hype_spool_set_aside(ngx_http_hype_spool_t *spool,
    ngx_uint_t which, u_char *record, ngx_str_t *reason);


#endif /* _NGX_HTTP_HYPE_SPOOL_H_INCLUDED_ */
