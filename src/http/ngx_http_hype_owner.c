
#include "ngx_http_hype_owner.h"
#include "ngx_http_hype_await.h"
#include "ngx_http_hype_status.h"
#include "ngx_http_hype_visit.h"

/* made of html/ when nginx is built */
#include "ngx_http_hype_owner_page.h"


/* milliseconds for which what was read is good */
#define NGX_HTTP_HYPE_OWNER_VALID  2000

/* bytes of a user's id: an index of PostgreSQL has no room for more */
#define NGX_HTTP_HYPE_OWNER_USER   2048


static ngx_int_t ngx_http_hype_owner_user(ngx_http_request_t *r,
    ngx_http_hype_loc_conf_t *hlcf, ngx_str_t *user);
static ngx_uint_t ngx_http_hype_owner_valid(ngx_str_t *user);
static ngx_int_t ngx_http_hype_owner_refuse(ngx_http_request_t *r);
static ngx_int_t ngx_http_hype_owner_arguments(ngx_http_request_t *r,
    ngx_http_hype_loc_conf_t *hlcf, ngx_str_t *user, ngx_str_t *arguments);
static ngx_int_t ngx_http_hype_owner_send_json(ngx_http_request_t *r,
    ngx_http_hype_report_wait_t *wait);
static ngx_int_t ngx_http_hype_owner_send_page(ngx_http_request_t *r,
    ngx_http_hype_report_wait_t *wait);
static ngx_int_t ngx_http_hype_owner_text(ngx_http_request_t *r,
    ngx_http_hype_report_wait_t *wait, ngx_str_t *text, ngx_uint_t *status);
static ngx_int_t ngx_http_hype_owner_put(ngx_http_request_t *r,
    ngx_str_t *page, ngx_str_t *json);


static ngx_http_hype_status_part_t  ngx_http_hype_owner_parts[] = {

    { ngx_string("css"), "text/css; charset=utf-8",
      { sizeof(ngx_http_hype_owner_page_css), ngx_http_hype_owner_page_css },
      NULL },

    { ngx_string("js"), "text/javascript; charset=utf-8",
      { sizeof(ngx_http_hype_owner_page_js), ngx_http_hype_owner_page_js },
      NULL },

    { ngx_null_string, NULL, ngx_null_string, NULL }
};


/* what is behind "failed" is in the log */

static ngx_http_hype_status_problem_t  ngx_http_hype_owner_problems[] = {

    { ngx_string("pending"), ngx_string("not ready yet: ask again") },

    { ngx_string("pending"), ngx_string("not ready yet: ask again") },

    { ngx_string("busy"),
      ngx_string("too many users ask at the same time: ask again") },

    { ngx_string("away"),
      ngx_string("the database is away: ask again later") }
};

static ngx_http_hype_status_problem_t  ngx_http_hype_owner_failed = {
    ngx_string("failed"),
    ngx_string("links can't be shown: ask again later")
};


ngx_int_t
ngx_http_hype_owner_handler(ngx_http_request_t *r)
{
    uint32_t                      viewer;
    ngx_int_t                     rc;
    ngx_str_t                     user, arguments;
    ngx_http_hype_store_t        *store;
    ngx_http_hype_await_pt        send;
    ngx_http_hype_loc_conf_t     *hlcf;
    ngx_http_hype_main_conf_t    *hmcf;
    ngx_http_hype_status_part_t  *part;

    if (!ngx_http_hype_is_read(r)) {
        return ngx_http_hype_not_allowed(r);
    }

    rc = ngx_http_discard_request_body(r);
    if (rc != NGX_OK) {
        return rc;
    }

    hlcf = ngx_http_get_module_loc_conf(r, ngx_http_hype_module);

    rc = ngx_http_hype_owner_user(r, hlcf, &user);
    if (rc != NGX_OK) {
        return rc;
    }

    send = ngx_http_hype_owner_send_json;

    if (hlcf->links == NGX_HTTP_HYPE_LINKS_HTML) {

        part = ngx_http_hype_status_find(ngx_http_hype_owner_parts, &r->args);

        if (part->argument.len) {
            return ngx_http_hype_status_send(r, NGX_HTTP_OK, part->type,
                                             &part->text);
        }

        if (r->args.len != 4 || ngx_strncmp(r->args.data, "json", 4) != 0) {
            send = ngx_http_hype_owner_send_page;
        }
    }

    if (ngx_http_hype_owner_arguments(r, hlcf, &user, &arguments) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    hmcf = ngx_http_get_module_main_conf(r, ngx_http_hype_module);
    store = hmcf->store;

    viewer = ngx_http_hype_hash(store->cache->metrics->key, &user);

    return ngx_http_hype_await(r, &store->owner, &arguments, viewer,
                               NGX_HTTP_HYPE_OWNER_VALID, send);
}


/* NGX_OK, or what the handler returns */

static ngx_int_t
ngx_http_hype_owner_user(ngx_http_request_t *r,
    ngx_http_hype_loc_conf_t *hlcf, ngx_str_t *user)
{
    /* what this location says, and no other that the request has been in */

    if (ngx_http_hype_said(r, hlcf->user, user) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (user->len == 0) {
        return ngx_http_hype_owner_refuse(r);
    }

    if (!ngx_http_hype_owner_valid(user)) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "\"hype_links\" refuses a user id that is longer than "
                      "%d bytes, not UTF-8, or has control characters",
                      NGX_HTTP_HYPE_OWNER_USER);

        return ngx_http_hype_owner_refuse(r);
    }

    return NGX_OK;
}


/*
 * Where PostgreSQL does not take the bytes as they are, hits have others in
 * their place, and two users' ids may become the same: neither is shown
 * anything.  No link belongs to a user with control characters.
 */

static ngx_uint_t
ngx_http_hype_owner_valid(ngx_str_t *user)
{
    return user->len <= NGX_HTTP_HYPE_OWNER_USER
           && ngx_http_hype_utf8_length(user) == user->len
           && !ngx_http_hype_has_control(user);
}


static ngx_int_t
ngx_http_hype_owner_refuse(ngx_http_request_t *r)
{
    static ngx_str_t  no_store = ngx_string("no-store");

    if (ngx_http_hype_add_header(r, "Cache-Control", &no_store) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return NGX_HTTP_FORBIDDEN;
}


/* those of hype.owner_page(), which tell one report from others, too */

static ngx_int_t
ngx_http_hype_owner_arguments(ngx_http_request_t *r,
    ngx_http_hype_loc_conf_t *hlcf, ngx_str_t *user, ngx_str_t *arguments)
{
    u_char      *p;
    ngx_str_t    base;
    ngx_uint_t   create;

    if (ngx_http_hype_owner_base(r, hlcf, &base) != NGX_OK) {
        return NGX_ERROR;
    }

    arguments->data = ngx_pnalloc(r->pool, user->len + base.len
                                           + sizeof("\0off\0") - 1);
    if (arguments->data == NULL) {
        return NGX_ERROR;
    }

    create = hlcf->links_create
             && r->method == NGX_HTTP_GET
             && r->main->method != NGX_HTTP_HEAD;

    p = ngx_cpymem(arguments->data, user->data, user->len);
    *p++ = '\0';
    p = create ? ngx_cpymem(p, "on", 2) : ngx_cpymem(p, "off", 3);
    *p++ = '\0';
    p = ngx_cpymem(p, base.data, base.len);

    arguments->len = p - arguments->data;

    return NGX_OK;
}


static ngx_int_t
ngx_http_hype_owner_send_json(ngx_http_request_t *r,
    ngx_http_hype_report_wait_t *wait)
{
    ngx_str_t   text;
    ngx_uint_t  status;

    if (ngx_http_hype_owner_text(r, wait, &text, &status) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_hype_status_send(r, status, "application/json", &text);
}


static ngx_int_t
ngx_http_hype_owner_send_page(ngx_http_request_t *r,
    ngx_http_hype_report_wait_t *wait)
{
    ngx_str_t   text, page;
    ngx_uint_t  status;

    static ngx_str_t  referrer = ngx_string("same-origin");

    if (ngx_http_hype_owner_text(r, wait, &text, &status) != NGX_OK
        || ngx_http_hype_owner_put(r, &page, &text) != NGX_OK
        || ngx_http_hype_add_header(r, "Referrer-Policy", &referrer)
           != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_hype_status_send(r, status, NGX_HTTP_HYPE_STATUS_PAGE,
                                     &page);
}


/* what the database said, in a copy; or 503 and why there is nothing */

static ngx_int_t
ngx_http_hype_owner_text(ngx_http_request_t *r,
    ngx_http_hype_report_wait_t *wait, ngx_str_t *text, ngx_uint_t *status)
{
    u_char                         *p;
    ngx_http_hype_report_entry_t   *entry;
    ngx_http_hype_status_problem_t  *problem;

    static ngx_str_t   later = ngx_string("5");
    static const char  format[] = "{\"problem\": \"%V\", \"message\": \"%V\"}";

    entry = wait->entry;

    if (wait->wait.status == NGX_HTTP_HYPE_REPORT_FINE && entry
        && entry->text.len)
    {
        *status = NGX_HTTP_OK;
        text->len = entry->text.len;
        text->data = ngx_pstrdup(r->pool, &entry->text);

        return text->data ? NGX_OK : NGX_ERROR;
    }

    problem = (wait->wait.status <= NGX_HTTP_HYPE_REPORT_UNAVAILABLE)
              ? &ngx_http_hype_owner_problems[wait->wait.status]
              : &ngx_http_hype_owner_failed;

    *status = NGX_HTTP_SERVICE_UNAVAILABLE;

    text->data = ngx_pnalloc(r->pool, sizeof(format) + problem->name.len
                                      + problem->message.len);

    if (text->data == NULL
        || ngx_http_hype_add_header(r, "Retry-After", &later) != NGX_OK)
    {
        return NGX_ERROR;
    }

    p = ngx_sprintf(text->data, format, &problem->name, &problem->message);
    text->len = p - text->data;

    return NGX_OK;
}


/*
 * Puts the data into the page, in place of its "{}".  "<" would end, or
 * confuse, the element that they are in; in JSON it is in strings alone.
 */

static ngx_int_t
ngx_http_hype_owner_put(ngx_http_request_t *r, ngx_str_t *page,
    ngx_str_t *json)
{
    u_char  *p, *place, *last;
    size_t   i, less;

    place = ngx_http_hype_owner_page_html;
    last = place + sizeof(ngx_http_hype_owner_page_html);

    while (place < last - 2 && ngx_memcmp(place, "{}", 2) != 0) {
        place++;
    }

    less = 0;

    for (i = 0; i < json->len; i++) {
        less += (json->data[i] == '<');
    }

    page->data = ngx_pnalloc(r->pool, sizeof(ngx_http_hype_owner_page_html)
                                      + json->len
                                      + less * (sizeof("\\u003c") - 2));
    if (page->data == NULL) {
        return NGX_ERROR;
    }

    p = ngx_cpymem(page->data, ngx_http_hype_owner_page_html,
                   place - ngx_http_hype_owner_page_html);

    for (i = 0; i < json->len; i++) {
        if (json->data[i] == '<') {
            p = ngx_cpymem(p, "\\u003c", sizeof("\\u003c") - 1);

        } else {
            *p++ = json->data[i];
        }
    }

    place += 2;
    p = ngx_cpymem(p, place, last - place);

    page->len = p - page->data;

    return NGX_OK;
}
