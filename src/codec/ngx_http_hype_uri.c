
#include <ngx_config.h>
#include <ngx_core.h>
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


static ngx_uint_t ngx_http_hype_dots(u_char *p, u_char *last);
static ngx_int_t ngx_http_hype_unhex(u_char *p);
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


/* what may not stand in a URI reference, and "%" and "#", which may not all */

static uint32_t  ngx_http_hype_uri_chars[] = {
    0xffffffff, /* 1111 1111 1111 1111  1111 1111 1111 1111 */

                /* ?>=< ;:98 7654 3210  /.-, +*)( '&%$ #"!  */
    0x5000002d, /* 0101 0000 0000 0000  0000 0000 0010 1101 */

                /* _^]\ [ZYX WVUT SRQP  ONML KJIH GFED CBA@ */
    0x50000000, /* 0101 0000 0000 0000  0000 0000 0000 0000 */

                /*  ~}| {zyx wvut srqp  onml kjih gfed cba` */
    0xb8000001, /* 1011 1000 0000 0000  0000 0000 0000 0001 */

    0xffffffff, /* 1111 1111 1111 1111  1111 1111 1111 1111 */
    0xffffffff, /* 1111 1111 1111 1111  1111 1111 1111 1111 */
    0xffffffff, /* 1111 1111 1111 1111  1111 1111 1111 1111 */
    0xffffffff  /* 1111 1111 1111 1111  1111 1111 1111 1111 */
};


/* most arguments are others, which their length or first byte tells */

static ngx_inline u_char *
ngx_http_hype_arg_value(u_char *p, u_char *last, ngx_str_t *names,
    ngx_uint_t nnames)
{
    u_char      *eq;
    size_t       len;
    ngx_uint_t   i;

    for (i = 0; i < nnames; i++) {

        len = names[i].len;

        if ((size_t) (last - p) < len || *p != *names[i].data) {
            continue;
        }

        eq = p + len;

        if ((eq == last || *eq == '=')
            && ngx_memcmp(names[i].data, p, len) == 0)
        {
            return (eq == last) ? last : eq + 1;
        }
    }

    return NULL;
}


ngx_int_t
ngx_http_hype_args_find(ngx_str_t *args, ngx_str_t *names,
    ngx_uint_t nnames, ngx_str_t *value)
{
    u_char     *p, *v, *amp, *last;
    ngx_int_t   rc;

    if (args->len == 0) {
        return NGX_DECLINED;
    }

    rc = NGX_DECLINED;
    last = args->data + args->len;

    for (p = args->data; p < last; p = amp + 1) {

        amp = memchr(p, '&', last - p);
        if (amp == NULL) {
            amp = last;
        }

        v = ngx_http_hype_arg_value(p, amp, names, nnames);

        if (v) {
            value->data = v;
            value->len = amp - v;
            rc = NGX_OK;
        }
    }

    return rc;
}


size_t
ngx_http_hype_args_remove(u_char *dst, ngx_str_t *args, ngx_str_t *names,
    ngx_uint_t nnames)
{
    u_char      *p, *d, *amp, *last;
    ngx_uint_t   kept;

    if (args->len == 0) {
        return 0;
    }

    d = dst;
    p = args->data;
    last = p + args->len;
    kept = 0;

    for ( ;; ) {

        /* not up to "p < last": an empty last argument is kept too */

        amp = ngx_strlchr(p, last, '&');
        if (amp == NULL) {
            amp = last;
        }

        if (ngx_http_hype_arg_value(p, amp, names, nnames) == NULL) {

            if (kept) {
                *d++ = '&';
            }

            d = ngx_movemem(d, p, amp - p);
            kept = 1;
        }

        if (amp == last) {
            return d - dst;
        }

        p = amp + 1;
    }
}


size_t
ngx_http_hype_args_keep(u_char *dst, size_t max, ngx_str_t *args,
    ngx_str_t *names, ngx_uint_t nnames)
{
    size_t       len;
    u_char      *p, *d, *amp, *last;
    ngx_uint_t   kept;

    d = dst;
    last = args->data + args->len;
    kept = 0;

    for (p = args->data; p < last; p = amp + 1) {

        amp = memchr(p, '&', last - p);
        if (amp == NULL) {
            amp = last;
        }

        if (ngx_http_hype_arg_value(p, amp, names, nnames) == NULL) {
            continue;
        }

        len = kept + (amp - p);

        if (len > max) {
            break;
        }

        max -= len;

        if (kept) {
            *d++ = '&';
        }

        d = ngx_cpymem(d, p, amp - p);
        kept = 1;
    }

    return d - dst;
}


size_t
ngx_http_hype_unescape(u_char *dst, ngx_str_t *src)
{
    size_t      i;
    u_char     *d;
    ngx_int_t   c;

    d = dst;

    for (i = 0; i < src->len; i++) {

        if (src->data[i] == '%' && src->len - i > 2) {
            c = ngx_http_hype_unhex(&src->data[i + 1]);

            if (c != NGX_ERROR) {
                *d++ = (u_char) c;
                i += 2;
                continue;
            }
        }

        *d++ = src->data[i];
    }

    return d - dst;
}


size_t
ngx_http_hype_unescape_plus(u_char *dst, ngx_str_t *src)
{
    size_t     i;
    ngx_str_t  s;

    /* before the escapes: "%2B" is a "+" */

    for (i = 0; i < src->len; i++) {
        dst[i] = (src->data[i] == '+') ? ' ' : src->data[i];
    }

    s.data = dst;
    s.len = src->len;

    return ngx_http_hype_unescape(dst, &s);
}


size_t
ngx_http_hype_path_resolve(u_char *dst, ngx_str_t *path)
{
    u_char      *p, *d, *end, *last;
    ngx_uint_t   dots;

    d = dst;
    last = path->data + path->len;

    for (p = path->data; p < last; p = end) {

        for (end = p + 1; end < last && *end != '/'; end++) { /* void */ }

        dots = ngx_http_hype_dots(p + 1, end);

        if (dots == 0) {
            d = ngx_movemem(d, p, end - p);
            continue;
        }

        if (dots == 2) {
            while (d > dst && *--d != '/') { /* void */ }
        }

        if (end == last) {
            *d++ = '/';
        }
    }

    return d - dst;
}


/* of a dot segment: 1 or 2; else 0 */

static ngx_uint_t
ngx_http_hype_dots(u_char *p, u_char *last)
{
    ngx_uint_t  n;

    for (n = 0; p < last && n < 3; n++) {

        if (*p == '.') {
            p++;

        } else if (last - p >= 3 && p[0] == '%' && p[1] == '2'
                   && (p[2] | 0x20) == 'e')
        {
            p += 3;

        } else {
            return 0;
        }
    }

    return (p == last && n < 3) ? n : 0;
}


size_t
ngx_http_hype_uri_escape(u_char *dst, ngx_str_t *src)
{
    u_char      c;
    size_t      i, n;
    ngx_uint_t  fragment, escape;

    static u_char  hex[] = "0123456789ABCDEF";

    n = 0;
    fragment = 0;

    for (i = 0; i < src->len; i++) {
        c = src->data[i];

        escape = (ngx_http_hype_uri_chars[c >> 5] & (1U << (c & 0x1f))) != 0;

        if (c == '%') {
            escape = (src->len - i < 3
                      || ngx_http_hype_unhex(&src->data[i + 1]) == NGX_ERROR);

        } else if (c == '#') {
            escape = fragment;
            fragment = 1;
        }

        if (dst == NULL) {
            n += escape ? 3 : 1;
            continue;
        }

        if (escape) {
            dst[n++] = '%';
            dst[n++] = hex[c >> 4];
            c = hex[c & 0xf];
        }

        dst[n++] = c;
    }

    return n;
}


static ngx_int_t
ngx_http_hype_unhex(u_char *p)
{
    u_char      c;
    ngx_int_t   n;
    ngx_uint_t  i;

    n = 0;

    for (i = 0; i < 2; i++) {
        c = (u_char) (p[i] | 0x20);

        if (p[i] >= '0' && p[i] <= '9') {
            n = n * 16 + (p[i] - '0');

        } else if (c >= 'a' && c <= 'f') {
            n = n * 16 + (c - 'a' + 10);

        } else {
            return NGX_ERROR;
        }
    }

    return n;
}


ngx_uint_t
ngx_http_hype_has_control(ngx_str_t *text)
{
    size_t  i;

    for (i = 0; i < text->len; i++) {
        if (text->data[i] < 0x20 || text->data[i] == 0x7f) {
            return 1;
        }
    }

    return 0;
}


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
