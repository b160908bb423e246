
#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_http_hype_spool_files.h"


/* bytes to read per record, about, and at most */
#define NGX_HTTP_HYPE_SPOOL_RECORD     512
#define NGX_HTTP_HYPE_SPOOL_CHUNK      (512 * 1024)

/* bytes that are looked at, at most, for a record behind a damaged one */
#define NGX_HTTP_HYPE_SPOOL_SEARCH     (16 * NGX_HTTP_HYPE_RECORD_MAX)

/* milliseconds until a file that can't be read is tried again */
#define NGX_HTTP_HYPE_SPOOL_REREAD     5000


static ngx_int_t ngx_http_hype_spool_read_file(
    ngx_http_hype_spool_t *spool, ngx_http_hype_spool_file_t *file,
    ngx_uint_t max, ngx_http_hype_spool_handler_pt handler);
static void ngx_http_hype_spool_broken(ngx_http_hype_spool_t *spool,
    ngx_http_hype_spool_file_t *file, u_char *buf, size_t size, ngx_int_t rc,
    size_t len);
static void ngx_http_hype_spool_unread(ngx_http_hype_spool_t *spool,
    ngx_http_hype_spool_file_t *file);
static void ngx_http_hype_spool_drained(ngx_http_hype_spool_t *spool,
    ngx_http_hype_spool_file_t *file);
static ngx_uint_t ngx_http_hype_spool_torn(u_char *p, u_char *last);
static ngx_uint_t ngx_http_hype_spool_blank(
    ngx_http_hype_spool_file_t *file, off_t offset);
static void ngx_http_hype_spool_give_up(ngx_http_hype_spool_t *spool,
    ngx_http_hype_spool_file_t *file, const char *reason);


ngx_uint_t
ngx_http_hype_spool_read(ngx_http_hype_spool_t *spool, ngx_uint_t max,
    ngx_http_hype_spool_handler_pt handler)
{
    ngx_int_t                    n;
    ngx_http_hype_spool_file_t  *file;

    do {
        file = ngx_http_hype_spool_oldest(spool);

        /* a file that nobody holds may be older */

        if (spool->more && (file == NULL || file->read == 0)) {
            ngx_http_hype_spool_scan(spool);
            file = ngx_http_hype_spool_oldest(spool);
        }

        if (file == NULL) {
            return 0;
        }

        n = ngx_http_hype_spool_read_file(spool, file, max, handler);

    } while (n == NGX_DECLINED);

    return n;
}


/* the number of records, or NGX_DECLINED if another file is to be read */

static ngx_int_t
ngx_http_hype_spool_read_file(ngx_http_hype_spool_t *spool,
    ngx_http_hype_spool_file_t *file, ngx_uint_t max,
    ngx_http_hype_spool_handler_pt handler)
{
    u_char      *p, *last, *buf;
    size_t       len, room;
    ssize_t      size;
    ngx_int_t    rc;
    ngx_uint_t   n;

    len = 0;

    room = ngx_min(max * NGX_HTTP_HYPE_SPOOL_RECORD,
                   NGX_HTTP_HYPE_SPOOL_CHUNK);
    room = ngx_min((off_t) room, file->size - file->read);

again:

    buf = ngx_alloc(room, ngx_cycle->log);
    if (buf == NULL) {
        return 0;
    }

    size = pread(file->fd, buf, room, file->read);

    if (size == -1) {
        ngx_http_hype_spool_unread(spool, file);
        ngx_free(buf);
        return NGX_DECLINED;
    }

    file->unread = 0;

    n = 0;
    p = buf;
    last = buf + size;
    rc = size ? NGX_OK : NGX_AGAIN;

    while (n < max && p < last) {

        rc = ngx_http_hype_record_check(p, last, &len);

        if (rc != NGX_OK
            || handler(spool->data, p, len, file->number, file->adopted)
               != NGX_OK)
        {
            break;
        }

        p += len;
        n++;
    }

    file->read += p - buf;
    file->held += n;
    spool->held += n;

    if (n == 0 && rc == NGX_AGAIN
        && len > room && (off_t) room < file->size - file->read)
    {
        /* a long record, or all that there is of it */

        ngx_free(buf);
        room = ngx_min((off_t) len, file->size - file->read);
        goto again;
    }

    if (n || rc == NGX_OK) {
        ngx_free(buf);
        return n;
    }

    ngx_http_hype_spool_broken(spool, file, buf, size, rc, len);

    ngx_free(buf);

    return NGX_DECLINED;
}


/*
 * What is left of the file does not begin with a record: "rc" and "len" are
 * what ngx_http_hype_record_check() says, "buf" has its next "size" bytes.
 */

static void
ngx_http_hype_spool_broken(ngx_http_hype_spool_t *spool,
    ngx_http_hype_spool_file_t *file, u_char *buf, size_t size, ngx_int_t rc,
    size_t len)
{
    ngx_uint_t  torn;

    torn = 0;

    if (rc == NGX_AGAIN) {

        if (pread(file->fd, buf, 1, file->read + size) == -1) {
            ngx_http_hype_spool_unread(spool, file);
            return;
        }

        torn = ngx_http_hype_spool_torn(buf, buf + size);

    } else if (rc == NGX_ERROR) {
        torn = ngx_http_hype_spool_blank(file,
                                         file->read + (len ? len - 1 : 0));
    }

    if (torn) {
        ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                      "hype: spool file \"%V\" was cut short by a crash, "
                      "skipped %O bytes at %O",
                      &file->name, file->size - file->read,
                      file->read);

        spool->worker->spool -= file->size - file->read;
        file->read = file->size;

        ngx_http_hype_spool_drained(spool, file);

    } else {
        ngx_http_hype_spool_give_up(spool, file,
                                    (rc == NGX_DECLINED) ? "is of a version "
                                    "that is not known" : "is damaged");
    }
}


/* other files do not wait for a file that can't be read */

static void
ngx_http_hype_spool_unread(ngx_http_hype_spool_t *spool,
    ngx_http_hype_spool_file_t *file)
{
    ngx_http_hype_spool_log(spool, ngx_errno, "read", &file->name);

    file->unread = ngx_current_msec ? ngx_current_msec : 1;
}


/*
 * Whether a record is cut short, rather than whole with a wrong length: then
 * it ends where the file does, or others come behind it.  "last" is the end of
 * the file.  A file that takes too long to search was not cut short by a crash
 * but changed, and is kept.
 */

static ngx_uint_t
ngx_http_hype_spool_torn(u_char *p, u_char *last)
{
    size_t  len, searched;

    if (last - p < NGX_HTTP_HYPE_RECORD_HEADER) {
        return 1;
    }

    searched = 0;

    (void) ngx_http_hype_put32(p, (uint32_t) (last - p));

    for ( /* void */ ; last - p >= NGX_HTTP_HYPE_RECORD_HEADER; p++) {
        if (ngx_http_hype_record_check(p, last, &len) == NGX_OK) {
            return 0;
        }

        if (len <= (size_t) (last - p)) {
            searched += len;
        }

        if (searched > NGX_HTTP_HYPE_SPOOL_SEARCH) {
            return 0;
        }
    }

    return 1;
}


/*
 * Whether there are only zeros from there on.  After a crash of the machine a
 * file may have its size, but not its bytes.  No record ends with a zero.
 */

static ngx_uint_t
ngx_http_hype_spool_blank(ngx_http_hype_spool_file_t *file, off_t offset)
{
    ssize_t  i, n;
    u_char   buf[4096];

    while (offset < file->size) {

        n = pread(file->fd, buf, sizeof(buf), offset);

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
ngx_http_hype_spool_done(ngx_http_hype_spool_t *spool, ngx_uint_t number,
    size_t size)
{
    ngx_queue_t                 *q;
    ngx_http_hype_spool_file_t  *file;

    ngx_http_hype_count(spool, NGX_HTTP_HYPE_SPOOL_REPLAYED, 1);

    spool->worker->spool -= size;
    spool->held--;

    for (q = ngx_queue_head(&spool->files);
         q != ngx_queue_sentinel(&spool->files);
         q = ngx_queue_next(q))
    {
        file = ngx_queue_data(q, ngx_http_hype_spool_file_t, queue);

        if (file->number == number) {
            file->held--;
            ngx_http_hype_spool_drained(spool, file);
            return;
        }
    }

    /* the file was damaged behind this record, and is kept for a person */
}


static void
ngx_http_hype_spool_drained(ngx_http_hype_spool_t *spool,
    ngx_http_hype_spool_file_t *file)
{
    if (file->read == file->size && file->held == 0
        && file != spool->tail)
    {
        ngx_http_hype_spool_remove(spool, file);
    }
}


ngx_uint_t
ngx_http_hype_spool_pending(ngx_http_hype_spool_t *spool)
{
    return ngx_http_hype_spool_oldest(spool) != NULL;
}


ngx_http_hype_spool_file_t *
ngx_http_hype_spool_oldest(ngx_http_hype_spool_t *spool)
{
    ngx_queue_t                 *q;
    ngx_http_hype_spool_file_t  *file;

    for (q = ngx_queue_head(&spool->files);
         q != ngx_queue_sentinel(&spool->files);
         q = ngx_queue_next(q))
    {
        file = ngx_queue_data(q, ngx_http_hype_spool_file_t, queue);

        if (file->read == file->size) {
            continue;
        }

        if (file->unread
            && ngx_current_msec - file->unread
               < NGX_HTTP_HYPE_SPOOL_REREAD)
        {
            continue;
        }

        return file;
    }

    return NULL;
}


/* it is kept for a person to look at */

static void
ngx_http_hype_spool_give_up(ngx_http_hype_spool_t *spool,
    ngx_http_hype_spool_file_t *file, const char *reason)
{
    u_char  *name;

    ngx_log_error(NGX_LOG_ALERT, ngx_cycle->log, 0,
                  "hype: spool file \"%V\" %s at byte %O of %O, and is kept "
                  "as \"%V.damaged\"", &file->name, reason,
                  file->read, file->size, &file->name);

    name = ngx_alloc(file->name.len + sizeof(".damaged"), ngx_cycle->log);

    if (name) {
        ngx_sprintf(name, "%V.damaged%Z", &file->name);

        if (ngx_rename_file(file->name.data, name) == NGX_FILE_ERROR) {
            ngx_log_error(NGX_LOG_ALERT, ngx_cycle->log, ngx_errno,
                          "hype: " ngx_rename_file_n " \"%V\" failed",
                          &file->name);
        }

        ngx_free(name);
    }

    ngx_http_hype_spool_gone(spool, file);
}
