
#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_http_hype_uri.h"


static ngx_uint_t ngx_http_hype_dots(u_char *p, u_char *last);


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


static ngx_inline u_char *
ngx_http_hype_arg_end(u_char *p, u_char *last)
{
    u_char  *amp;

    amp = memchr(p, '&', last - p);

    return amp ? amp : last;
}


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

        amp = ngx_http_hype_arg_end(p, last);

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

        amp = ngx_http_hype_arg_end(p, last);

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

        amp = ngx_http_hype_arg_end(p, last);

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
    u_char      c, *p, *last;
    size_t      escaped;
    ngx_uint_t  fragments, escape;

    static u_char  hex[] = "0123456789ABCDEF";

    escaped = 0;
    fragments = 0;

    last = src->data + src->len;

    for (p = src->data; p < last; p++) {
        c = *p;

        if (ngx_http_hype_uri_chars[c >> 5] & (1U << (c & 0x1f))) {

            escape = (c == '%') ? last - p < 3
                                  || ngx_http_hype_unhex(p + 1) == NGX_ERROR
                     : (c == '#') ? fragments++ : 1;

            if (escape) {
                escaped++;

                if (dst) {
                    *dst++ = '%';
                    *dst++ = hex[c >> 4];
                    c = hex[c & 0xf];
                }
            }
        }

        if (dst) {
            *dst++ = c;
        }
    }

    return src->len + 2 * escaped;
}


ngx_int_t
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
