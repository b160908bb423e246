
#include <ngx_config.h>
#include <ngx_core.h>
#include <sys/file.h>
#include "ngx_http_hype_spool_files.h"


/* maximum length of a reason */
#define NGX_HTTP_HYPE_SPOOL_REASON  2048


static u_char *ngx_http_hype_spool_noted(u_char *record, const char *reason,
    size_t *size);
static ngx_int_t ngx_http_hype_spool_append_set_aside(
    ngx_http_hype_spool_t *spool, ngx_str_t *name, u_char *p, size_t size);


static const char  *ngx_http_hype_spool_set_aside_names[] = {
    "rejected.records",
    "dropped.records"
};


ngx_int_t
ngx_http_hype_spool_set_aside(ngx_http_hype_spool_t *spool, ngx_uint_t which,
    u_char *record, const char *reason)
{
    size_t      size;
    u_char     *name, *noted;
    ngx_int_t   rc;
    ngx_str_t   path, *directory;

    if (spool->conf->path == NULL) {
        return NGX_DECLINED;
    }

    directory = &spool->conf->path->name;

    name = ngx_alloc(directory->len + sizeof("/rejected.records"),
                     ngx_cycle->log);
    if (name == NULL) {
        return NGX_ERROR;
    }

    path.data = name;
    path.len = ngx_sprintf(name, "%V/%s%Z", directory,
                           ngx_http_hype_spool_set_aside_names[which])
               - name - 1;

    noted = ngx_http_hype_spool_noted(record, reason, &size);

    rc = noted ? ngx_http_hype_spool_append_set_aside(spool, &path, noted, size)
               : NGX_ERROR;

    ngx_free(name);

    if (noted) {
        ngx_free(noted);
    }

    return rc;
}


/* the record, and before it a note that says why it is here */

static u_char *
ngx_http_hype_spool_noted(u_char *record, const char *reason, size_t *size)
{
    size_t                  len;
    u_char                 *p, *noted;
    ngx_time_t             *tp;
    ngx_http_hype_event_t   note;

    ngx_memzero(&note, sizeof(ngx_http_hype_event_t));

    tp = ngx_timeofday();
    note.created = (uint64_t) tp->sec * 1000 + tp->msec;
    note.value.data = (u_char *) reason;
    note.value.len = ngx_min(ngx_strlen(reason), NGX_HTTP_HYPE_SPOOL_REASON);

    len = ngx_http_hype_record_length(record);

    *size = ngx_http_hype_record_event_length(&note) + len;

    noted = ngx_alloc(*size, ngx_cycle->log);
    if (noted == NULL) {
        return NULL;
    }

    p = ngx_http_hype_record_event(noted, NGX_HTTP_HYPE_RECORD_NOTE, &note);
    ngx_http_hype_record_seal(noted);

    ngx_memcpy(p, record, len);
    ngx_http_hype_record_seal(p);

    return noted;
}


/* all or nothing: half a record would spoil the next one */

static ngx_int_t
ngx_http_hype_spool_append_set_aside(ngx_http_hype_spool_t *spool,
    ngx_str_t *name, u_char *p, size_t size)
{
    ssize_t           n;
    ngx_fd_t          fd;
    ngx_int_t         rc;
    ngx_file_info_t   fi;

    fd = ngx_open_file(name->data, NGX_FILE_APPEND, NGX_FILE_CREATE_OR_OPEN,
                       0600);

    if (fd == NGX_INVALID_FILE) {
        ngx_http_hype_spool_log(spool, ngx_errno, "open", name);
        return NGX_ERROR;
    }

    rc = NGX_ERROR;

    if (flock(fd, LOCK_EX) == -1 || ngx_fd_info(fd, &fi) == NGX_FILE_ERROR) {
        ngx_http_hype_spool_log(spool, ngx_errno, "lock", name);
        goto done;
    }

    if (ngx_file_size(&fi) + (off_t) size
        > spool->conf->max_size / NGX_HTTP_HYPE_SPOOL_SET_ASIDE)
    {
        rc = NGX_DECLINED;
        goto done;
    }

    n = write(fd, p, size);

    if (n == (ssize_t) size) {
        rc = NGX_OK;
        goto done;
    }

    ngx_http_hype_spool_log(spool, n == -1 ? ngx_errno : NGX_ENOSPC, "write",
                            name);

    if (n > 0 && ftruncate(fd, ngx_file_size(&fi)) == -1) {
        ngx_http_hype_spool_log(spool, ngx_errno, "truncate", name);
    }

done:

    (void) ngx_close_file(fd);

    return rc;
}
