
#include "ngx_http_hype_visit.h"


#define NGX_HTTP_HYPE_NO_STORE  0x01
#define NGX_HTTP_HYPE_NO_CACHE  0x02


static ngx_int_t ngx_http_hype_answer_add_cookie(ngx_http_request_t *r,
    ngx_http_hype_cookie_t *cookie, ngx_str_t *name, u_char *visitor,
    ngx_str_t *domain, ngx_str_t *path);
static ngx_uint_t ngx_http_hype_answer_strip(ngx_http_request_t *r);
static ngx_uint_t ngx_http_hype_answer_caching(ngx_str_t *name);
static ngx_uint_t ngx_http_hype_answer_said(ngx_str_t *value);


static ngx_str_t  ngx_http_hype_cache_control[] = {
    ngx_string("private"),
    ngx_string("private, no-store"),
    ngx_string("private, no-cache"),
    ngx_string("private, no-cache, no-store")
};

static ngx_str_t  ngx_http_hype_no_store = ngx_string("no-store");


/* what CDNs, and nginx as one, heed before "Cache-Control" */

static ngx_str_t  ngx_http_hype_caching_headers[] = {
    ngx_string("surrogate-control"),
    ngx_string("edge-control"),
    ngx_string("x-accel-expires"),
    ngx_null_string
};


/*
 * To clear it, several are sent: there may be one of the host alone beside that
 * of a domain, which is another cookie (RFC 6265, 5.3), and one of its former
 * name may have the default path, too.
 */

ngx_int_t
ngx_http_hype_answer_set_cookie(ngx_http_request_t *r,
    ngx_http_hype_cookie_t *cookie, ngx_str_t *name, u_char *visitor)
{
    ngx_str_t  domain, path;

    static ngx_str_t  host = ngx_null_string;
    static ngx_str_t  root = ngx_string("/");

    ngx_str_null(&domain);

    if (cookie->domain
        && ngx_http_hype_value(r, cookie->domain, &domain) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (ngx_http_hype_value(r, cookie->path, &path) != NGX_OK) {
        return NGX_ERROR;
    }

    /* a variable may have what ends the attribute, or the header */

    if (!ngx_http_hype_answer_attribute(&domain)
        || !ngx_http_hype_answer_attribute(&path))
    {
        /* a line end in one would forge a line of the log */

        if (ngx_http_hype_escape(r, &domain, &domain) != NGX_OK
            || ngx_http_hype_escape(r, &path, &path) != NGX_OK)
        {
            return NGX_ERROR;
        }

        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "invalid \"hype_cookie\" domain \"%V\" or path \"%V\"",
                      &domain, &path);
        domain = host;
        path = root;
    }

    if (name == &cookie->legacy
        && (domain.len || path.len != 1)
        && ngx_http_hype_answer_add_cookie(r, cookie, name, visitor, &host,
                                           &root)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (ngx_http_hype_answer_add_cookie(r, cookie, name, visitor, &domain,
                                        &path)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (visitor || name == &cookie->legacy || domain.len == 0) {
        return NGX_OK;
    }

    return ngx_http_hype_answer_add_cookie(r, cookie, name, NULL, &host,
                                           &path);
}


/* RFC 6265, 4.1 */

static ngx_int_t
ngx_http_hype_answer_add_cookie(ngx_http_request_t *r,
    ngx_http_hype_cookie_t *cookie, ngx_str_t *name, u_char *visitor,
    ngx_str_t *domain, ngx_str_t *path)
{
    u_char     *p;
    size_t      len;
    ngx_str_t   value, *age;

    static ngx_str_t  cleared =
        ngx_string("; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT");

    age = visitor ? &cookie->age : &cleared;

    len = name->len + 1 + NGX_HTTP_HYPE_UUID_TEXT_LEN + age->len
          + sizeof("; Domain=") - 1 + domain->len
          + sizeof("; Path=") - 1 + path->len
          + cookie->flags.len;

    value.data = ngx_pnalloc(r->pool, len);
    if (value.data == NULL) {
        return NGX_ERROR;
    }

    p = ngx_cpymem(value.data, name->data, name->len);
    *p++ = '=';

    if (visitor) {
        p = ngx_http_hype_uuid_format(p, visitor);
    }

    p = ngx_cpymem(p, age->data, age->len);

    if (domain->len) {
        p = ngx_cpymem(p, "; Domain=", sizeof("; Domain=") - 1);
        p = ngx_cpymem(p, domain->data, domain->len);
    }

    p = ngx_cpymem(p, "; Path=", sizeof("; Path=") - 1);
    p = ngx_cpymem(p, path->data, path->len);
    p = ngx_cpymem(p, cookie->flags.data, cookie->flags.len);

    value.len = p - value.data;

    return ngx_http_hype_add_header(r, "Set-Cookie", &value);
}


ngx_uint_t
ngx_http_hype_answer_attribute(ngx_str_t *value)
{
    return !ngx_http_hype_has_control(value)
           && ngx_strlchr(value->data, value->data + value->len, ';') == NULL;
}


ngx_int_t
ngx_http_hype_answer_cache_control(ngx_http_request_t *r,
    ngx_uint_t redirected)
{
    ngx_uint_t  said;

    said = ngx_http_hype_answer_strip(r);

    return ngx_http_hype_add_header(r, "Cache-Control",
                                    redirected
                                    ? &ngx_http_hype_no_store
                                    : &ngx_http_hype_cache_control[said]);
}


/* Takes out all headers that tell caches to store the answer. */

static ngx_uint_t
ngx_http_hype_answer_strip(ngx_http_request_t *r)
{
    ngx_uint_t        i, said;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    said = 0;

    for (part = &r->headers_out.headers.part; part; part = part->next) {

        h = part->elts;

        for (i = 0; i < part->nelts; i++) {

            if (h[i].hash == 0 || !ngx_http_hype_answer_caching(&h[i].key)) {
                continue;
            }

            if (h[i].key.len == sizeof("cache-control") - 1) {
                said |= ngx_http_hype_answer_said(&h[i].value);
            }

            h[i].hash = 0;
        }
    }

    return said;
}


/* RFC 9213: "CDN-Cache-Control" and the like, too */

static ngx_uint_t
ngx_http_hype_answer_caching(ngx_str_t *name)
{
    ngx_str_t  *header;

    static const size_t  control = sizeof("cache-control") - 1;

    if (name->len >= control
        && ngx_strncasecmp(name->data + name->len - control,
                           (u_char *) "cache-control", control)
           == 0)
    {
        return 1;
    }

    for (header = ngx_http_hype_caching_headers; header->len; header++) {
        if (name->len == header->len
            && ngx_strncasecmp(name->data, header->data, header->len) == 0)
        {
            return 1;
        }
    }

    return 0;
}


static ngx_uint_t
ngx_http_hype_answer_said(ngx_str_t *value)
{
    u_char      *last;
    ngx_uint_t   said;

    said = 0;
    last = value->data + value->len;

    if (ngx_strlcasestrn(value->data, last, (u_char *) "no-store", 8 - 1)) {
        said |= NGX_HTTP_HYPE_NO_STORE;
    }

    if (ngx_strlcasestrn(value->data, last, (u_char *) "no-cache", 8 - 1)) {
        said |= NGX_HTTP_HYPE_NO_CACHE;
    }

    return said;
}
