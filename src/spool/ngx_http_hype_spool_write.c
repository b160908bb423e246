
#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_http_hype_spool_files.h"


#define NGX_HTTP_HYPE_SPOOL_BUFFER     (64 * 1024)

/* milliseconds until a failing disk is tried again */
#define NGX_HTTP_HYPE_SPOOL_RETRY      1000


static ngx_int_t ngx_http_hype_spool_write(ngx_http_hype_spool_t *spool,
    u_char *p, size_t size);
static ngx_uint_t ngx_http_hype_spool_full(ngx_http_hype_spool_t *spool,
    size_t size);
static void ngx_http_hype_spool_lose(ngx_http_hype_spool_t *spool);
static void ngx_http_hype_spool_sync(ngx_http_hype_spool_t *spool);
static ngx_int_t ngx_http_hype_spool_collect(ngx_http_hype_spool_t *spool,
    ngx_http_hype_spool_sync_t *task);


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

        p = ngx_alloc(room, ngx_cycle->log);
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
    ngx_http_hype_wait_t *wait)
{
    ngx_http_hype_record_seal(spool->buf + spool->used);

    spool->used += size;
    spool->records++;

    ngx_http_hype_park(spool->park, wait, &spool->waits, NULL, NGX_DECLINED);

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
    off_t       more, own, total, max;
    ngx_uint_t  i;

    if (spool->conf->path == NULL) {
        return 1;
    }

    if (spool->failed
        && ngx_current_msec - spool->failed < NGX_HTTP_HYPE_SPOOL_RETRY)
    {
        return 1;
    }

    more = spool->used + size;
    own = spool->counters[NGX_HTTP_HYPE_SPOOL_BYTES + spool->stream];
    total = 0;

    for (i = 0; i < NGX_HTTP_HYPE_SPOOL_STREAMS; i++) {
        total += spool->counters[NGX_HTTP_HYPE_SPOOL_BYTES + i];
    }

    /* leaves room for rejected and dropped records */

    max = spool->conf->max_size
          - spool->conf->max_size / NGX_HTTP_HYPE_SPOOL_SET_ASIDE * 2;

    return total + more > max
           || own + more > ngx_http_hype_spool_part(spool, max);
}


/* all or nothing: only a crash leaves a torn record */

static ngx_int_t
ngx_http_hype_spool_write(ngx_http_hype_spool_t *spool, u_char *p,
    size_t size)
{
    off_t                        full;
    ssize_t                      n;
    ngx_err_t                    err;
    ngx_http_hype_spool_file_t  *tail;

    tail = spool->tail;

    /* there must not be too many files, as each is kept open */

    full = ngx_max(NGX_HTTP_HYPE_SPOOL_FILE_SIZE,
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

            /* its last record may be torn: nothing must come behind it */

            ngx_http_hype_spool_leave_tail(spool);
        }

        return NGX_ERROR;
    }

    tail->size += size;
    tail->dirty = 1;
    spool->worker->spool += size;

    ngx_log_debug2(NGX_LOG_DEBUG_HTTP, ngx_cycle->log, 0,
                   "http hype spooled %uz bytes to \"%V\"", size,
                   &tail->name);

    ngx_http_hype_count(spool, NGX_HTTP_HYPE_SPOOL_BYTES + spool->stream,
                        size);

    if (spool->failed) {
        ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                      "hype: the spool works again, after %ui errors",
                      spool->trouble.errors);
        spool->failed = 0;
        ngx_memzero(&spool->trouble, sizeof(ngx_http_hype_trouble_t));
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_hype_spool_flush(ngx_http_hype_spool_t *spool)
{
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

    ngx_queue_add(&spool->written, &spool->waits);
    ngx_queue_init(&spool->waits);

    if (spool->conf->sync != NGX_HTTP_HYPE_SPOOL_SYNC_ALWAYS) {
        ngx_http_hype_park_wake_all(spool->park, &spool->written, NGX_DECLINED);
    }

    ngx_http_hype_spool_sync(spool);

    return NGX_OK;
}


/* the records could not be written: their owner has to keep them */

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

    ngx_http_hype_park_wake_all(spool->park, &spool->waits, NGX_DECLINED);
}


void
ngx_http_hype_spool_flush_handler(ngx_event_t *ev)
{
    ngx_http_hype_spool_t  *spool;

    spool = ev->data;

    if (ngx_http_hype_spool_flush(spool) == NGX_OK) {
        spool->wake(spool->data);
    }
}


static void
ngx_http_hype_spool_sync(ngx_http_hype_spool_t *spool)
{
    ngx_int_t                    rc;
    ngx_http_hype_spool_sync_t  *task;

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

    task = spool->task;

    if (task->thread.running) {
        return;
    }

    rc = ngx_http_hype_spool_collect(spool, task);

    if (task->n == 0 && task->err == 0
        && ngx_queue_empty(&spool->written))
    {
        return;
    }

    if (rc == NGX_OK) {
        ngx_queue_add(&spool->syncing, &spool->written);
        ngx_queue_init(&spool->written);
    }

    if (ngx_http_hype_thread_start(spool->threads, &task->thread) != NGX_OK) {
        ngx_http_hype_spool_sync_thread(task);
        ngx_http_hype_spool_sync_done(task);
    }
}


/*
 * What is to be synced: some files and, for their names, the directory.
 * NGX_AGAIN: there are more.
 */

static ngx_int_t
ngx_http_hype_spool_collect(ngx_http_hype_spool_t *spool,
    ngx_http_hype_spool_sync_t *task)
{
    ngx_fd_t                     fd;
    ngx_int_t                    rc;
    ngx_queue_t                 *q;
    ngx_http_hype_spool_file_t  *file;

    task->n = 0;
    task->err = 0;
    rc = NGX_OK;

    for (q = ngx_queue_head(&spool->files);
         q != ngx_queue_sentinel(&spool->files);
         q = ngx_queue_next(q))
    {
        file = ngx_queue_data(q, ngx_http_hype_spool_file_t, queue);

        if (!file->dirty) {
            continue;
        }

        if (task->n == NGX_HTTP_HYPE_SPOOL_SYNC_FDS - 1) {
            rc = NGX_AGAIN;
            break;
        }

        file->dirty = 0;

        /* the file may be done and closed meanwhile */

        fd = dup(file->fd);

        if (fd != NGX_INVALID_FILE) {
            task->fds[task->n++] = fd;

        } else if (fsync(file->fd) == -1) {

            /* there was no descriptor left for the thread */

            task->err = ngx_errno;
        }
    }

    if (task->n) {
        fd = open((char *) spool->conf->path->name.data, O_RDONLY);

        if (fd != NGX_INVALID_FILE) {
            task->fds[task->n++] = fd;
        }
    }

    return rc;
}


void
ngx_http_hype_spool_sync_thread(void *data)
{
    ngx_http_hype_spool_sync_t *task = data;

    ngx_uint_t  i;

    for (i = 0; i < task->n; i++) {

        if (fsync(task->fds[i]) == -1) {
            task->err = ngx_errno;
        }

        (void) close(task->fds[i]);
    }
}


void
ngx_http_hype_spool_sync_done(void *data)
{
    ngx_http_hype_spool_sync_t *task = data;

    ngx_http_hype_spool_t  *spool;

    spool = task->spool;

    if (task->err) {
        ngx_http_hype_spool_fail(spool, task->err, "fsync",
                                 &spool->conf->path->name);

        /*
         * the kernel does not write the lost pages again: new records must not
         * come behind them
         */

        ngx_http_hype_spool_leave_tail(spool);
    }

    ngx_http_hype_park_wake_all(spool->park, &spool->syncing, NGX_DECLINED);

    /* what was written meanwhile */

    ngx_http_hype_spool_sync(spool);
}


void
ngx_http_hype_spool_sync_handler(ngx_event_t *ev)
{
    ngx_http_hype_spool_t  *spool;

    spool = ev->data;

    spool->syncs = 1;

    ngx_http_hype_spool_sync(spool);
}
