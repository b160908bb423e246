
#include "ngx_http_hype_target.h"


static ngx_int_t ngx_http_hype_target_split(ngx_http_request_t *r,
    ngx_str_t *target, ngx_http_hype_target_t *t);
static ngx_int_t ngx_http_hype_target_relative(ngx_http_request_t *r,
    u_char *p, u_char *last, ngx_http_hype_target_t *t);
static void ngx_http_hype_target_host(u_char *p, u_char *last,
    ngx_str_t *host);
static u_char *ngx_http_hype_target_scheme(u_char *p, u_char *last);
static ngx_int_t ngx_http_hype_target_strip(ngx_http_request_t *r,
    ngx_str_t *target, ngx_str_t *query, ngx_array_t *params);


ngx_int_t
ngx_http_hype_target(ngx_http_request_t *r, ngx_str_t *target,
    ngx_str_t *next)
{
    ngx_int_t                  rc;
    ngx_str_t                  value;
    ngx_http_hype_target_t     t;
    ngx_http_hype_loc_conf_t  *hlcf;

    ngx_str_null(next);

    rc = ngx_http_hype_target_split(r, target, &t);

    if (rc == NGX_DECLINED) {
        return NGX_OK;
    }

    if (rc != NGX_OK) {
        return NGX_ERROR;
    }

    if (t.path.len == 0) {
        return NGX_DECLINED;
    }

    rc = ngx_http_hype_target_conf(r, &t, &hlcf);

    if (rc != NGX_OK) {
        return rc;
    }

    if (hlcf == NULL) {
        return NGX_OK;
    }

    if (!hlcf->ref) {
        return ngx_http_hype_target_strip(r, target, &t.query, hlcf->params);
    }

    if (ngx_http_hype_args_find(&t.query, &hlcf->next_param, 1, &value)
        == NGX_OK)
    {
        next->data = ngx_pnalloc(r->pool, value.len + 1);
        if (next->data == NULL) {
            return NGX_ERROR;
        }

        next->len = ngx_http_hype_unescape(next->data, &value);
    }

    return NGX_DECLINED;
}


ngx_http_hype_loc_conf_t *
ngx_http_hype_target_ref(ngx_http_request_t *r, ngx_str_t *target)
{
    ngx_http_hype_target_t     t;
    ngx_http_hype_loc_conf_t  *hlcf;

    if (ngx_http_hype_target_split(r, target, &t) != NGX_OK
        || t.path.len == 0)
    {
        return NULL;
    }

    if (ngx_http_hype_target_conf(r, &t, &hlcf) != NGX_OK) {
        return NULL;
    }

    return (hlcf && hlcf->ref) ? hlcf : NULL;
}


ngx_uint_t
ngx_http_hype_target_foreign(ngx_http_request_t *r, ngx_str_t *target)
{
    u_char                  *colon, *last;
    ngx_int_t                rc;
    ngx_http_hype_target_t   t;

    rc = ngx_http_hype_target_split(r, target, &t);

    if (rc == NGX_OK) {
        return t.host.len && !ngx_http_hype_target_own(r, &t.host);
    }

    /* "app://..." may have arguments, "mailto:..." means others by them */

    last = target->data + target->len;
    colon = ngx_strlchr(target->data, last, ':');

    return rc == NGX_DECLINED
           && colon && last - colon > 2
           && colon[1] == '/' && colon[2] == '/';
}


ngx_int_t
ngx_http_hype_target_path(ngx_http_request_t *r, ngx_str_t *target,
    ngx_str_t *path)
{
    ngx_int_t                  rc;
    ngx_http_hype_target_t     t;
    ngx_http_core_srv_conf_t  *cscf;

    rc = ngx_http_hype_target_split(r, target, &t);

    if (rc != NGX_OK) {
        return rc;
    }

    if (t.host.len || t.path.len == 0) {
        return NGX_DECLINED;
    }

    cscf = ngx_http_get_module_srv_conf(r, ngx_http_core_module);

    return ngx_http_hype_target_uri(r, cscf, &t.path, path);
}


/*
 * As browsers do (WHATWG URL Standard, 4.4): two slashes or more are before a
 * host, also without a scheme.  NGX_DECLINED: it is no URL of http or https.
 */

static ngx_int_t
ngx_http_hype_target_split(ngx_http_request_t *r, ngx_str_t *target,
    ngx_http_hype_target_t *t)
{
    u_char      *p, *end, *last;
    ngx_str_t    host;
    ngx_uint_t   slashes;

    ngx_memzero(t, sizeof(ngx_http_hype_target_t));

    p = target->data;
    last = p + target->len;

    end = ngx_strlchr(p, last, '#');
    if (end) {
        last = end;
    }

    p = ngx_http_hype_target_scheme(p, last);
    if (p == NULL) {
        return NGX_DECLINED;
    }

    for (slashes = 0; p < last && *p == '/'; p++) {
        slashes++;
    }

    for (end = p; end < last && *end != '?'; end++) { /* void */ }

    if (end < last) {
        t->query.data = end + 1;
        t->query.len = last - end - 1;
    }

    if (slashes == 0) {
        return ngx_http_hype_target_relative(r, p, last, t);
    }

    if (slashes == 1) {
        t->path.data = p - 1;
        t->path.len = last - p + 1;
        return NGX_OK;
    }

    for (end = p; end < last && *end != '/' && *end != '?'; end++) {
        /* void */
    }

    ngx_http_hype_target_host(p, end, &host);

    /* browsers decode it */

    t->host.data = ngx_pnalloc(r->pool, host.len + 1);
    if (t->host.data == NULL) {
        return NGX_ERROR;
    }

    t->host.len = ngx_http_hype_unescape(t->host.data, &host);

    if (end < last && *end == '/') {
        t->path.data = end;
        t->path.len = last - end;

    } else {
        ngx_str_set(&t->path, "/");
    }

    return (t->host.len) ? NGX_OK : NGX_DECLINED;
}


/* behind "http:" or "https:", or where there is no scheme; else NULL */

static u_char *
ngx_http_hype_target_scheme(u_char *p, u_char *last)
{
    u_char  c, *colon;

    /* RFC 3986, 3.1; what has other characters before ":" is a path */

    for (colon = p; colon < last && *colon != ':'; colon++) {
        c = (u_char) (*colon | 0x20);

        if (c >= 'a' && c <= 'z') {
            continue;
        }

        if (colon > p
            && ((*colon >= '0' && *colon <= '9')
                || *colon == '+' || *colon == '-' || *colon == '.'))
        {
            continue;
        }

        return p;
    }

    if (colon == p || colon == last) {
        return p;
    }

    if ((colon - p == 4 && ngx_strncasecmp(p, (u_char *) "http", 4) == 0)
        || (colon - p == 5 && ngx_strncasecmp(p, (u_char *) "https", 5) == 0))
    {
        return colon + 1;
    }

    return NULL;
}


/* a query or fragment alone is of the URL that redirects there */

static ngx_int_t
ngx_http_hype_target_relative(ngx_http_request_t *r, u_char *p, u_char *last,
    ngx_http_hype_target_t *t)
{
    u_char     *end;
    ngx_str_t   base;

    if (p == last || *p == '?') {
        return NGX_OK;
    }

    /* there is no path in "http://host?args" */

    ngx_str_set(&base, "/");

    for (end = r->unparsed_uri.data;
         end < r->unparsed_uri.data + r->unparsed_uri.len
         && *end != '?' && *end != '#';
         end++)
    {
        if (*end == '/') {
            base.data = r->unparsed_uri.data;
            base.len = end + 1 - base.data;
        }
    }

    t->path.len = base.len + (last - p);

    t->path.data = ngx_pnalloc(r->pool, t->path.len);
    if (t->path.data == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(ngx_cpymem(t->path.data, base.data, base.len), p, last - p);

    return NGX_OK;
}


/* without credentials, port, and the dot at its end */

static void
ngx_http_hype_target_host(u_char *p, u_char *last, ngx_str_t *host)
{
    u_char  *at, *end;

    while ((at = ngx_strlchr(p, last, '@')) != NULL) {
        p = at + 1;
    }

    for (end = last; end > p && end[-1] >= '0' && end[-1] <= '9'; end--) {
        /* void */
    }

    if (end > p && end[-1] == ':') {
        last = end - 1;
    }

    if (last > p && last[-1] == '.') {
        last--;
    }

    host->data = p;
    host->len = last - p;
}


static ngx_int_t
ngx_http_hype_target_strip(ngx_http_request_t *r, ngx_str_t *target,
    ngx_str_t *query, ngx_array_t *params)
{
    u_char     *p, *url, *last, *start, *end;
    size_t      len;
    ngx_str_t   value;

    if (params == NULL
        || ngx_http_hype_args_find(query, params->elts, params->nelts, &value)
           != NGX_OK)
    {
        return NGX_OK;
    }

    url = ngx_pnalloc(r->pool, target->len);
    if (url == NULL) {
        return NGX_ERROR;
    }

    start = query->data;
    end = start + query->len;
    last = target->data + target->len;

    p = ngx_cpymem(url, target->data, start - target->data);

    len = ngx_http_hype_args_remove(p, query, params->elts, params->nelts);

    /* there is no "?" for no arguments */

    p += len ? (ngx_int_t) len : -1;

    p = ngx_cpymem(p, end, last - end);

    target->data = url;
    target->len = p - url;

    return NGX_OK;
}
