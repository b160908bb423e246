
#include <ngx_config.h>
#include <ngx_core.h>
#include <sys/file.h>
#include "ngx_http_hype_spool.h"


/* bytes of a file, or a fraction of "max_size" if that is more */
#define NGX_HTTP_HYPE_SPOOL_SEGMENT    (16 * 1024 * 1024)
#define NGX_HTTP_HYPE_SPOOL_BUFFER     (64 * 1024)
#define NGX_HTTP_HYPE_SPOOL_CHUNK      (512 * 1024)

/* milliseconds between two looks at the folder */
#define NGX_HTTP_HYPE_SPOOL_TIDY       1000

/* milliseconds until a failing disk is tried again, or told of again */
#define NGX_HTTP_HYPE_SPOOL_RETRY      1000
#define NGX_HTTP_HYPE_SPOOL_LOG        10000

/* and a file that can't be read, while others are */
#define NGX_HTTP_HYPE_SPOOL_REREAD     5000

#define NGX_HTTP_HYPE_SPOOL_SYNC_FDS   8

/* files that a worker has open at a time, of its own and of others */
#define NGX_HTTP_HYPE_SPOOL_OPEN       64

#define NGX_HTTP_HYPE_SPOOL_TRIES      8


struct ngx_http_hype_segment_s {
    ngx_queue_t             queue;
    ngx_fd_t                fd;
    off_t                   size;
    off_t                   read;
    ngx_msec_t              unread; /* when it could not be read, or 0 */
    ngx_uint_t              dirty;  /* unsigned dirty:1 */
    ngx_str_t               name;
};


typedef struct {
    ngx_http_hype_spool_t  *spool;
    ngx_fd_t                fds[NGX_HTTP_HYPE_SPOOL_SYNC_FDS];
    ngx_uint_t              n;
    ngx_err_t               err;
} ngx_http_hype_spool_sync_t;


static ngx_http_hype_segment_t *ngx_http_hype_spool_open(
    ngx_http_hype_spool_t *spool, ngx_str_t *name, int flags);
static ngx_int_t ngx_http_hype_spool_new_tail(ngx_http_hype_spool_t *spool);
static void ngx_http_hype_spool_leave_tail(ngx_http_hype_spool_t *spool);
static void ngx_http_hype_spool_remove(ngx_http_hype_spool_t *spool,
    ngx_http_hype_segment_t *segment);
static void ngx_http_hype_spool_gone(ngx_http_hype_spool_t *spool,
    ngx_http_hype_segment_t *segment);
static void ngx_http_hype_spool_release(ngx_http_hype_spool_t *spool,
    ngx_http_hype_segment_t *segment);
static ngx_int_t ngx_http_hype_spool_write(ngx_http_hype_spool_t *spool,
    u_char *p, size_t size);
static ngx_uint_t ngx_http_hype_spool_full(ngx_http_hype_spool_t *spool,
    size_t size);
static void ngx_http_hype_spool_fail(ngx_http_hype_spool_t *spool,
    ngx_err_t err, const char *what, ngx_str_t *name);
static void ngx_http_hype_spool_log(ngx_http_hype_spool_t *spool,
    ngx_err_t err, const char *what, ngx_str_t *name);
static ngx_int_t ngx_http_hype_spool_flush(ngx_http_hype_spool_t *spool);
static void ngx_http_hype_spool_lose(ngx_http_hype_spool_t *spool);
static void ngx_http_hype_spool_flush_handler(ngx_event_t *ev);
static void ngx_http_hype_spool_settle(ngx_http_hype_spool_t *spool,
    ngx_queue_t *tickets);
static void ngx_http_hype_spool_sync(ngx_http_hype_spool_t *spool);
static void ngx_http_hype_spool_sync_thread(void *data, ngx_log_t *log);
static void ngx_http_hype_spool_sync_done(ngx_event_t *ev);
static void ngx_http_hype_spool_sync_handler(ngx_event_t *ev);
static ngx_int_t ngx_http_hype_spool_read_segment(
    ngx_http_hype_spool_t *spool, ngx_http_hype_segment_t *segment,
    ngx_uint_t max, ngx_int_t (*handler)(void *data, u_char *record,
    size_t size));
static void ngx_http_hype_spool_unread(ngx_http_hype_spool_t *spool,
    ngx_http_hype_segment_t *segment);
static ngx_uint_t ngx_http_hype_spool_torn(u_char *p, u_char *last);
static ngx_uint_t ngx_http_hype_spool_blank(
    ngx_http_hype_segment_t *segment, off_t offset);
static ngx_http_hype_segment_t *ngx_http_hype_spool_oldest(
    ngx_http_hype_spool_t *spool);
static void ngx_http_hype_spool_give_up(ngx_http_hype_spool_t *spool,
    ngx_http_hype_segment_t *segment, const char *reason);
static void ngx_http_hype_spool_tidy_handler(ngx_event_t *ev);
static void ngx_http_hype_spool_scan(ngx_http_hype_spool_t *spool);
static ngx_int_t ngx_http_hype_spool_adopt(ngx_http_hype_spool_t *spool,
    ngx_str_t *name);


static ngx_str_t  ngx_http_hype_spool_suffix = ngx_string(".spool");
static ngx_str_t  ngx_http_hype_spool_thread_pool = ngx_string("default");


ngx_int_t
ngx_http_hype_spool_init(ngx_http_hype_spool_t *spool, ngx_cycle_t *cycle)
{
    ngx_http_hype_spool_sync_t  *ctx;

    ngx_queue_init(&spool->segments);
    ngx_queue_init(&spool->tickets);
    ngx_queue_init(&spool->written);
    ngx_queue_init(&spool->syncing);

    if (spool->conf->path == NULL) {
        return NGX_OK;
    }

    spool->task = ngx_thread_task_alloc(cycle->pool,
                                        sizeof(ngx_http_hype_spool_sync_t));
    if (spool->task == NULL) {
        return NGX_ERROR;
    }

    ctx = spool->task->ctx;
    ctx->spool = spool;

    spool->task->handler = ngx_http_hype_spool_sync_thread;
    spool->task->event.handler = ngx_http_hype_spool_sync_done;
    spool->task->event.data = ctx;
    spool->task->event.log = spool->log;

    spool->dummy.fd = (ngx_socket_t) -1;
    spool->dummy.data = spool;

    spool->flush.handler = ngx_http_hype_spool_flush_handler;
    spool->flush.data = &spool->dummy;
    spool->flush.log = spool->log;

    spool->sync.handler = ngx_http_hype_spool_sync_handler;
    spool->sync.data = &spool->dummy;
    spool->sync.log = spool->log;
    spool->sync.cancelable = 1;

    spool->tidy.handler = ngx_http_hype_spool_tidy_handler;
    spool->tidy.data = &spool->dummy;
    spool->tidy.log = spool->log;
    spool->tidy.cancelable = 1;

    ngx_http_hype_spool_scan(spool);

    ngx_add_timer(&spool->tidy, NGX_HTTP_HYPE_SPOOL_TIDY);

    return NGX_OK;
}


void
ngx_http_hype_spool_close(ngx_http_hype_spool_t *spool)
{
    ngx_queue_t              *q;
    ngx_http_hype_segment_t  *segment;

    if (spool->conf->path == NULL) {
        return;
    }

    (void) ngx_http_hype_spool_flush(spool);

    while (!ngx_queue_empty(&spool->segments)) {
        q = ngx_queue_head(&spool->segments);
        segment = ngx_queue_data(q, ngx_http_hype_segment_t, queue);

        if (segment->read == segment->size) {
            ngx_http_hype_spool_remove(spool, segment);
            continue;
        }

        if (segment->dirty
            && spool->conf->sync != NGX_HTTP_HYPE_SPOOL_SYNC_OFF)
        {
            (void) fsync(segment->fd);
        }

        ngx_http_hype_spool_release(spool, segment);
    }

    if (spool->buf) {
        ngx_free(spool->buf);
        spool->buf = NULL;
        spool->size = 0;
        spool->used = 0;
    }
}


static ngx_http_hype_segment_t *
ngx_http_hype_spool_open(ngx_http_hype_spool_t *spool, ngx_str_t *name,
    int flags)
{
    u_char                   *p;
    ngx_str_t                *path;
    ngx_file_info_t           fi;
    ngx_http_hype_segment_t  *segment;

    path = &spool->conf->path->name;

    segment = ngx_calloc(sizeof(ngx_http_hype_segment_t)
                         + path->len + 1 + name->len + 1, spool->log);
    if (segment == NULL) {
        return NULL;
    }

    p = (u_char *) segment + sizeof(ngx_http_hype_segment_t);

    segment->name.data = p;
    segment->name.len = ngx_sprintf(p, "%V/%V%Z", path, name) - p - 1;

    segment->fd = open((char *) segment->name.data, O_RDWR|O_APPEND|flags,
                       0600);

    if (segment->fd == NGX_INVALID_FILE) {

        if (flags) {
            ngx_http_hype_spool_fail(spool, ngx_errno, "create",
                                     &segment->name);

        } else if (ngx_errno != NGX_ENOENT) {
            ngx_http_hype_spool_log(spool, ngx_errno, "open",
                                    &segment->name);
        }

        ngx_free(segment);
        return NULL;
    }

    /* another worker may have it, or may just have removed it */

    if (flock(segment->fd, LOCK_EX|LOCK_NB) == -1
        || ngx_fd_info(segment->fd, &fi) == NGX_FILE_ERROR
        || fi.st_nlink == 0)
    {
        (void) ngx_close_file(segment->fd);
        ngx_free(segment);
        return NULL;
    }

    segment->size = ngx_file_size(&fi);

    return segment;
}


static ngx_int_t
ngx_http_hype_spool_new_tail(ngx_http_hype_spool_t *spool)
{
    u_char                    text[NGX_INT64_LEN * 3 + sizeof(".spool")];
    ngx_str_t                 name;
    ngx_uint_t                i;
    ngx_time_t               *tp;
    ngx_http_hype_segment_t  *segment;

    tp = ngx_timeofday();

    segment = NULL;

    /*
     * another worker may take a file that is new for one that was left empty,
     * and remove it
     */

    for (i = 0; segment == NULL && i < NGX_HTTP_HYPE_SPOOL_TRIES; i++) {

        /* in the order of their time, for who adopts them */

        name.data = text;
        name.len = ngx_sprintf(text, "%012xL-%P-%ui%V",
                               (uint64_t) tp->sec * 1000 + tp->msec, ngx_pid,
                               spool->serial++, &ngx_http_hype_spool_suffix)
                   - text;

        segment = ngx_http_hype_spool_open(spool, &name, O_CREAT|O_EXCL);
    }

    if (segment == NULL) {
        return NGX_ERROR;
    }

    ngx_http_hype_count(spool, NGX_HTTP_HYPE_SPOOL_FILES, 1);

    ngx_queue_insert_tail(&spool->segments, &segment->queue);
    spool->tail = segment;

    return NGX_OK;
}


/* nothing more is written to it; it may have been drained meanwhile */

static void
ngx_http_hype_spool_leave_tail(ngx_http_hype_spool_t *spool)
{
    ngx_http_hype_segment_t  *tail;

    tail = spool->tail;
    spool->tail = NULL;

    if (tail && tail->read == tail->size) {
        ngx_http_hype_spool_remove(spool, tail);
    }
}


static void
ngx_http_hype_spool_remove(ngx_http_hype_spool_t *spool,
    ngx_http_hype_segment_t *segment)
{
    if (ngx_delete_file(segment->name.data) == NGX_FILE_ERROR) {
        ngx_http_hype_spool_log(spool, ngx_errno, "remove", &segment->name);

        /* or it would be read again and again */

        if (ftruncate(segment->fd, 0) == -1) {
            ngx_http_hype_spool_log(spool, ngx_errno, "truncate",
                                    &segment->name);
        }
    }

    ngx_http_hype_spool_gone(spool, segment);
}


/* it is no spool file any more */

static void
ngx_http_hype_spool_gone(ngx_http_hype_spool_t *spool,
    ngx_http_hype_segment_t *segment)
{
    ngx_http_hype_count(spool, NGX_HTTP_HYPE_SPOOL_BYTES, -segment->size);
    ngx_http_hype_count(spool, NGX_HTTP_HYPE_SPOOL_FILES, -1);

    ngx_http_hype_spool_release(spool, segment);
}


static void
ngx_http_hype_spool_release(ngx_http_hype_spool_t *spool,
    ngx_http_hype_segment_t *segment)
{
    if (spool->tail == segment) {
        spool->tail = NULL;
    }

    if (spool->reading == segment) {
        spool->reading = NULL;
        spool->nread = 0;
    }

    spool->worker->spool -= segment->size - segment->read;

    ngx_queue_remove(&segment->queue);

    (void) ngx_close_file(segment->fd);

    ngx_free(segment);
}


u_char *
ngx_http_hype_spool_reserve(ngx_http_hype_spool_t *spool, size_t size)
{
    u_char  *p;
    size_t   room;

    if (ngx_http_hype_spool_full(spool, size)) {
        return NULL;
    }

    if (spool->used + size > spool->size) {

        room = ngx_max(NGX_HTTP_HYPE_SPOOL_BUFFER,
                       ngx_max(spool->used + size, spool->size * 2));

        p = ngx_alloc(room, spool->log);
        if (p == NULL) {
            return NULL;
        }

        if (spool->buf) {
            ngx_memcpy(p, spool->buf, spool->used);
            ngx_free(spool->buf);
        }

        spool->buf = p;
        spool->size = room;
    }

    return spool->buf + spool->used;
}


void
ngx_http_hype_spool_commit(ngx_http_hype_spool_t *spool, size_t size,
    ngx_http_hype_ticket_t *ticket)
{
    ngx_http_hype_record_seal(spool->buf + spool->used);

    spool->used += size;
    spool->records++;

    ticket->status = NGX_HTTP_HYPE_TICKET_WAITS;
    ticket->spooling = 1;
    ngx_queue_insert_tail(&spool->tickets, &ticket->queue);

    ngx_post_event(&spool->flush, &ngx_posted_events);
}


ngx_int_t
ngx_http_hype_spool_append(ngx_http_hype_spool_t *spool, u_char *record,
    size_t size)
{
    if (ngx_http_hype_spool_full(spool, size)
        || ngx_http_hype_spool_flush(spool) != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_http_hype_record_seal(record);

    if (ngx_http_hype_spool_write(spool, record, size) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_http_hype_count(spool, NGX_HTTP_HYPE_SPOOL_RECORDS, 1);

    ngx_http_hype_spool_sync(spool);

    spool->wake(spool->data);

    return NGX_OK;
}


static ngx_uint_t
ngx_http_hype_spool_full(ngx_http_hype_spool_t *spool, size_t size)
{
    off_t  total;

    if (spool->conf->path == NULL) {
        return 1;
    }

    if (spool->failed
        && ngx_current_msec - spool->failed < NGX_HTTP_HYPE_SPOOL_RETRY)
    {
        return 1;
    }

    total = spool->counters[NGX_HTTP_HYPE_SPOOL_BYTES];

    return total + (off_t) (spool->used + size) > spool->conf->max_size;
}


/* all or nothing, so that the file has no torn record but at a crash */

static ngx_int_t
ngx_http_hype_spool_write(ngx_http_hype_spool_t *spool, u_char *p,
    size_t size)
{
    off_t                     full;
    ssize_t                   n;
    ngx_err_t                 err;
    ngx_http_hype_segment_t  *tail;

    tail = spool->tail;

    /* each file is kept open: there must not be too many of them */

    full = ngx_max(NGX_HTTP_HYPE_SPOOL_SEGMENT,
                   spool->conf->max_size / NGX_HTTP_HYPE_SPOOL_OPEN);

    if (tail && tail->size >= full) {
        ngx_http_hype_spool_leave_tail(spool);
    }

    if (spool->tail == NULL
        && ngx_http_hype_spool_new_tail(spool) != NGX_OK)
    {
        return NGX_ERROR;
    }

    tail = spool->tail;

    n = write(tail->fd, p, size);

    if (n != (ssize_t) size) {
        err = (n == -1) ? ngx_errno : NGX_ENOSPC;

        ngx_http_hype_spool_fail(spool, err, "write", &tail->name);

        if (ftruncate(tail->fd, tail->size) == -1) {

            /* its end may be torn: nothing must come behind it */

            ngx_http_hype_spool_leave_tail(spool);
        }

        return NGX_ERROR;
    }

    tail->size += size;
    tail->dirty = 1;
    spool->worker->spool += size;

    ngx_log_debug2(NGX_LOG_DEBUG_HTTP, spool->log, 0,
                   "http hype spooled %uz bytes to \"%V\"", size,
                   &tail->name);

    ngx_http_hype_count(spool, NGX_HTTP_HYPE_SPOOL_BYTES, size);

    if (spool->failed) {
        ngx_log_error(NGX_LOG_NOTICE, spool->log, 0,
                      "hype: the spool works again, after %ui errors",
                      spool->errors);
        spool->failed = 0;
        spool->errors = 0;
        spool->logged = 0;
    }

    return NGX_OK;
}


/* records can't be written for now */

static void
ngx_http_hype_spool_fail(ngx_http_hype_spool_t *spool, ngx_err_t err,
    const char *what, ngx_str_t *name)
{
    spool->failed = ngx_current_msec ? ngx_current_msec : 1;

    ngx_http_hype_spool_log(spool, err, what, name);
}


static void
ngx_http_hype_spool_log(ngx_http_hype_spool_t *spool, ngx_err_t err,
    const char *what, ngx_str_t *name)
{
    if (spool->errors++
        && ngx_current_msec - spool->logged < NGX_HTTP_HYPE_SPOOL_LOG)
    {
        return;
    }

    spool->logged = ngx_current_msec;

    ngx_log_error(NGX_LOG_CRIT, spool->log, err,
                  "hype: spool: %s \"%V\" failed (%ui errors)",
                  what, name, spool->errors);
}


static ngx_int_t
ngx_http_hype_spool_flush(ngx_http_hype_spool_t *spool)
{
    ngx_queue_t  *q;

    if (spool->used == 0) {
        return NGX_OK;
    }

    if (ngx_http_hype_spool_write(spool, spool->buf, spool->used) != NGX_OK) {
        ngx_http_hype_spool_lose(spool);
        return NGX_ERROR;
    }

    ngx_http_hype_count(spool, NGX_HTTP_HYPE_SPOOL_RECORDS, spool->records);

    spool->used = 0;
    spool->records = 0;

    while (!ngx_queue_empty(&spool->tickets)) {
        q = ngx_queue_head(&spool->tickets);
        ngx_queue_remove(q);
        ngx_queue_insert_tail(&spool->written, q);
    }

    if (spool->conf->sync != NGX_HTTP_HYPE_SPOOL_SYNC_ALWAYS) {
        ngx_http_hype_spool_settle(spool, &spool->written);
    }

    ngx_http_hype_spool_sync(spool);

    return NGX_OK;
}


/* the records are where they are not safe: their owner has to keep them */

static void
ngx_http_hype_spool_lose(ngx_http_hype_spool_t *spool)
{
    u_char  *p, *last;
    size_t   size;

    last = spool->buf + spool->used;
    spool->used = 0;
    spool->records = 0;

    for (p = spool->buf; p < last; p += size) {
        size = ngx_http_hype_record_length(p);

        spool->lost(spool->data, p, size);
    }

    ngx_http_hype_spool_settle(spool, &spool->tickets);
}


static void
ngx_http_hype_spool_flush_handler(ngx_event_t *ev)
{
    ngx_connection_t       *dummy;
    ngx_http_hype_spool_t  *spool;

    dummy = ev->data;
    spool = dummy->data;

    if (ngx_http_hype_spool_flush(spool) == NGX_OK) {
        spool->wake(spool->data);
    }
}


static void
ngx_http_hype_spool_settle(ngx_http_hype_spool_t *spool,
    ngx_queue_t *tickets)
{
    ngx_queue_t             *q;
    ngx_http_hype_ticket_t  *ticket;

    while (!ngx_queue_empty(tickets)) {
        q = ngx_queue_head(tickets);
        ticket = ngx_queue_data(q, ngx_http_hype_ticket_t, queue);

        ngx_queue_remove(q);

        ticket->spooling = 0;
        ticket->status = NGX_HTTP_HYPE_TICKET_SPOOLED;
        ngx_http_hype_park_wake(spool->park, ticket->parked);
    }
}


static void
ngx_http_hype_spool_sync(ngx_http_hype_spool_t *spool)
{
    ngx_fd_t                     fd;
    ngx_queue_t                 *q;
    ngx_thread_pool_t           *tp;
    ngx_http_hype_segment_t     *segment;
    ngx_http_hype_spool_sync_t  *ctx;

    if (spool->closing) {
        return;
    }

    switch (spool->conf->sync) {

    case NGX_HTTP_HYPE_SPOOL_SYNC_OFF:
        return;

    case NGX_HTTP_HYPE_SPOOL_SYNC_ALWAYS:
        break;

    default:
        if (!spool->syncs) {
            if (!spool->sync.timer_set) {
                ngx_add_timer(&spool->sync, spool->conf->sync);
            }

            return;
        }
    }

    spool->syncs = 0;

    if (spool->task->event.active) {
        return;
    }

    ctx = spool->task->ctx;
    ctx->n = 0;

    for (q = ngx_queue_head(&spool->segments);
         q != ngx_queue_sentinel(&spool->segments)
         && ctx->n < NGX_HTTP_HYPE_SPOOL_SYNC_FDS - 1;
         q = ngx_queue_next(q))
    {
        segment = ngx_queue_data(q, ngx_http_hype_segment_t, queue);

        if (!segment->dirty) {
            continue;
        }

        /* the file may be done and closed meanwhile */

        fd = dup(segment->fd);

        if (fd != NGX_INVALID_FILE) {
            segment->dirty = 0;
            ctx->fds[ctx->n++] = fd;
        }
    }

    if (ctx->n == 0 && ngx_queue_empty(&spool->written)) {
        return;
    }

    if (ctx->n) {
        fd = open((char *) spool->conf->path->name.data, O_RDONLY);

        if (fd != NGX_INVALID_FILE) {
            ctx->fds[ctx->n++] = fd;
        }
    }

    while (!ngx_queue_empty(&spool->written)) {
        q = ngx_queue_head(&spool->written);
        ngx_queue_remove(q);
        ngx_queue_insert_tail(&spool->syncing, q);
    }

    tp = ngx_thread_pool_get((ngx_cycle_t *) ngx_cycle,
                             &ngx_http_hype_spool_thread_pool);

    if (tp == NULL || ngx_thread_task_post(tp, spool->task) != NGX_OK) {
        ngx_http_hype_spool_sync_thread(ctx, spool->log);
        ngx_http_hype_spool_sync_done(&spool->task->event);
    }
}


static void
ngx_http_hype_spool_sync_thread(void *data, ngx_log_t *log)
{
    ngx_http_hype_spool_sync_t *ctx = data;

    ngx_uint_t  i;

    ctx->err = 0;

    for (i = 0; i < ctx->n; i++) {

        if (fsync(ctx->fds[i]) == -1) {
            ctx->err = ngx_errno;
        }

        (void) close(ctx->fds[i]);
    }
}


static void
ngx_http_hype_spool_sync_done(ngx_event_t *ev)
{
    ngx_http_hype_spool_sync_t *ctx = ev->data;

    ngx_http_hype_spool_t  *spool;

    spool = ctx->spool;

    if (ctx->err) {
        ngx_http_hype_spool_fail(spool, ctx->err, "fsync",
                                 &spool->conf->path->name);

        /*
         * what was not written is not tried again by the kernel: what comes
         * must not be behind it
         */

        ngx_http_hype_spool_leave_tail(spool);
    }

    ngx_http_hype_spool_settle(spool, &spool->syncing);

    /* what was written meanwhile */

    ngx_http_hype_spool_sync(spool);
}


static void
ngx_http_hype_spool_sync_handler(ngx_event_t *ev)
{
    ngx_connection_t       *dummy;
    ngx_http_hype_spool_t  *spool;

    dummy = ev->data;
    spool = dummy->data;

    spool->syncs = 1;

    ngx_http_hype_spool_sync(spool);
}


ngx_uint_t
ngx_http_hype_spool_read(ngx_http_hype_spool_t *spool, ngx_uint_t max,
    ngx_int_t (*handler)(void *data, u_char *record, size_t size))
{
    ngx_int_t                 n;
    ngx_http_hype_segment_t  *segment;

    do {
        segment = ngx_http_hype_spool_oldest(spool);

        if (segment == NULL && spool->more) {
            ngx_http_hype_spool_scan(spool);
            segment = ngx_http_hype_spool_oldest(spool);
        }

        if (segment == NULL) {
            return 0;
        }

        n = ngx_http_hype_spool_read_segment(spool, segment, max, handler);

    } while (n == NGX_DECLINED);

    return n;
}


/* the number of records, or NGX_DECLINED if another file is to be read */

static ngx_int_t
ngx_http_hype_spool_read_segment(ngx_http_hype_spool_t *spool,
    ngx_http_hype_segment_t *segment, ngx_uint_t max,
    ngx_int_t (*handler)(void *data, u_char *record, size_t size))
{
    u_char      *p, *last, *buf;
    size_t       len, room;
    ssize_t      size;
    ngx_int_t    rc;
    ngx_uint_t   n, torn;

    len = 0;

    room = ngx_min(segment->size - segment->read, NGX_HTTP_HYPE_SPOOL_CHUNK);

again:

    buf = ngx_alloc(room, spool->log);
    if (buf == NULL) {
        return 0;
    }

    size = pread(segment->fd, buf, room, segment->read);

    if (size == -1) {
        ngx_http_hype_spool_unread(spool, segment);
        ngx_free(buf);
        return NGX_DECLINED;
    }

    segment->unread = 0;
    spool->reading = segment;
    spool->nread = 0;

    n = 0;
    p = buf;
    last = buf + size;
    rc = size ? NGX_OK : NGX_AGAIN;
    torn = 0;

    while (n < max && p < last) {

        rc = ngx_http_hype_record_check(p, last, &len);

        if (rc != NGX_OK || handler(spool->data, p, len) != NGX_OK) {
            break;
        }

        p += len;
        n++;
    }

    spool->nread = p - buf;

    if (n == 0 && rc == NGX_AGAIN) {

        if (len > room && segment->read + (off_t) len <= segment->size) {

            /* a long record */

            ngx_free(buf);
            room = len;
            goto again;
        }

        if (pread(segment->fd, buf, 1, segment->read + size) == -1) {
            ngx_http_hype_spool_unread(spool, segment);
            ngx_free(buf);
            return NGX_DECLINED;
        }

        torn = ngx_http_hype_spool_torn(p, last);

    } else if (n == 0 && rc == NGX_ERROR) {
        torn = ngx_http_hype_spool_blank(segment,
                                         segment->read + (len ? len - 1 : 0));
    }

    ngx_free(buf);

    if (n || rc == NGX_OK) {
        return n;
    }

    if (torn) {
        ngx_log_error(NGX_LOG_WARN, spool->log, 0,
                      "hype: the end of spool file \"%V\", cut short by a "
                      "crash, is left out: %O bytes at %O",
                      &segment->name, segment->size - segment->read,
                      segment->read);

        spool->nread = segment->size - segment->read;
        ngx_http_hype_spool_advance(spool);

    } else {
        ngx_http_hype_spool_give_up(spool, segment,
                                    (rc == NGX_DECLINED) ? "is of a version "
                                    "that is not known" : "is damaged");
    }

    return NGX_DECLINED;
}


/* what is behind a file that can't be read need not wait for it */

static void
ngx_http_hype_spool_unread(ngx_http_hype_spool_t *spool,
    ngx_http_hype_segment_t *segment)
{
    ngx_http_hype_spool_log(spool, ngx_errno, "read", &segment->name);

    segment->unread = ngx_current_msec ? ngx_current_msec : 1;

    spool->reading = NULL;
    spool->nread = 0;
}


/*
 * Whether a record is cut short, rather than whole with a wrong length: then
 * it ends where the file does, or others come behind it.
 */

static ngx_uint_t
ngx_http_hype_spool_torn(u_char *p, u_char *last)
{
    size_t  len;

    if (last - p < NGX_HTTP_HYPE_RECORD_HEADER) {
        return 1;
    }

    (void) ngx_http_hype_put32(p, (uint32_t) (last - p));

    for ( /* void */ ; last - p >= NGX_HTTP_HYPE_RECORD_HEADER; p++) {
        if (ngx_http_hype_record_check(p, last, &len) == NGX_OK) {
            return 0;
        }
    }

    return 1;
}


/*
 * Whether all is zeros from there on.  After a crash of the machine a file may
 * have its size, but not yet its bytes; and no record ends with a zero.
 */

static ngx_uint_t
ngx_http_hype_spool_blank(ngx_http_hype_segment_t *segment, off_t offset)
{
    ssize_t  i, n;
    u_char   buf[4096];

    while (offset < segment->size) {

        n = pread(segment->fd, buf, sizeof(buf), offset);

        if (n <= 0) {
            return 0;
        }

        for (i = 0; i < n; i++) {
            if (buf[i] != '\0') {
                return 0;
            }
        }

        offset += n;
    }

    return 1;
}


void
ngx_http_hype_spool_advance(ngx_http_hype_spool_t *spool)
{
    ngx_http_hype_segment_t  *segment;

    segment = spool->reading;

    if (segment == NULL) {
        return;
    }

    segment->read += spool->nread;
    spool->worker->spool -= spool->nread;

    spool->reading = NULL;
    spool->nread = 0;

    if (segment->read == segment->size && segment != spool->tail) {
        ngx_http_hype_spool_remove(spool, segment);
    }
}


static ngx_http_hype_segment_t *
ngx_http_hype_spool_oldest(ngx_http_hype_spool_t *spool)
{
    ngx_queue_t              *q;
    ngx_http_hype_segment_t  *segment;

    for (q = ngx_queue_head(&spool->segments);
         q != ngx_queue_sentinel(&spool->segments);
         q = ngx_queue_next(q))
    {
        segment = ngx_queue_data(q, ngx_http_hype_segment_t, queue);

        if (segment->read == segment->size) {
            continue;
        }

        if (segment->unread
            && ngx_current_msec - segment->unread
               < NGX_HTTP_HYPE_SPOOL_REREAD)
        {
            continue;
        }

        return segment;
    }

    return NULL;
}


/* it is kept for a person to look at */

static void
ngx_http_hype_spool_give_up(ngx_http_hype_spool_t *spool,
    ngx_http_hype_segment_t *segment, const char *reason)
{
    u_char  *name;

    ngx_log_error(NGX_LOG_ALERT, spool->log, 0,
                  "hype: spool file \"%V\" %s at byte %O of %O, and is kept "
                  "as \"%V.damaged\"", &segment->name, reason,
                  segment->read, segment->size, &segment->name);

    name = ngx_alloc(segment->name.len + sizeof(".damaged"), spool->log);

    if (name) {
        ngx_sprintf(name, "%V.damaged%Z", &segment->name);

        if (ngx_rename_file(segment->name.data, name) == NGX_FILE_ERROR) {
            ngx_log_error(NGX_LOG_ALERT, spool->log, ngx_errno,
                          "hype: " ngx_rename_file_n " \"%V\" failed",
                          &segment->name);
        }

        ngx_free(name);
    }

    ngx_http_hype_spool_gone(spool, segment);
}


static void
ngx_http_hype_spool_tidy_handler(ngx_event_t *ev)
{
    ngx_connection_t       *dummy;
    ngx_http_hype_spool_t  *spool;

    dummy = ev->data;
    spool = dummy->data;

    if (ngx_exiting) {

        /* for workers that stay; this one may be there for hours */

        if (spool->reading == NULL) {
            ngx_http_hype_spool_close(spool);
        }

        ngx_add_timer(ev, NGX_HTTP_HYPE_SPOOL_TIDY);
        return;
    }

    if (spool->tail && spool->tail->read == spool->tail->size) {
        ngx_http_hype_spool_leave_tail(spool);
    }

    ngx_http_hype_spool_scan(spool);

    if (ngx_http_hype_spool_oldest(spool)) {
        spool->wake(spool->data);
    }

    ngx_add_timer(ev, NGX_HTTP_HYPE_SPOOL_TIDY);
}


/* counts the bytes that are in the folder, and adopts what nobody holds */

static void
ngx_http_hype_spool_scan(ngx_http_hype_spool_t *spool)
{
    off_t         total;
    u_char       *path;
    ngx_dir_t     dir;
    ngx_str_t    *folder, name;
    ngx_uint_t    n, files;
    ngx_queue_t  *q;

    folder = &spool->conf->path->name;
    spool->more = 0;
    n = 0;

    for (q = ngx_queue_head(&spool->segments);
         q != ngx_queue_sentinel(&spool->segments);
         q = ngx_queue_next(q))
    {
        n++;
    }

    if (ngx_open_dir(folder, &dir) == NGX_ERROR) {
        ngx_http_hype_spool_fail(spool, ngx_errno, ngx_open_dir_n, folder);
        return;
    }

    total = 0;
    files = 0;

    while (ngx_read_dir(&dir) == NGX_OK) {

        name.data = ngx_de_name(&dir);
        name.len = ngx_de_namelen(&dir);

        if (name.len <= ngx_http_hype_spool_suffix.len
            || ngx_strcmp(name.data + name.len
                          - ngx_http_hype_spool_suffix.len,
                          ngx_http_hype_spool_suffix.data)
               != 0)
        {
            continue;
        }

        if (n >= NGX_HTTP_HYPE_SPOOL_OPEN) {
            spool->more = 1;

        } else if (ngx_http_hype_spool_adopt(spool, &name) == NGX_OK) {
            n++;
        }

        path = ngx_alloc(folder->len + 1 + name.len + 1, spool->log);
        if (path == NULL) {
            break;
        }

        ngx_sprintf(path, "%V/%V%Z", folder, &name);

        if (ngx_de_info(path, &dir) != NGX_FILE_ERROR) {
            total += ngx_de_size(&dir);
            files++;
        }

        ngx_free(path);
    }

    ngx_close_dir(&dir);

    spool->counters[NGX_HTTP_HYPE_SPOOL_BYTES] = total;
    spool->counters[NGX_HTTP_HYPE_SPOOL_FILES] = files;
}


static ngx_int_t
ngx_http_hype_spool_adopt(ngx_http_hype_spool_t *spool, ngx_str_t *name)
{
    ngx_queue_t              *q;
    ngx_http_hype_segment_t  *segment, *next;

    segment = ngx_http_hype_spool_open(spool, name, 0);
    if (segment == NULL) {
        return NGX_DECLINED;
    }

    /* before those of a later time; the tail is the latest of all */

    for (q = ngx_queue_head(&spool->segments);
         q != ngx_queue_sentinel(&spool->segments);
         q = ngx_queue_next(q))
    {
        next = ngx_queue_data(q, ngx_http_hype_segment_t, queue);

        if (ngx_strcmp(next->name.data, segment->name.data) > 0) {
            break;
        }
    }

    ngx_queue_insert_tail(q, &segment->queue);

    spool->worker->spool += segment->size;

    if (segment->size == 0) {
        ngx_http_hype_spool_remove(spool, segment);
        return NGX_DECLINED;
    }

    ngx_log_error(NGX_LOG_NOTICE, spool->log, 0,
                  "hype: spool file \"%V\", %O bytes, is adopted",
                  &segment->name, segment->size);

    return NGX_OK;
}


ngx_int_t
ngx_http_hype_spool_set_aside(ngx_http_hype_spool_t *spool, u_char *line,
    size_t len)
{
    u_char           *name;
    ssize_t           n;
    ngx_fd_t          fd;
    ngx_str_t        *folder;
    ngx_file_info_t   fi;

    if (spool->conf->path == NULL) {
        return NGX_DECLINED;
    }

    folder = &spool->conf->path->name;

    name = ngx_alloc(folder->len + sizeof("/rejected.sql"), spool->log);
    if (name == NULL) {
        return NGX_ERROR;
    }

    ngx_sprintf(name, "%V/rejected.sql%Z", folder);

    fd = ngx_open_file(name, NGX_FILE_APPEND, NGX_FILE_CREATE_OR_OPEN, 0600);

    if (fd == NGX_INVALID_FILE) {
        ngx_http_hype_spool_log(spool, ngx_errno, "open rejected.sql in",
                                folder);
        ngx_free(name);
        return NGX_ERROR;
    }

    /* half a statement would spoil the next one, of another worker, too */

    if (flock(fd, LOCK_EX) == -1
        || ngx_fd_info(fd, &fi) == NGX_FILE_ERROR)
    {
        n = -1;

    } else {
        n = write(fd, line, len);
    }

    if (n != (ssize_t) len) {
        ngx_http_hype_spool_log(spool, n == -1 ? ngx_errno : NGX_ENOSPC,
                                "write rejected.sql in", folder);

        if (n > 0 && ftruncate(fd, ngx_file_size(&fi)) == -1) {
            ngx_http_hype_spool_log(spool, ngx_errno,
                                    "truncate rejected.sql in", folder);
        }
    }

    (void) ngx_close_file(fd);
    ngx_free(name);

    return (n == (ssize_t) len) ? NGX_OK : NGX_ERROR;
}
