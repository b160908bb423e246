
#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_http_hype_uuid.h"
#include "ngx_http_hype_row.h"


ngx_str_t  ngx_http_hype_row_header =
    ngx_string("PGCOPY\n\377\r\n\0" "\0\0\0\0" "\0\0\0\0");

ngx_str_t  ngx_http_hype_row_trailer = ngx_string("\377\377");


ngx_http_hype_column_t  ngx_http_hype_row_format[] = {
    { NGX_HTTP_HYPE_COLUMN_UUID, 0 },       /* id */
    { NGX_HTTP_HYPE_COLUMN_BIGINT, 1 },     /* referral_link_id */
    { NGX_HTTP_HYPE_COLUMN_TIME, 0 },       /* created */
    { NGX_HTTP_HYPE_COLUMN_BOOLEAN, 0 },    /* authenticated */
    { NGX_HTTP_HYPE_COLUMN_BOOLEAN, 0 },    /* bot */
    { NGX_HTTP_HYPE_COLUMN_UUID, 1 },       /* visitor */
    { NGX_HTTP_HYPE_COLUMN_TEXT, 1 },       /* user_id */
    { NGX_HTTP_HYPE_COLUMN_INET, 1 },       /* ip */
    { NGX_HTTP_HYPE_COLUMN_TEXT, 1 },       /* user_agent */
    { NGX_HTTP_HYPE_COLUMN_TEXT, 1 },       /* http_referer */
    { NGX_HTTP_HYPE_COLUMN_TEXT, 1 },       /* next */
    { NGX_HTTP_HYPE_COLUMN_TEXT, 1 },       /* source */
    { NGX_HTTP_HYPE_COLUMN_TEXT, 1 }        /* args */
};


static u_char  ngx_http_hype_row_null[] = { 0xff, 0xff, 0xff, 0xff };


size_t
ngx_http_hype_row_length(ngx_http_hype_row_t *row)
{
    size_t  len;

    len = 2 + 4 * NGX_HTTP_HYPE_ROW_NCOLUMNS
          + NGX_HTTP_HYPE_UUID_LEN + 8 + 1 + 1
          + ngx_http_hype_utf8_length(&row->user_id)
          + ngx_http_hype_utf8_length(&row->user_agent)
          + ngx_http_hype_utf8_length(&row->referer)
          + ngx_http_hype_utf8_length(&row->next)
          + ngx_http_hype_utf8_length(&row->source)
          + ngx_http_hype_utf8_length(&row->args);

    if (row->link) {
        len += 8;
    }

    if (row->visitor) {
        len += NGX_HTTP_HYPE_UUID_LEN;
    }

    if (row->ip) {
        len += NGX_HTTP_HYPE_INET_LEN + row->ip_len;
    }

    return len;
}


u_char *
ngx_http_hype_row_write(u_char *p, ngx_http_hype_row_t *row)
{
    *p++ = 0;
    *p++ = NGX_HTTP_HYPE_ROW_NCOLUMNS;

    p = ngx_http_hype_column_bytes(p, row->id, NGX_HTTP_HYPE_UUID_LEN);

    if (row->link) {
        p = ngx_http_hype_put32(p, 8);
        p = ngx_http_hype_put64(p, (uint64_t) row->link);

    } else {
        p = ngx_http_hype_column_bytes(p, NULL, 0);
    }

    p = ngx_http_hype_column_time(p, row->created);

    p = ngx_http_hype_put32(p, 1);
    *p++ = row->authenticated;

    p = ngx_http_hype_put32(p, 1);
    *p++ = row->bot;

    p = ngx_http_hype_column_bytes(p, row->visitor, NGX_HTTP_HYPE_UUID_LEN);
    p = ngx_http_hype_column_text(p, &row->user_id);
    p = ngx_http_hype_column_inet(p, row->ip, row->ip_len);
    p = ngx_http_hype_column_text(p, &row->user_agent);
    p = ngx_http_hype_column_text(p, &row->referer);
    p = ngx_http_hype_column_text(p, &row->next);
    p = ngx_http_hype_column_text(p, &row->source);

    return ngx_http_hype_column_text(p, &row->args);
}


size_t
ngx_http_hype_row_check(u_char *p, u_char *last)
{
    u_char      *column;
    ngx_uint_t   n;

    if (last - p < 2
        || p[0] != 0
        || (p[1] != NGX_HTTP_HYPE_ROW_NCOLUMNS
            && p[1] != NGX_HTTP_HYPE_ROW_NCOLUMNS_1))
    {
        return 0;
    }

    column = p + 2;

    for (n = 0; n < p[1]; n++) {
        column = ngx_http_hype_column_check(column, last,
                                            &ngx_http_hype_row_format[n]);
        if (column == NULL) {
            return 0;
        }
    }

    return column - p;
}


ngx_uint_t
ngx_http_hype_row_columns(u_char *tuple)
{
    return tuple[1];
}


size_t
ngx_http_hype_row_column(u_char *tuple, ngx_http_hype_row_column_e n,
    u_char **column)
{
    u_char      *p;
    ngx_uint_t   i;

    if (n >= ngx_http_hype_row_columns(tuple)) {
        *column = ngx_http_hype_row_null;
        return sizeof(ngx_http_hype_row_null);
    }

    p = tuple + 2;

    for (i = 0; i < n; i++) {
        p += ngx_http_hype_column_length(p);
    }

    *column = p;

    return ngx_http_hype_column_length(p);
}
