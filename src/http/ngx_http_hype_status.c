
#include "ngx_http_hype_status.h"
#include "ngx_http_hype_figures.h"
#include "ngx_http_hype_status_report.h"
#include "ngx_http_hype_visit.h"

/* made of html/ when nginx is built */
#include "ngx_http_hype_page.h"


typedef struct {
    ngx_str_t                     argument;
    ngx_uint_t                    more;       /* arguments may follow */
    ngx_int_t                   (*handler)(ngx_http_request_t *r);
} ngx_http_hype_status_part_t;


static ngx_uint_t ngx_http_hype_status_is(ngx_http_request_t *r,
    ngx_http_hype_status_part_t *part);
static ngx_int_t ngx_http_hype_status_page(ngx_http_request_t *r);
static ngx_int_t ngx_http_hype_status_css(ngx_http_request_t *r);
static ngx_int_t ngx_http_hype_status_js(ngx_http_request_t *r);
static ngx_int_t ngx_http_hype_status_json(ngx_http_request_t *r);
static ngx_int_t ngx_http_hype_status_prometheus(ngx_http_request_t *r);
static ngx_int_t ngx_http_hype_status_send(ngx_http_request_t *r,
    const char *type, ngx_str_t *text);


/* what the page asks for has its own URL with an argument */

static ngx_http_hype_status_part_t  ngx_http_hype_status_parts[] = {
    { ngx_string("css"), 0, ngx_http_hype_status_css },
    { ngx_string("js"), 0, ngx_http_hype_status_js },
    { ngx_string("json"), 0, ngx_http_hype_status_json },
    { ngx_string("prometheus"), 0, ngx_http_hype_status_prometheus },
    { ngx_string("report"), 1, ngx_http_hype_status_report },
    { ngx_null_string, 0, ngx_http_hype_status_page }
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
        if (ngx_http_hype_status_is(r, part)) {
            break;
        }
    }

    return part->handler(r);
}


static ngx_uint_t
ngx_http_hype_status_is(ngx_http_request_t *r,
    ngx_http_hype_status_part_t *part)
{
    size_t  len;

    len = part->argument.len;

    return r->args.len >= len
           && ngx_strncmp(r->args.data, part->argument.data, len) == 0
           && (r->args.len == len || (part->more && r->args.data[len] == '&'));
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
ngx_http_hype_status_send(ngx_http_request_t *r, const char *type,
    ngx_str_t *text)
{
    return ngx_http_hype_status_answer(r, NGX_HTTP_OK, type, text);
}


ngx_int_t
ngx_http_hype_status_answer(ngx_http_request_t *r, ngx_uint_t status,
    const char *type, ngx_str_t *text)
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

    return ngx_http_send_response(r, status, &content_type, &cv);
}
