
#include <ngx_config.h>
#include <ngx_core.h>
#include <sys/random.h>
#include <uuid/uuid.h>
#include "ngx_http_hype_uuid.h"


static void ngx_http_hype_uuid_bytes(ngx_http_hype_uuid_pool_t *pool,
    u_char *uuid);


static void
ngx_http_hype_uuid_bytes(ngx_http_hype_uuid_pool_t *pool, u_char *uuid)
{
    u_char  *bytes;

    if (pool->left == 0) {

        /* getrandom(2): up to 256 bytes are never cut short */

        if (getrandom(pool->bytes, sizeof(pool->bytes), 0)
            != (ssize_t) sizeof(pool->bytes))
        {
            uuid_generate_random(uuid);
            return;
        }

        pool->left = NGX_HTTP_HYPE_UUID_POOL;
    }

    bytes = pool->bytes[--pool->left];

    ngx_memcpy(uuid, bytes, NGX_HTTP_HYPE_UUID_LEN);

    /* what names a visitor is not left lying about */

    ngx_memzero(bytes, NGX_HTTP_HYPE_UUID_LEN);
}


/* RFC 9562, 5.7 */

void
ngx_http_hype_uuid_time(ngx_http_hype_uuid_pool_t *pool, u_char *uuid,
    uint64_t ms)
{
    ngx_http_hype_uuid_bytes(pool, uuid);

    uuid[0] = (u_char) (ms >> 40);
    uuid[1] = (u_char) (ms >> 32);
    uuid[2] = (u_char) (ms >> 24);
    uuid[3] = (u_char) (ms >> 16);
    uuid[4] = (u_char) (ms >> 8);
    uuid[5] = (u_char) ms;

    uuid[6] = (u_char) (0x70 | (uuid[6] & 0x0f));
    uuid[8] = (u_char) (0x80 | (uuid[8] & 0x3f));
}


ngx_int_t
ngx_http_hype_uuid_parse(u_char *uuid, ngx_str_t *text)
{
    char  buf[NGX_HTTP_HYPE_UUID_TEXT_LEN + 1];

    if (text->len != NGX_HTTP_HYPE_UUID_TEXT_LEN) {
        return NGX_ERROR;
    }

    ngx_memcpy(buf, text->data, NGX_HTTP_HYPE_UUID_TEXT_LEN);
    buf[NGX_HTTP_HYPE_UUID_TEXT_LEN] = '\0';

    return (uuid_parse(buf, uuid) == 0) ? NGX_OK : NGX_ERROR;
}


u_char *
ngx_http_hype_uuid_format(u_char *p, u_char *uuid)
{
    char  buf[NGX_HTTP_HYPE_UUID_TEXT_LEN + 1];

    uuid_unparse_lower(uuid, buf);

    return ngx_cpymem(p, buf, NGX_HTTP_HYPE_UUID_TEXT_LEN);
}


ngx_int_t
ngx_http_hype_cookie_next(ngx_str_t *rest, ngx_str_t *name, u_char *uuid)
{
    u_char     *p, *end, *last;
    ngx_str_t   value;

    if (rest->len == 0) {
        return NGX_DECLINED;
    }

    last = rest->data + rest->len;

    for (p = rest->data; p < last; p = end + 1) {

        end = ngx_strlchr(p, last, ';');
        if (end == NULL) {
            end = last;
        }

        while (p < end && (*p == ' ' || *p == '\t')) {
            p++;
        }

        if ((size_t) (end - p) <= name->len
            || p[name->len] != '='
            || ngx_memcmp(p, name->data, name->len) != 0)
        {
            continue;
        }

        value.data = p + name->len + 1;
        value.len = end - value.data;

        while (value.len
               && (value.data[value.len - 1] == ' '
                   || value.data[value.len - 1] == '\t'))
        {
            value.len--;
        }

        rest->data = (end < last) ? end + 1 : last;
        rest->len = last - rest->data;

        return ngx_http_hype_uuid_parse(uuid, &value);
    }

    rest->len = 0;

    return NGX_DECLINED;
}
