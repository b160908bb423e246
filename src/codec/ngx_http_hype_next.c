
#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_http_hype_next.h"
#include "ngx_http_hype_uri.h"


/* escapes within escapes that are followed in a path, far more than is sane */

#define NGX_HTTP_HYPE_PENDING_MAX  16


typedef enum {
    NGX_HTTP_HYPE_SEGMENT_EMPTY = 0,
    NGX_HTTP_HYPE_SEGMENT_DOT,
    NGX_HTTP_HYPE_SEGMENT_DOTDOT,
    NGX_HTTP_HYPE_SEGMENT_NAME
} ngx_http_hype_segment_e;


typedef struct {
    ngx_http_hype_segment_e    segment;
    ngx_uint_t                 top;      /* no name may be before this one */
} ngx_http_hype_path_t;


static ngx_uint_t ngx_http_hype_path_safe(u_char *p, u_char *last);
static ngx_uint_t ngx_http_hype_path_byte(ngx_http_hype_path_t *path,
    u_char c);
static ngx_uint_t ngx_http_hype_authority_safe(u_char *p, u_char *last,
    ngx_int_t port, ngx_str_t *hosts, ngx_uint_t nhosts);
static u_char *ngx_http_hype_host_end(u_char *p, u_char *last);
static ngx_int_t ngx_http_hype_port(u_char *p, u_char *last);
static ngx_uint_t ngx_http_hype_host_matches(ngx_str_t *host, ngx_int_t port,
    ngx_str_t *listed);
static ngx_uint_t ngx_http_hype_lower_equal(u_char *s, u_char *lower,
    size_t n);


ngx_uint_t
ngx_http_hype_next_safe(ngx_str_t *next, ngx_str_t *hosts, ngx_uint_t nhosts)
{
    u_char  *p, *last;

    if (next->len == 0 || ngx_http_hype_has_control(next)) {
        return 0;
    }

    p = next->data;
    last = p + next->len;

    if (*p == '/') {
        return ngx_http_hype_path_safe(p + 1, last);
    }

    if (next->len > 7
        && ngx_http_hype_lower_equal(p, (u_char *) "http://", 7))
    {
        return ngx_http_hype_authority_safe(p + 7, last, 80, hosts, nhosts);
    }

    if (next->len > 8
        && ngx_http_hype_lower_equal(p, (u_char *) "https://", 8))
    {
        return ngx_http_hype_authority_safe(p + 8, last, 443, hosts, nhosts);
    }

    return 0;
}


/*
 * A path must not be "//host" for anything that looks at it later, however
 * many times that decodes it, before or after it removes dot segments.  So
 * it is looked at with all escapes decoded, escapes of escapes included:
 * whatever is a "/", a "\" or a dot segment with fewer of them decoded is
 * one here as well.
 *
 * "p" is past the leading "/".
 */

static ngx_uint_t
ngx_http_hype_path_safe(u_char *p, u_char *last)
{
    u_char                pending[NGX_HTTP_HYPE_PENDING_MAX];
    ngx_int_t             c;
    ngx_uint_t            i, n;
    ngx_http_hype_path_t  path;

    n = 0;
    path.segment = NGX_HTTP_HYPE_SEGMENT_EMPTY;
    path.top = 1;

    while (p < last && *p != '?' && *p != '#') {

        if (n == NGX_HTTP_HYPE_PENDING_MAX) {
            return 0;
        }

        pending[n++] = *p++;

        /* an escape that ends here may end the one around it: "%2%66" */

        while (n > 2 && pending[n - 3] == '%') {

            c = ngx_http_hype_unhex(&pending[n - 2]);
            if (c == NGX_ERROR) {
                break;
            }

            n -= 2;
            pending[n - 1] = (u_char) c;
        }

        if (pending[n - 1] == '%' || (n > 1 && pending[n - 2] == '%')) {
            continue;
        }

        for (i = 0; i < n; i++) {
            if (!ngx_http_hype_path_byte(&path, pending[i])) {
                return 0;
            }
        }

        n = 0;
    }

    for (i = 0; i < n; i++) {
        if (!ngx_http_hype_path_byte(&path, pending[i])) {
            return 0;
        }
    }

    return 1;
}


static ngx_uint_t
ngx_http_hype_path_byte(ngx_http_hype_path_t *path, u_char c)
{
    switch (c) {

    case '/':
    case '\\':

        switch (path->segment) {

        case NGX_HTTP_HYPE_SEGMENT_EMPTY:
            if (path->top) {
                return 0;
            }
            break;

        case NGX_HTTP_HYPE_SEGMENT_DOT:
            break;

        case NGX_HTTP_HYPE_SEGMENT_DOTDOT:
            path->top = 1;
            break;

        case NGX_HTTP_HYPE_SEGMENT_NAME:
            path->top = 0;
            break;
        }

        path->segment = NGX_HTTP_HYPE_SEGMENT_EMPTY;
        return 1;

    case '.':

        if (path->segment != NGX_HTTP_HYPE_SEGMENT_NAME) {
            path->segment++;
        }

        return 1;

    default:

        /* browsers leave tabs and line ends out: "/%09/host" */

        if (c < 0x20 || c == 0x7f) {
            return 0;
        }

        path->segment = NGX_HTTP_HYPE_SEGMENT_NAME;
        return 1;
    }
}


/*
 * "p" is past "://".  An authority that is a listed host and maybe a port,
 * to the letter, can't be read in two ways; so there is no need to know what
 * a browser makes of credentials, backslashes, escapes or other alphabets.
 */

static ngx_uint_t
ngx_http_hype_authority_safe(u_char *p, u_char *last, ngx_int_t port,
    ngx_str_t *hosts, ngx_uint_t nhosts)
{
    u_char      *end;
    ngx_str_t    host;
    ngx_uint_t   i;

    host.data = p;

    p = ngx_http_hype_host_end(p, last);
    if (p == NULL) {
        return 0;
    }

    host.len = p - host.data;

    for (end = p; end < last; end++) {
        if (*end == '/' || *end == '?' || *end == '#') {
            break;
        }
    }

    if (p < end) {

        if (*p != ':') {
            return 0;
        }

        port = ngx_http_hype_port(p + 1, end);
        if (port == NGX_ERROR) {
            return 0;
        }
    }

    for (i = 0; i < nhosts; i++) {
        if (ngx_http_hype_host_matches(&host, port, &hosts[i])) {
            return 1;
        }
    }

    return 0;
}


/* the end of a name without empty labels, or of what is in brackets */

static u_char *
ngx_http_hype_host_end(u_char *p, u_char *last)
{
    u_char  c, prev;

    if (p < last && *p == '[') {
        p = ngx_strlchr(p, last, ']');
        return (p == NULL) ? NULL : p + 1;
    }

    for (prev = '.'; p < last; prev = *p++) {
        c = (u_char) (*p | 0x20);

        if ((c >= 'a' && c <= 'z') || (*p >= '0' && *p <= '9') || *p == '-') {
            continue;
        }

        if (*p != '.') {
            break;
        }

        if (prev == '.') {
            return NULL;
        }
    }

    return (prev == '.') ? NULL : p;
}


static ngx_int_t
ngx_http_hype_port(u_char *p, u_char *last)
{
    ngx_int_t  port;

    if (p == last || last - p > 5) {
        return NGX_ERROR;
    }

    for (port = 0; p < last; p++) {

        if (*p < '0' || *p > '9') {
            return NGX_ERROR;
        }

        port = port * 10 + (*p - '0');
    }

    return (port > 65535) ? NGX_ERROR : port;
}


static ngx_uint_t
ngx_http_hype_host_matches(ngx_str_t *host, ngx_int_t port, ngx_str_t *listed)
{
    size_t   len;
    u_char  *p, *last;

    if (listed->len == 0) {
        return 0;
    }

    p = listed->data;
    last = p + listed->len;

    /* no ":" of an IPv6 address is outside of its brackets */

    while (last > p && last[-1] >= '0' && last[-1] <= '9') {
        last--;
    }

    if (last > p && last[-1] == ':') {

        if (ngx_http_hype_port(last, p + listed->len) != port) {
            return 0;
        }

        last--;

    } else {
        last = p + listed->len;
    }

    len = last - p;

    if (host->len == len) {
        return ngx_http_hype_lower_equal(host->data, p, len);
    }

    if (*p != '.') {
        return 0;
    }

    if (host->len == len - 1) {
        return ngx_http_hype_lower_equal(host->data, p + 1, len - 1);
    }

    return host->len > len
           && ngx_http_hype_lower_equal(host->data + host->len - len, p, len);
}


static ngx_uint_t
ngx_http_hype_lower_equal(u_char *s, u_char *lower, size_t n)
{
    u_char  c;

    while (n--) {
        c = *s++;

        if (ngx_tolower(c) != *lower++) {
            return 0;
        }
    }

    return 1;
}
