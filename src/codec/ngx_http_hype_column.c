
#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_http_hype_uuid.h"
#include "ngx_http_hype_column.h"


/* seconds from the Unix epoch to the year 10000 */
#define NGX_HTTP_HYPE_YEAR10000  253402300800LL


static u_char *ngx_http_hype_utf8_span(u_char *p, u_char *last);
static ngx_uint_t ngx_http_hype_utf8_plain(u_char *p);
static size_t ngx_http_hype_utf8_char(u_char *p, u_char *last);
static ngx_uint_t ngx_http_hype_column_valid(u_char *p, size_t len,
    ngx_http_hype_column_e type);


static ngx_uint_t  ngx_http_hype_array_elements[][2] = {
    { NGX_HTTP_HYPE_ARRAY_BOOL, 16 },
    { NGX_HTTP_HYPE_ARRAY_SMALLINT, 21 },
    { NGX_HTTP_HYPE_ARRAY_TEXT, 25 },
    { NGX_HTTP_HYPE_ARRAY_BIGINT, 20 },
    { NGX_HTTP_HYPE_ARRAY_INET, 869 },
    { NGX_HTTP_HYPE_ARRAY_TIMESTAMPTZ, 1184 },
    { NGX_HTTP_HYPE_ARRAY_UUID, 2950 },
    { 0, 0 }
};


size_t
ngx_http_hype_utf8_length(ngx_str_t *src)
{
    size_t   len;
    u_char  *p, *last;

    if (src->len == 0) {
        return 0;
    }

    len = src->len;
    last = src->data + src->len;

    for (p = src->data; /* void */ ; p++) {

        p = ngx_http_hype_utf8_span(p, last);
        if (p == last) {
            return len;
        }

        len += sizeof("\xef\xbf\xbd") - 2;
    }
}


void
ngx_http_hype_utf8_cut(ngx_str_t *src, size_t max)
{
    size_t   n, len;
    u_char  *p, *last;

    if (src->len <= max / (sizeof("\xef\xbf\xbd") - 1)) {
        return;
    }

    last = src->data + src->len;
    len = 0;

    for (p = src->data; p < last; p += n) {

        n = ngx_http_hype_utf8_char(p, last);
        len += n ? n : sizeof("\xef\xbf\xbd") - 1;

        if (len > max) {
            src->len = p - src->data;
            return;
        }

        n = n ? n : 1;
    }
}


u_char *
ngx_http_hype_utf8_copy(u_char *p, ngx_str_t *src)
{
    u_char  *s, *end, *last;

    if (src->len == 0) {
        return p;
    }

    last = src->data + src->len;

    for (s = src->data; /* void */ ; s = end + 1) {

        end = ngx_http_hype_utf8_span(s, last);
        p = ngx_cpymem(p, s, end - s);

        if (end == last) {
            return p;
        }

        p = ngx_cpymem(p, "\xef\xbf\xbd", sizeof("\xef\xbf\xbd") - 1);
    }
}


/* the first byte that PostgreSQL would refuse, or "last" */

static u_char *
ngx_http_hype_utf8_span(u_char *p, u_char *last)
{
    size_t   n;
    u_char  *start;

    start = p;

    for ( ;; ) {

        while (last - p >= 8 && ngx_http_hype_utf8_plain(p)) {
            p += 8;
        }

        /* fewer than eight are left: those before them are well-formed */

        if (p == last
            || (last - p < 8 && last - start >= 8
                && ngx_http_hype_utf8_plain(last - 8)))
        {
            return last;
        }

        n = ngx_http_hype_utf8_char(p, last);
        if (n == 0) {
            return p;
        }

        p += n;
    }
}


/* whether none of eight bytes is NUL or above 0x7f */

static ngx_inline ngx_uint_t
ngx_http_hype_utf8_plain(u_char *p)
{
    uint64_t  word;

    ngx_memcpy(&word, p, 8);

    return (((word - 0x0101010101010101ULL) | word) & 0x8080808080808080ULL)
           == 0;
}


/* the size of a well-formed character (Unicode, table 3-7), or 0 */

static size_t
ngx_http_hype_utf8_char(u_char *p, u_char *last)
{
    u_char  low, high;
    size_t  n, i;

    if (*p < 0x80) {
        return (*p == '\0') ? 0 : 1;
    }

    low = 0x80;
    high = 0xbf;

    if (*p >= 0xc2 && *p <= 0xdf) {
        n = 2;

    } else if (*p >= 0xe0 && *p <= 0xef) {
        n = 3;

        if (*p == 0xe0) {
            low = 0xa0;

        } else if (*p == 0xed) {
            high = 0x9f;
        }

    } else if (*p >= 0xf0 && *p <= 0xf4) {
        n = 4;

        if (*p == 0xf0) {
            low = 0x90;

        } else if (*p == 0xf4) {
            high = 0x8f;
        }

    } else {
        return 0;
    }

    if ((size_t) (last - p) < n || p[1] < low || p[1] > high) {
        return 0;
    }

    for (i = 2; i < n; i++) {
        if (p[i] < 0x80 || p[i] > 0xbf) {
            return 0;
        }
    }

    return n;
}


u_char *
ngx_http_hype_column_bytes(u_char *p, u_char *data, size_t len)
{
    if (data == NULL) {
        return ngx_http_hype_put32(p, NGX_HTTP_HYPE_NULL);
    }

    p = ngx_http_hype_put32(p, (uint32_t) len);

    return ngx_cpymem(p, data, len);
}


u_char *
ngx_http_hype_column_text(u_char *p, ngx_str_t *text)
{
    u_char  *last;

    if (text->len == 0) {
        return ngx_http_hype_put32(p, NGX_HTTP_HYPE_NULL);
    }

    last = ngx_http_hype_utf8_copy(p + 4, text);
    (void) ngx_http_hype_put32(p, (uint32_t) (last - p - 4));

    return last;
}


size_t
ngx_http_hype_column_text_length(ngx_str_t *text)
{
    return 4 + ngx_http_hype_utf8_length(text);
}


u_char *
ngx_http_hype_column_time(u_char *p, uint64_t ms)
{
    uint64_t  us;

    us = ms * 1000 - (uint64_t) NGX_HTTP_HYPE_EPOCH * 1000000;

    p = ngx_http_hype_put32(p, 8);

    return ngx_http_hype_put64(p, us);
}


u_char *
ngx_http_hype_column_inet(u_char *p, u_char *ip, size_t len)
{
    if (ip == NULL) {
        return ngx_http_hype_put32(p, NGX_HTTP_HYPE_NULL);
    }

    p = ngx_http_hype_put32(p, (uint32_t) (NGX_HTTP_HYPE_INET_LEN + len));

    *p++ = (len == 4) ? NGX_HTTP_HYPE_AF_INET : NGX_HTTP_HYPE_AF_INET6;
    *p++ = (u_char) (len * 8);    /* bits of the netmask */
    *p++ = 0;                     /* it is no cidr */
    *p++ = (u_char) len;

    return ngx_cpymem(p, ip, len);
}


u_char *
ngx_http_hype_column_check(u_char *p, u_char *last,
    ngx_http_hype_column_t *format)
{
    uint32_t  len;

    if (last - p < 4) {
        return NULL;
    }

    len = ngx_http_hype_get32(p);
    p += 4;

    if (len == NGX_HTTP_HYPE_NULL) {
        return format->nullable ? p : NULL;
    }

    if (len > (size_t) (last - p)
        || !ngx_http_hype_column_valid(p, len, format->type))
    {
        return NULL;
    }

    return p + len;
}


static ngx_uint_t
ngx_http_hype_column_valid(u_char *p, size_t len, ngx_http_hype_column_e type)
{
    size_t   n;
    int64_t  us;

    switch (type) {

    case NGX_HTTP_HYPE_COLUMN_UUID:
        return len == NGX_HTTP_HYPE_UUID_LEN;

    case NGX_HTTP_HYPE_COLUMN_BIGINT:
        return len == 8;

    case NGX_HTTP_HYPE_COLUMN_TIME:

        if (len != 8) {
            return 0;
        }

        us = (int64_t) ngx_http_hype_get64(p);

        return us >= -NGX_HTTP_HYPE_EPOCH * 1000000LL
               && us < (NGX_HTTP_HYPE_YEAR10000 - NGX_HTTP_HYPE_EPOCH)
                       * 1000000LL;

    case NGX_HTTP_HYPE_COLUMN_BOOLEAN:
        return len == 1 && *p <= 1;

    case NGX_HTTP_HYPE_COLUMN_INET:

        if (len == NGX_HTTP_HYPE_INET_LEN + 4) {
            n = 4;

        } else if (len == NGX_HTTP_HYPE_INET_LEN + 16) {
            n = 16;

        } else {
            return 0;
        }

        return p[0] == ((n == 4) ? NGX_HTTP_HYPE_AF_INET
                                 : NGX_HTTP_HYPE_AF_INET6)
               && p[1] == n * 8
               && p[2] == 0
               && p[3] == n;

    default: /* NGX_HTTP_HYPE_COLUMN_TEXT */
        return ngx_http_hype_utf8_span(p, p + len) == p + len;
    }
}


size_t
ngx_http_hype_column_length(u_char *p)
{
    uint32_t  len;

    len = ngx_http_hype_get32(p);

    return (len == NGX_HTTP_HYPE_NULL) ? 4 : 4 + (size_t) len;
}


uint32_t
ngx_http_hype_utf8_decode(u_char **pos)
{
    u_char    *p;
    size_t     n;
    uint32_t   c;

    p = *pos;

    if (*p < 0x80) {
        n = 1;
        c = *p;

    } else if (*p < 0xe0) {
        n = 2;
        c = *p & 0x1f;

    } else if (*p < 0xf0) {
        n = 3;
        c = *p & 0x0f;

    } else {
        n = 4;
        c = *p & 0x07;
    }

    *pos += n;

    while (++p < *pos) {
        c = c << 6 | (*p & 0x3f);
    }

    return c;
}


u_char *
ngx_http_hype_array_header(u_char *p, ngx_uint_t type, ngx_uint_t n)
{
    ngx_uint_t  i;

    for (i = 0; ngx_http_hype_array_elements[i][0] != type; i++) {
        /* void */
    }

    p = ngx_http_hype_put32(p, 1);     /* dimensions */
    p = ngx_http_hype_put32(p, 1);     /* there may be NULLs */
    p = ngx_http_hype_put32(p, ngx_http_hype_array_elements[i][1]);
    p = ngx_http_hype_put32(p, n);

    return ngx_http_hype_put32(p, 1);  /* the lower bound */
}
