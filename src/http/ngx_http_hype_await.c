
#include "ngx_http_hype_await.h"


typedef struct {
    ngx_http_request_t           *request;
    ngx_http_hype_await_pt        send;
    ngx_http_hype_report_wait_t   wait;
} ngx_http_hype_await_t;


static ngx_http_hype_await_t *ngx_http_hype_await_create(
    ngx_http_request_t *r);
static void ngx_http_hype_await_cleanup(void *data);
static void ngx_http_hype_await_resume(ngx_http_hype_wait_t *wait);


ngx_int_t
ngx_http_hype_await(ngx_http_request_t *r, ngx_http_hype_report_t *report,
    ngx_str_t *arguments, uint32_t viewer, ngx_msec_t valid,
    ngx_http_hype_await_pt send)
{
    ngx_int_t               rc;
    ngx_http_hype_await_t  *await;

    await = ngx_http_hype_await_create(r);
    if (await == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    await->send = send;
    await->wait.report = report;

    if (ngx_http_hype_report_get(report, arguments, viewer, valid,
                                 &await->wait)
        == NGX_OK)
    {
        rc = send(r, &await->wait);

        ngx_http_hype_report_leave(&await->wait);

        return rc;
    }

    r->read_event_handler = ngx_http_block_reading;
    r->main->count++;

    return NGX_DONE;
}


static ngx_http_hype_await_t *
ngx_http_hype_await_create(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t     *cln;
    ngx_http_hype_await_t  *await;

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_hype_await_t));
    if (cln == NULL) {
        return NULL;
    }

    await = cln->data;
    ngx_memzero(await, sizeof(ngx_http_hype_await_t));

    await->request = r;
    await->wait.wait.resume = ngx_http_hype_await_resume;
    await->wait.wait.data = await;

    cln->handler = ngx_http_hype_await_cleanup;

    return await;
}


static void
ngx_http_hype_await_cleanup(void *data)
{
    ngx_http_hype_await_t *await = data;

    if (await->wait.report) {
        ngx_http_hype_report_leave(&await->wait);
    }
}


static void
ngx_http_hype_await_resume(ngx_http_hype_wait_t *wait)
{
    ngx_int_t               rc;
    ngx_connection_t       *c;
    ngx_http_request_t     *r;
    ngx_http_hype_await_t  *await;

    await = wait->data;
    r = await->request;
    c = r->connection;

    ngx_http_set_log_request(c->log, r);

    /* what came of a body in the meantime, nobody will be told of again */

    if (r->discard_body && c->read->ready) {
        ngx_post_event(c->read, &ngx_posted_events);
    }

    rc = await->send(r, &await->wait);

    /* a client that reads slowly has a copy */

    ngx_http_hype_report_leave(&await->wait);

    ngx_http_finalize_request(r, rc);

    ngx_http_run_posted_requests(c);
}
