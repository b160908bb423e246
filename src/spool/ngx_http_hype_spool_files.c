
#include <ngx_config.h>
#include <ngx_core.h>
#include <sys/file.h>
#include "ngx_http_hype_spool_files.h"


#define NGX_HTTP_HYPE_SPOOL_TRIES      8


static ngx_http_hype_spool_file_t *ngx_http_hype_spool_open(
    ngx_http_hype_spool_t *spool, ngx_str_t *name, int flags);
static ngx_int_t ngx_http_hype_spool_list(ngx_http_hype_spool_t *spool,
    ngx_array_t *names);
static ngx_uint_t ngx_http_hype_spool_named(ngx_http_hype_spool_t *spool,
    ngx_dir_t *dir);
static ngx_uint_t ngx_http_hype_spool_ends(ngx_dir_t *dir, ngx_str_t *suffix);
static ngx_http_hype_spool_file_t *ngx_http_hype_spool_held(
    ngx_http_hype_spool_t *spool, ngx_str_t *name);
static void ngx_http_hype_spool_share(ngx_http_hype_spool_t *spool,
    ngx_array_t *names);
static int ngx_libc_cdecl ngx_http_hype_spool_compare(const void *one,
    const void *two);
static ngx_http_hype_spool_file_t *ngx_http_hype_spool_adopt(
    ngx_http_hype_spool_t *spool, ngx_str_t *name);


/*
 * A file with the first suffix, but none of the others, is one of hits.
 * Before there were streams, such a file had all records.
 */

static ngx_str_t  ngx_http_hype_spool_suffixes[] = {
    ngx_string(".spool"),
    ngx_string(".claims.spool"),
    ngx_string(".confirms.spool")
};


static ngx_http_hype_spool_file_t *
ngx_http_hype_spool_open(ngx_http_hype_spool_t *spool, ngx_str_t *name,
    int flags)
{
    u_char                      *p;
    ngx_str_t                   *path;
    ngx_file_info_t              fi, named;
    ngx_http_hype_spool_file_t  *file;

    path = &spool->conf->path->name;

    file = ngx_calloc(sizeof(ngx_http_hype_spool_file_t)
                      + path->len + 1 + name->len + 1, ngx_cycle->log);
    if (file == NULL) {
        return NULL;
    }

    p = (u_char *) file + sizeof(ngx_http_hype_spool_file_t);

    file->name.data = p;
    file->name.len = ngx_sprintf(p, "%V/%V%Z", path, name) - p - 1;

    /* a process that another module starts must not keep the lock */

    file->fd = open((char *) file->name.data,
                    O_RDWR|O_APPEND|O_CLOEXEC|flags, 0600);

    if (file->fd == NGX_INVALID_FILE) {

        if (flags) {
            ngx_http_hype_spool_fail(spool, ngx_errno, "create", &file->name);

        } else if (ngx_errno != NGX_ENOENT) {
            ngx_http_hype_spool_log(spool, ngx_errno, "open", &file->name);
        }

        ngx_free(file);
        return NULL;
    }

    /* another worker may hold it, or may just have removed or renamed it */

    if (flock(file->fd, LOCK_EX|LOCK_NB) == -1
        || ngx_fd_info(file->fd, &fi) == NGX_FILE_ERROR
        || ngx_file_info(file->name.data, &named) == NGX_FILE_ERROR
        || ngx_file_uniq(&named) != ngx_file_uniq(&fi))
    {
        (void) ngx_close_file(file->fd);
        ngx_free(file);
        return NULL;
    }

    file->size = ngx_file_size(&fi);
    file->number = spool->serial++;

    return file;
}


off_t
ngx_http_hype_spool_part(ngx_http_hype_spool_t *spool, off_t n)
{
    return spool->stream ? n / NGX_HTTP_HYPE_SPOOL_SHARE : n;
}


ngx_int_t
ngx_http_hype_spool_new_tail(ngx_http_hype_spool_t *spool)
{
    u_char                       text[NGX_INT64_LEN * 3
                                      + sizeof(".confirms.spool")];
    ngx_str_t                    name;
    ngx_uint_t                   i;
    ngx_time_t                  *tp;
    ngx_http_hype_spool_file_t  *file;

    tp = ngx_timeofday();

    file = NULL;

    /* another worker may take the new file for an empty one, and remove it */

    for (i = 0; file == NULL && i < NGX_HTTP_HYPE_SPOOL_TRIES; i++) {

        /* sorted by time, for the worker that adopts them */

        name.data = text;
        name.len = ngx_sprintf(text, "%012xL-%P-%ui%V",
                               (uint64_t) tp->sec * 1000 + tp->msec, ngx_pid,
                               spool->serial++,
                               &ngx_http_hype_spool_suffixes[spool->stream])
                   - text;

        file = ngx_http_hype_spool_open(spool, &name, O_CREAT|O_EXCL);
    }

    if (file == NULL) {
        return NGX_ERROR;
    }

    ngx_http_hype_count(spool, NGX_HTTP_HYPE_SPOOL_FILES + spool->stream, 1);

    ngx_queue_insert_tail(&spool->files, &file->queue);
    spool->tail = file;

    return NGX_OK;
}


/* nothing more is written to it; all of it may have been read */

void
ngx_http_hype_spool_leave_tail(ngx_http_hype_spool_t *spool)
{
    ngx_http_hype_spool_file_t  *tail;

    tail = spool->tail;
    spool->tail = NULL;

    if (tail && tail->read == tail->size && tail->held == 0) {
        ngx_http_hype_spool_remove(spool, tail);
    }
}


void
ngx_http_hype_spool_remove(ngx_http_hype_spool_t *spool,
    ngx_http_hype_spool_file_t *file)
{
    if (ngx_delete_file(file->name.data) == NGX_FILE_ERROR) {
        ngx_http_hype_spool_log(spool, ngx_errno, "remove", &file->name);

        /* else it would be read again and again */

        if (ftruncate(file->fd, 0) == -1) {
            ngx_http_hype_spool_log(spool, ngx_errno, "truncate", &file->name);
        }
    }

    ngx_http_hype_spool_gone(spool, file);
}


/* it is no spool file any more */

void
ngx_http_hype_spool_gone(ngx_http_hype_spool_t *spool,
    ngx_http_hype_spool_file_t *file)
{
    ngx_http_hype_count(spool, NGX_HTTP_HYPE_SPOOL_BYTES + spool->stream,
                        -file->size);
    ngx_http_hype_count(spool, NGX_HTTP_HYPE_SPOOL_FILES + spool->stream, -1);

    ngx_http_hype_spool_release(spool, file);
}


void
ngx_http_hype_spool_release(ngx_http_hype_spool_t *spool,
    ngx_http_hype_spool_file_t *file)
{
    if (spool->tail == file) {
        spool->tail = NULL;
    }

    spool->worker->spool -= file->size - file->read;

    ngx_queue_remove(&file->queue);

    (void) ngx_close_file(file->fd);

    ngx_free(file);
}


/* records can't be written for now */

void
ngx_http_hype_spool_fail(ngx_http_hype_spool_t *spool, ngx_err_t err,
    const char *what, ngx_str_t *name)
{
    spool->failed = ngx_current_msec ? ngx_current_msec : 1;

    ngx_http_hype_spool_log(spool, err, what, name);
}


void
ngx_http_hype_spool_log(ngx_http_hype_spool_t *spool, ngx_err_t err,
    const char *what, ngx_str_t *name)
{
    if (ngx_http_hype_trouble_log(&spool->trouble)) {
        ngx_log_error(NGX_LOG_CRIT, ngx_cycle->log, err,
                      "hype: spool: %s \"%V\" failed (%ui errors)",
                      what, name, spool->trouble.errors);
    }
}


void
ngx_http_hype_spool_scan(ngx_http_hype_spool_t *spool)
{
    ngx_pool_t   *pool;
    ngx_array_t   names;

    pool = ngx_create_pool(NGX_DEFAULT_POOL_SIZE, ngx_cycle->log);
    if (pool == NULL) {
        return;
    }

    if (ngx_array_init(&names, pool, 16, sizeof(ngx_str_t)) == NGX_OK
        && ngx_http_hype_spool_list(spool, &names) == NGX_OK)
    {
        ngx_http_hype_spool_share(spool, &names);
    }

    ngx_destroy_pool(pool);
}


/* lists the names of the files, and counts files and bytes */

static ngx_int_t
ngx_http_hype_spool_list(ngx_http_hype_spool_t *spool, ngx_array_t *names)
{
    off_t       total;
    u_char     *path;
    ngx_int_t   rc;
    ngx_dir_t   dir;
    ngx_str_t  *directory, *name;

    directory = &spool->conf->path->name;

    if (ngx_open_dir(directory, &dir) == NGX_ERROR) {
        ngx_http_hype_spool_fail(spool, ngx_errno, ngx_open_dir_n, directory);
        return NGX_ERROR;
    }

    total = 0;
    rc = NGX_OK;

    while (ngx_read_dir(&dir) == NGX_OK) {

        if (!ngx_http_hype_spool_named(spool, &dir)) {
            continue;
        }

        name = ngx_array_push(names);
        path = ngx_pnalloc(names->pool,
                           directory->len + 1 + ngx_de_namelen(&dir) + 1);

        if (name == NULL || path == NULL) {
            rc = NGX_ERROR;
            break;
        }

        name->len = ngx_de_namelen(&dir);
        name->data = ngx_sprintf(path, "%V/", directory);
        (void) ngx_cpystrn(name->data, ngx_de_name(&dir), name->len + 1);

        if (ngx_de_info(path, &dir) != NGX_FILE_ERROR) {
            total += ngx_de_size(&dir);
        }
    }

    ngx_close_dir(&dir);

    spool->counters[NGX_HTTP_HYPE_SPOOL_BYTES + spool->stream] = total;
    spool->counters[NGX_HTTP_HYPE_SPOOL_FILES + spool->stream] = names->nelts;

    return rc;
}


static ngx_uint_t
ngx_http_hype_spool_named(ngx_http_hype_spool_t *spool, ngx_dir_t *dir)
{
    ngx_uint_t  i;

    for (i = NGX_HTTP_HYPE_SPOOL_STREAMS - 1; i; i--) {
        if (ngx_http_hype_spool_ends(dir, &ngx_http_hype_spool_suffixes[i])) {
            break;
        }
    }

    return i == spool->stream
           && ngx_http_hype_spool_ends(dir, &ngx_http_hype_spool_suffixes[0]);
}


static ngx_uint_t
ngx_http_hype_spool_ends(ngx_dir_t *dir, ngx_str_t *suffix)
{
    size_t  len;

    len = ngx_de_namelen(dir);

    return len > suffix->len
           && ngx_strcmp(ngx_de_name(dir) + len - suffix->len, suffix->data)
              == 0;
}


static ngx_http_hype_spool_file_t *
ngx_http_hype_spool_held(ngx_http_hype_spool_t *spool, ngx_str_t *name)
{
    ngx_queue_t                 *q;
    ngx_http_hype_spool_file_t  *file;

    for (q = ngx_queue_head(&spool->files);
         q != ngx_queue_sentinel(&spool->files);
         q = ngx_queue_next(q))
    {
        file = ngx_queue_data(q, ngx_http_hype_spool_file_t, queue);

        if (ngx_strcmp(file->name.data + spool->conf->path->name.len + 1,
                       name->data) == 0)
        {
            return file;
        }
    }

    return NULL;
}


/*
 * Adopts files that nobody holds, the oldest first.  Only as many as are soon
 * written, as other workers want their share; but all that are older than this
 * worker's own.
 */

static void
ngx_http_hype_spool_share(ngx_http_hype_spool_t *spool, ngx_array_t *names)
{
    off_t                        unread, n;
    ngx_str_t                   *name;
    ngx_uint_t                   i;
    ngx_queue_t                 *q;
    ngx_http_hype_spool_file_t  *file;

    spool->more = 0;
    unread = 0;
    n = 0;

    for (q = ngx_queue_head(&spool->files);
         q != ngx_queue_sentinel(&spool->files);
         q = ngx_queue_next(q))
    {
        n++;
    }

    name = names->elts;

    ngx_qsort(name, names->nelts, sizeof(ngx_str_t),
              ngx_http_hype_spool_compare);

    for (i = 0; i < names->nelts; i++) {

        file = ngx_http_hype_spool_held(spool, &name[i]);

        if (file) {
            if (file != spool->tail && !file->unread) {
                unread += file->size - file->read;
            }

            continue;
        }

        if (unread >= NGX_HTTP_HYPE_SPOOL_FILE_SIZE
            || n >= ngx_http_hype_spool_part(spool, NGX_HTTP_HYPE_SPOOL_OPEN))
        {
            spool->more = 1;
            break;
        }

        file = ngx_http_hype_spool_adopt(spool, &name[i]);

        if (file) {
            unread += file->size;
            n++;
        }
    }
}


static int ngx_libc_cdecl
ngx_http_hype_spool_compare(const void *one, const void *two)
{
    const ngx_str_t  *first, *second;

    first = one;
    second = two;

    return ngx_strcmp(first->data, second->data);
}


static ngx_http_hype_spool_file_t *
ngx_http_hype_spool_adopt(ngx_http_hype_spool_t *spool, ngx_str_t *name)
{
    ngx_queue_t                 *q;
    ngx_http_hype_spool_file_t  *file, *next;

    file = ngx_http_hype_spool_open(spool, name, 0);
    if (file == NULL) {
        return NULL;
    }

    /* in front of newer ones; the tail is the newest of all */

    for (q = ngx_queue_head(&spool->files);
         q != ngx_queue_sentinel(&spool->files);
         q = ngx_queue_next(q))
    {
        next = ngx_queue_data(q, ngx_http_hype_spool_file_t, queue);

        if (ngx_strcmp(next->name.data, file->name.data) > 0) {
            break;
        }
    }

    ngx_queue_insert_tail(q, &file->queue);
    file->adopted = 1;

    spool->worker->spool += file->size;

    if (file->size == 0) {
        ngx_http_hype_spool_remove(spool, file);
        return NULL;
    }

    ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                  "hype: adopted spool file \"%V\", %O bytes",
                  &file->name, file->size);

    return file;
}
