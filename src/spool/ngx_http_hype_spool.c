
#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_http_hype_spool.h"
#include "ngx_http_hype_spool_files.h"


ngx_int_t
ngx_http_hype_spool_init(ngx_http_hype_spool_t *spool,
    ngx_http_hype_spool_conf_t *conf, ngx_cycle_t *cycle)
{
    ngx_http_hype_thread_t  *thread;

    spool->conf = conf;

    ngx_queue_init(&spool->files);
    ngx_queue_init(&spool->waits);
    ngx_queue_init(&spool->written);
    ngx_queue_init(&spool->syncing);

    if (conf->path == NULL) {
        return NGX_OK;
    }

    spool->task = ngx_pcalloc(cycle->pool, sizeof(ngx_http_hype_spool_sync_t));
    if (spool->task == NULL) {
        return NGX_ERROR;
    }

    spool->task->spool = spool;

    thread = &spool->task->thread;

    thread->work = ngx_http_hype_spool_sync_thread;
    thread->done = ngx_http_hype_spool_sync_done;
    thread->data = spool->task;

    ngx_http_hype_event_init(&spool->flush, ngx_http_hype_spool_flush_handler,
                             spool, 0);

    ngx_http_hype_event_init(&spool->sync, ngx_http_hype_spool_sync_handler,
                             spool, 1);

    ngx_http_hype_spool_scan(spool);

    return NGX_OK;
}


void
ngx_http_hype_spool_close(ngx_http_hype_spool_t *spool)
{
    ngx_queue_t                 *q;
    ngx_http_hype_spool_file_t  *file;

    if (spool->conf->path == NULL) {
        return;
    }

    (void) ngx_http_hype_spool_flush(spool);

    while (!ngx_queue_empty(&spool->files)) {
        q = ngx_queue_head(&spool->files);
        file = ngx_queue_data(q, ngx_http_hype_spool_file_t, queue);

        if (file->read == file->size && file->held == 0) {
            ngx_http_hype_spool_remove(spool, file);
            continue;
        }

        if (file->dirty
            && spool->conf->sync != NGX_HTTP_HYPE_SPOOL_SYNC_OFF)
        {
            (void) fsync(file->fd);
        }

        ngx_http_hype_spool_release(spool, file);
    }

    if (spool->buf) {
        ngx_free(spool->buf);
        spool->buf = NULL;
        spool->size = 0;
        spool->used = 0;
    }
}


void
ngx_http_hype_spool_tidy(ngx_http_hype_spool_t *spool)
{
    if (spool->conf->path == NULL) {
        return;
    }

    if (ngx_exiting) {

        /* other workers take the files, as this one may stay for hours */

        spool->wake(spool->data);

        if (spool->held == 0) {
            ngx_http_hype_spool_close(spool);
        }

        return;
    }

    if (spool->tail && spool->tail->read == spool->tail->size) {
        ngx_http_hype_spool_leave_tail(spool);
    }

    ngx_http_hype_spool_scan(spool);

    if (ngx_http_hype_spool_oldest(spool)) {
        spool->wake(spool->data);
    }
}
