
#include "ngx_http_hype_status.h"
#include "ngx_http_hype_figures.h"
#include "ngx_http_hype_visit.h"

/* made of html/ when nginx is built */
#include "ngx_http_hype_page.h"


typedef struct {
    ngx_http_request_t           *request;
    ngx_http_hype_store_t        *store;
    ngx_http_hype_wait_t          wait;
} ngx_http_hype_status_ctx_t;


typedef struct {
    ngx_str_t                     argument;
    ngx_int_t                   (*handler)(ngx_http_request_t *r);
} ngx_http_hype_status_part_t;


static ngx_int_t ngx_http_hype_status_page(ngx_http_request_t *r);
static ngx_int_t ngx_http_hype_status_css(ngx_http_request_t *r);
static ngx_int_t ngx_http_hype_status_js(ngx_http_request_t *r);
static ngx_int_t ngx_http_hype_status_json(ngx_http_request_t *r);
static ngx_int_t ngx_http_hype_status_prometheus(ngx_http_request_t *r);
static ngx_int_t ngx_http_hype_status_report(ngx_http_request_t *r);
static ngx_http_hype_status_ctx_t *ngx_http_hype_status_create_ctx(
    ngx_http_request_t *r, ngx_http_hype_store_t *store);
static void ngx_http_hype_status_cleanup(void *data);
static void ngx_http_hype_status_resume(ngx_http_hype_wait_t *wait);
static ngx_int_t ngx_http_hype_status_send_report(ngx_http_request_t *r,
    ngx_http_hype_report_t *report);
static ngx_int_t ngx_http_hype_status_send(ngx_http_request_t *r,
    const char *type, ngx_str_t *text);


/* what the page asks for has its own URL with an argument */

static ngx_http_hype_status_part_t  ngx_http_hype_status_parts[] = {
    { ngx_string("css"), ngx_http_hype_status_css },
    { ngx_string("js"), ngx_http_hype_status_js },
    { ngx_string("json"), ngx_http_hype_status_json },
    { ngx_string("prometheus"), ngx_http_hype_status_prometheus },
    { ngx_string("report"), ngx_http_hype_status_report },
    { ngx_null_string, ngx_http_hype_status_page }
};


ngx_int_t
ngx_http_hype_status_handler(ngx_http_request_t *r)
{
    ngx_int_t                     rc;
    ngx_http_hype_loc_conf_t     *hlcf;
    ngx_http_hype_status_part_t  *part;

    if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))) {
        return ngx_http_hype_not_allowed(r);
    }

    rc = ngx_http_discard_request_body(r);
    if (rc != NGX_OK) {
        return rc;
    }

    hlcf = ngx_http_get_module_loc_conf(r, ngx_http_hype_module);

    switch (hlcf->status) {

    case NGX_HTTP_HYPE_STATUS_JSON:
        return ngx_http_hype_status_json(r);

    case NGX_HTTP_HYPE_STATUS_PROMETHEUS:
        return ngx_http_hype_status_prometheus(r);
    }

    for (part = ngx_http_hype_status_parts; part->argument.len; part++) {
        if (part->argument.len == r->args.len
            && ngx_strncmp(part->argument.data, r->args.data, r->args.len)
               == 0)
        {
            break;
        }
    }

    return part->handler(r);
}


static ngx_int_t
ngx_http_hype_status_page(ngx_http_request_t *r)
{
    ngx_str_t  text;

    static ngx_str_t  policy = ngx_string("default-src 'none'; "
        "style-src 'self'; script-src 'self'; connect-src 'self'; "
        "img-src 'self' data:; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'");

    if (ngx_http_hype_add_header(r, "Content-Security-Policy", &policy)
        != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    text.len = sizeof(ngx_http_hype_page_html);
    text.data = ngx_http_hype_page_html;

    return ngx_http_hype_status_send(r, "text/html; charset=utf-8", &text);
}


static ngx_int_t
ngx_http_hype_status_css(ngx_http_request_t *r)
{
    ngx_str_t  text;

    text.len = sizeof(ngx_http_hype_page_css);
    text.data = ngx_http_hype_page_css;

    return ngx_http_hype_status_send(r, "text/css; charset=utf-8", &text);
}


static ngx_int_t
ngx_http_hype_status_js(ngx_http_request_t *r)
{
    ngx_str_t  text;

    text.len = sizeof(ngx_http_hype_page_js);
    text.data = ngx_http_hype_page_js;

    return ngx_http_hype_status_send(r, "text/javascript; charset=utf-8",
                                     &text);
}


static ngx_int_t
ngx_http_hype_status_json(ngx_http_request_t *r)
{
    ngx_str_t                   text;
    ngx_http_hype_figures_t    *figures;
    ngx_http_hype_main_conf_t  *hmcf;

    hmcf = ngx_http_get_module_main_conf(r, ngx_http_hype_module);

    figures = ngx_http_hype_figures_get(hmcf, r->pool);

    if (figures == NULL
        || ngx_http_hype_figures_json(figures, r->pool, &text) != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_hype_status_send(r, "application/json", &text);
}


static ngx_int_t
ngx_http_hype_status_prometheus(ngx_http_request_t *r)
{
    ngx_str_t                   text;
    ngx_http_hype_figures_t    *figures;
    ngx_http_hype_main_conf_t  *hmcf;

    hmcf = ngx_http_get_module_main_conf(r, ngx_http_hype_module);

    figures = ngx_http_hype_figures_get(hmcf, r->pool);

    if (figures == NULL
        || ngx_http_hype_figures_prometheus(figures, r->pool, &text)
           != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_hype_status_send(r, "text/plain; version=0.0.4; "
                                     "charset=utf-8", &text);
}


static ngx_int_t
ngx_http_hype_status_report(ngx_http_request_t *r)
{
    ngx_http_hype_store_t       *store;
    ngx_http_hype_loc_conf_t    *hlcf;
    ngx_http_hype_main_conf_t   *hmcf;
    ngx_http_hype_status_ctx_t  *ctx;

    hlcf = ngx_http_get_module_loc_conf(r, ngx_http_hype_module);

    if (!hlcf->reports) {
        return NGX_HTTP_NOT_FOUND;
    }

    hmcf = ngx_http_get_module_main_conf(r, ngx_http_hype_module);
    store = hmcf->store;

    ctx = ngx_http_hype_status_create_ctx(r, store);
    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ngx_http_hype_report_get(&store->report, hlcf->reports, &ctx->wait)
        == NGX_OK)
    {
        return ngx_http_hype_status_send_report(r, &store->report);
    }

    r->read_event_handler = ngx_http_block_reading;
    r->main->count++;

    return NGX_DONE;
}


static ngx_http_hype_status_ctx_t *
ngx_http_hype_status_create_ctx(ngx_http_request_t *r,
    ngx_http_hype_store_t *store)
{
    ngx_pool_cleanup_t          *cln;
    ngx_http_hype_status_ctx_t  *ctx;

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_hype_status_ctx_t));
    if (cln == NULL) {
        return NULL;
    }

    ctx = cln->data;
    ngx_memzero(ctx, sizeof(ngx_http_hype_status_ctx_t));

    ctx->request = r;
    ctx->store = store;
    ctx->wait.resume = ngx_http_hype_status_resume;
    ctx->wait.data = ctx;

    cln->handler = ngx_http_hype_status_cleanup;

    return ctx;
}


static void
ngx_http_hype_status_cleanup(void *data)
{
    ngx_http_hype_status_ctx_t *ctx = data;

    ngx_http_hype_park_leave(&ctx->store->park, &ctx->wait);
}


static void
ngx_http_hype_status_resume(ngx_http_hype_wait_t *wait)
{
    ngx_connection_t            *c;
    ngx_http_request_t          *r;
    ngx_http_hype_status_ctx_t  *ctx;

    ctx = wait->data;
    r = ctx->request;
    c = r->connection;

    ngx_http_set_log_request(c->log, r);

    /* what came of a body in the meantime, nobody will be told of again */

    if (r->discard_body && c->read->ready) {
        ngx_post_event(c->read, &ngx_posted_events);
    }

    ngx_http_finalize_request(r,
              ngx_http_hype_status_send_report(r, &ctx->store->report));

    ngx_http_run_posted_requests(c);
}


/* the last one, be it old: its age is a part of it */

static ngx_int_t
ngx_http_hype_status_send_report(ngx_http_request_t *r,
    ngx_http_hype_report_t *report)
{
    ngx_str_t   text;
    ngx_msec_t  age;

    static ngx_str_t  soon = ngx_string("1");

    if (report->text.len == 0) {

        if (ngx_http_hype_add_header(r, "Retry-After", &soon) != NGX_OK) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        return NGX_HTTP_SERVICE_UNAVAILABLE;
    }

    text.data = ngx_pnalloc(r->pool, report->text.len
                                     + sizeof(", \"age\": .000}\n")
                                     + NGX_INT64_LEN);
    if (text.data == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    age = ngx_current_msec - report->made;

    /* before its closing brace */

    text.len = ngx_sprintf(text.data, "%*s, \"age\": %M.%03M}\n",
                           report->text.len - 1, report->text.data,
                           age / 1000, age % 1000)
               - text.data;

    return ngx_http_hype_status_send(r, "application/json", &text);
}


static ngx_int_t
ngx_http_hype_status_send(ngx_http_request_t *r, const char *type,
    ngx_str_t *text)
{
    ngx_str_t                 content_type;
    ngx_http_complex_value_t  cv;

    static ngx_str_t  no_store = ngx_string("no-store");
    static ngx_str_t  nosniff = ngx_string("nosniff");

    if (ngx_http_hype_add_header(r, "Cache-Control", &no_store) != NGX_OK
        || ngx_http_hype_add_header(r, "X-Content-Type-Options", &nosniff)
           != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    content_type.len = ngx_strlen(type);
    content_type.data = (u_char *) type;

    ngx_memzero(&cv, sizeof(ngx_http_complex_value_t));
    cv.value = *text;

    return ngx_http_send_response(r, NGX_HTTP_OK, &content_type, &cv);
}
