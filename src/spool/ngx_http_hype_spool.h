
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
#include "ngx_http_hype_event.h"
#include "ngx_http_hype_metrics.h"
#include "ngx_http_hype_park.h"
#include "ngx_http_hype_record.h"
#include "ngx_http_hype_thread.h"
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
typedef struct ngx_http_hype_spool_sync_s  ngx_http_hype_spool_sync_t;


typedef struct {
    ngx_http_hype_ident_t         ident;
    ngx_http_hype_spool_conf_t   *conf;
    ngx_uint_t                    stream;    /* a record's type, less one */
    ngx_atomic_t                 *counters;  /* of all workers */
    ngx_http_hype_worker_t       *worker;
    ngx_http_hype_park_t         *park;
    ngx_http_hype_threads_t      *threads;

    ngx_queue_t                   files;     /* the oldest first */
    ngx_http_hype_spool_file_t   *tail;      /* the one that is written */
    ngx_uint_t                    serial;

    u_char                       *buf;       /* what is not yet written */
    size_t                        used;
    size_t                        size;
    ngx_uint_t                    records;
    ngx_queue_t                   waits;     /* for what is in "buf", */
    ngx_queue_t                   written;   /* and not yet synced */
    ngx_queue_t                   syncing;

    ngx_event_t                   flush;     /* at the end of this turn */
    ngx_event_t                   sync;
    ngx_http_hype_spool_sync_t   *task;      /* under way, or the next */

    ngx_uint_t                    held;      /* records that are not done */

    ngx_msec_t                    failed;    /* when a write failed, or 0 */
    ngx_http_hype_trouble_t       trouble;
    ngx_uint_t                    syncs;     /* the time to sync has come */
    ngx_uint_t                    more;      /* files to be adopted */
    ngx_uint_t                    closing;   /* the worker has no threads */

    /* called when there is something to read */
    void                        (*wake)(void *data);

    /* called for a committed record that can't be written */
    void                        (*lost)(void *data, u_char *record,
                                      size_t size);
    void                         *data;
} ngx_http_hype_spool_t;


/*
 * Takes zeroed memory with "stream", "counters", "worker", "park", "threads"
 * and the handlers set.  Adopts the files that nobody holds.  NGX_ERROR if
 * memory ran out.
 */

ngx_int_t ngx_http_hype_spool_init(ngx_http_hype_spool_t *spool,
    ngx_http_hype_spool_conf_t *conf, ngx_cycle_t *cycle);

/* Writes what is left, closes all files, and removes those that were read. */

void ngx_http_hype_spool_close(ngx_http_hype_spool_t *spool);

/*
 * Returns room for a record of that size, which the caller writes there and
 * commits; NULL if the spool is full or failing, or memory ran out.
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
 * Seals a record and writes it to the file at once; it stays the caller's.
 * NGX_ERROR if the spool is full or failing.
 */

ngx_int_t ngx_http_hype_spool_append(ngx_http_hype_spool_t *spool,
    u_char *record, size_t size);

/*
 * Takes a record that was read, the number of its file, and whether the file is
 * another worker's, which may have read it, too.  Returns NGX_OK, or NGX_ERROR
 * to get this record again the next time.
 */

typedef ngx_int_t (*ngx_http_hype_spool_handler_pt)(void *data,
    u_char *record, size_t size, ngx_uint_t number, ngx_uint_t adopted);

/*
 * Reads the next records, "n" at most, and calls "handler" for each.  Returns
 * the number of records read.
 *
 * A file is removed when ngx_http_hype_spool_done() has been called for all of
 * its records, with the file's number and the record's size.  If the worker
 * ends before, the whole file is read again.
 */

ngx_uint_t ngx_http_hype_spool_read(ngx_http_hype_spool_t *spool,
    ngx_uint_t n, ngx_http_hype_spool_handler_pt handler);
void ngx_http_hype_spool_done(ngx_http_hype_spool_t *spool, ngx_uint_t number,
    size_t size);

/*
 * To be called each second or so: leaves a file that has been read, adopts
 * files of workers that are gone, and leaves its own to others if the worker
 * exits.
 */

void ngx_http_hype_spool_tidy(ngx_http_hype_spool_t *spool);

/* Whether there is something to read.  Returns 1 or 0. */

ngx_uint_t ngx_http_hype_spool_pending(ngx_http_hype_spool_t *spool);

/*
 * Seals a record and appends it, with a note of the time and the reason, to
 * "rejected.records" or "dropped.records" in the spool's directory, which only
 * hype-spool reads.
 *
 * NGX_DECLINED if there is no spool, or the file has its share of "max_size".
 * NGX_ERROR if the file can't be written, or memory ran out.
 */

ngx_int_t ngx_http_hype_spool_set_aside(ngx_http_hype_spool_t *spool,
    ngx_uint_t which, u_char *record, const char *reason);


#endif /* _NGX_HTTP_HYPE_SPOOL_H_INCLUDED_ */
