
#include "ngx_http_hype_status.h"
#include "ngx_http_hype_visit.h"

/* made of html/ when nginx is built */
#include "ngx_http_hype_page.h"


static ngx_uint_t ngx_http_hype_status_is_report(ngx_str_t *args);
static ngx_int_t ngx_http_hype_status_write(ngx_http_request_t *r,
    ngx_http_hype_status_part_t *part, ngx_str_t *text);


static ngx_http_hype_status_part_t  ngx_http_hype_status_parts[] = {

    /* in the order of ngx_http_hype_status_e */

    { ngx_string("json"), "application/json",
      ngx_null_string, ngx_http_hype_status_json },

    { ngx_string("prometheus"), "text/plain; version=0.0.4; charset=utf-8",
      ngx_null_string, ngx_http_hype_status_prometheus },

    { ngx_string("css"), "text/css; charset=utf-8",
      { sizeof(ngx_http_hype_page_css), ngx_http_hype_page_css }, NULL },

    { ngx_string("js"), "text/javascript; charset=utf-8",
      { sizeof(ngx_http_hype_page_js), ngx_http_hype_page_js }, NULL },

    { ngx_null_string, NGX_HTTP_HYPE_STATUS_PAGE,
      { sizeof(ngx_http_hype_page_html), ngx_http_hype_page_html }, NULL }
};


ngx_int_t
ngx_http_hype_status_handler(ngx_http_request_t *r)
{
    ngx_int_t                     rc;
    ngx_str_t                     text;
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

    if (hlcf->status != NGX_HTTP_HYPE_STATUS_HTML) {
        part = &ngx_http_hype_status_parts[hlcf->status
                                           - NGX_HTTP_HYPE_STATUS_JSON];

    } else if (ngx_http_hype_status_is_report(&r->args)) {
        return ngx_http_hype_status_report(r);

    } else {
        part = ngx_http_hype_status_find(ngx_http_hype_status_parts,
                                         &r->args);
    }

    text = part->text;

    if (part->write && ngx_http_hype_status_write(r, part, &text) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_hype_status_send(r, NGX_HTTP_OK, part->type, &text);
}


ngx_http_hype_status_part_t *
ngx_http_hype_status_find(ngx_http_hype_status_part_t *parts, ngx_str_t *args)
{
    while (parts->argument.len
           && (parts->argument.len != args->len
               || ngx_strncmp(parts->argument.data, args->data, args->len)
                  != 0))
    {
        parts++;
    }

    return parts;
}


/* other arguments may follow */

static ngx_uint_t
ngx_http_hype_status_is_report(ngx_str_t *args)
{
    static const size_t  len = sizeof("report") - 1;

    return args->len >= len
           && ngx_strncmp(args->data, "report", len) == 0
           && (args->len == len || args->data[len] == '&');
}


static ngx_int_t
ngx_http_hype_status_write(ngx_http_request_t *r,
    ngx_http_hype_status_part_t *part, ngx_str_t *text)
{
    ngx_http_hype_main_conf_t       *hmcf;
    ngx_http_hype_status_metrics_t  *metrics;

    hmcf = ngx_http_get_module_main_conf(r, ngx_http_hype_module);

    metrics = ngx_http_hype_status_metrics(hmcf, r->pool);
    if (metrics == NULL) {
        return NGX_ERROR;
    }

    return part->write(metrics, r->pool, text);
}


ngx_int_t
ngx_http_hype_status_send(ngx_http_request_t *r, ngx_uint_t status,
    const char *type, ngx_str_t *text)
{
    ngx_str_t                 content_type;
    ngx_http_complex_value_t  cv;

    static ngx_str_t  no_store = ngx_string("no-store");
    static ngx_str_t  nosniff = ngx_string("nosniff");
    static ngx_str_t  policy = ngx_string("default-src 'none'; "
        "style-src 'self'; script-src 'self'; connect-src 'self'; "
        "img-src 'self' data:; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'");

    if (ngx_http_hype_add_header(r, "Cache-Control", &no_store) != NGX_OK
        || ngx_http_hype_add_header(r, "X-Content-Type-Options", &nosniff)
           != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ngx_strcmp(type, NGX_HTTP_HYPE_STATUS_PAGE) == 0
        && ngx_http_hype_add_header(r, "Content-Security-Policy", &policy)
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
