
#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_http_hype_identifier.h"


static size_t ngx_http_hype_space(u_char *p, u_char *last);


/* [A-Za-z0-9_.~-] */

static uint32_t  ngx_http_hype_identifier_chars[] = {
    0x00000000, /* 0000 0000 0000 0000  0000 0000 0000 0000 */

                /* ?>=< ;:98 7654 3210  /.-, +*)( '&%$ #"!  */
    0x03ff6000, /* 0000 0011 1111 1111  0110 0000 0000 0000 */

                /* _^]\ [ZYX WVUT SRQP  ONML KJIH GFED CBA@ */
    0x87fffffe, /* 1000 0111 1111 1111  1111 1111 1111 1110 */

                /*  ~}| {zyx wvut srqp  onml kjih gfed cba` */
    0x47fffffe, /* 0100 0111 1111 1111  1111 1111 1111 1110 */

    0x00000000, /* 0000 0000 0000 0000  0000 0000 0000 0000 */
    0x00000000, /* 0000 0000 0000 0000  0000 0000 0000 0000 */
    0x00000000, /* 0000 0000 0000 0000  0000 0000 0000 0000 */
    0x00000000  /* 0000 0000 0000 0000  0000 0000 0000 0000 */
};


ngx_uint_t
ngx_http_hype_identifier_valid(ngx_str_t *identifier)
{
    u_char  c;
    size_t  i;

    if (identifier->len == 0
        || identifier->len > NGX_HTTP_HYPE_IDENTIFIER_MAX)
    {
        return 0;
    }

    for (i = 0; i < identifier->len; i++) {
        c = identifier->data[i];

        if (!(ngx_http_hype_identifier_chars[c >> 5] & (1U << (c & 0x1f)))) {
            return 0;
        }
    }

    return 1;
}


size_t
ngx_http_hype_identifier_fold(u_char *dst, ngx_str_t *src)
{
    u_char      *p, *d, *last;
    size_t       n;
    ngx_uint_t   slash;

    d = dst;
    last = src->data + src->len;

    for (p = src->data; p < last; /* void */) {

        n = ngx_http_hype_space(p, last);

        if (n) {
            p += n;
            continue;
        }

        *d++ = ngx_tolower(*p);
        p++;
    }

    for (slash = 0; d > dst; d--) {

        if (d[-1] == '/' && !slash) {
            slash = 1;
            continue;
        }

        if (d[-1] == '\0' || ngx_strchr(".,;:!?)]}>'\"", d[-1]) == NULL) {
            break;
        }
    }

    return d - dst;
}


/*
 * The length of white space in UTF-8 that "p" begins with, as Unicode's
 * White_Space has it, and of U+200B; 0 for anything else
 */

static size_t
ngx_http_hype_space(u_char *p, u_char *last)
{
    if (*p == ' ' || (*p >= '\t' && *p <= '\r')) {
        return 1;
    }

    if (last - p >= 2 && p[0] == 0xc2 && (p[1] == 0x85 || p[1] == 0xa0)) {
        return 2;
    }

    if (last - p < 3) {
        return 0;
    }

    switch (p[0] << 16 | p[1] << 8 | p[2]) {

    case 0xe19a80: /* U+1680 */
    case 0xe280a8: /* U+2028 */
    case 0xe280a9: /* U+2029 */
    case 0xe280af: /* U+202F */
    case 0xe2819f: /* U+205F */
    case 0xe38080: /* U+3000 */
        return 3;
    }

    /* U+2000 to U+200B */

    return (p[0] == 0xe2 && p[1] == 0x80 && p[2] >= 0x80 && p[2] <= 0x8b)
           ? 3 : 0;
}
