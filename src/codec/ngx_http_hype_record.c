
#include <ngx_config.h>
#include <ngx_core.h>
#include <zlib.h>
#include "ngx_http_hype_identifier.h"
#include "ngx_http_hype_uuid.h"
#include "ngx_http_hype_record.h"


/* offsets in a record; the CRC is that of all from the version on */

#define NGX_HTTP_HYPE_RECORD_AT_CRC      4
#define NGX_HTTP_HYPE_RECORD_AT_VERSION  8
#define NGX_HTTP_HYPE_RECORD_AT_TYPE     9
#define NGX_HTTP_HYPE_RECORD_AT_NODE     10


static u_char *ngx_http_hype_record_start(u_char *p,
    ngx_http_hype_record_type_e type);
static u_char *ngx_http_hype_record_end(u_char *record, u_char *last);
static u_char ngx_http_hype_record_version(ngx_http_hype_record_type_e type);
static ngx_uint_t ngx_http_hype_record_known(ngx_uint_t type,
    ngx_uint_t version);
static uint32_t ngx_http_hype_record_crc(u_char *record, size_t len);
static ngx_uint_t ngx_http_hype_record_hit_valid(u_char *p, u_char *last,
    ngx_uint_t version);
static ngx_uint_t ngx_http_hype_record_names(ngx_str_t *identifier);
static ngx_uint_t ngx_http_hype_record_event_valid(u_char *p, u_char *last);


ngx_http_hype_column_t  ngx_http_hype_record_format[] = {
    { NGX_HTTP_HYPE_COLUMN_UUID, 1 },    /* visitor */
    { NGX_HTTP_HYPE_COLUMN_TEXT, 1 },    /* user_id */
    { NGX_HTTP_HYPE_COLUMN_TIME, 0 },    /* created */
    { NGX_HTTP_HYPE_COLUMN_TEXT, 1 },    /* event */
    { NGX_HTTP_HYPE_COLUMN_TEXT, 1 }     /* value */
};


size_t
ngx_http_hype_record_hit_length(ngx_str_t *identifier,
    ngx_http_hype_row_t *row)
{
    return NGX_HTTP_HYPE_RECORD_HEADER + 4 + identifier->len
           + ngx_http_hype_row_length(row);
}


u_char *
ngx_http_hype_record_hit(u_char *p, ngx_str_t *identifier,
    ngx_http_hype_row_t *row)
{
    u_char  *record;

    record = p;

    p = ngx_http_hype_record_start(p, NGX_HTTP_HYPE_RECORD_HIT);

    p = ngx_http_hype_put32(p, (uint32_t) identifier->len);

    if (identifier->len) {
        p = ngx_cpymem(p, identifier->data, identifier->len);
    }

    p = ngx_http_hype_row_write(p, row);

    return ngx_http_hype_record_end(record, p);
}


size_t
ngx_http_hype_record_event_length(ngx_http_hype_event_t *event)
{
    size_t  len;

    len = NGX_HTTP_HYPE_RECORD_HEADER
          + 4                                              /* visitor */
          + ngx_http_hype_column_text_length(&event->user_id)
          + 4 + 8                                          /* created */
          + ngx_http_hype_column_text_length(&event->event)
          + ngx_http_hype_column_text_length(&event->value);

    if (event->visitor) {
        len += NGX_HTTP_HYPE_UUID_LEN;
    }

    return len;
}


u_char *
ngx_http_hype_record_event(u_char *p, ngx_http_hype_record_type_e type,
    ngx_http_hype_event_t *event)
{
    u_char  *record;

    record = p;

    p = ngx_http_hype_record_start(p, type);

    p = ngx_http_hype_column_bytes(p, event->visitor, NGX_HTTP_HYPE_UUID_LEN);
    p = ngx_http_hype_column_text(p, &event->user_id);
    p = ngx_http_hype_column_time(p, event->created);
    p = ngx_http_hype_column_text(p, &event->event);
    p = ngx_http_hype_column_text(p, &event->value);

    return ngx_http_hype_record_end(record, p);
}


static u_char *
ngx_http_hype_record_start(u_char *p, ngx_http_hype_record_type_e type)
{
    ngx_memzero(p, NGX_HTTP_HYPE_RECORD_HEADER);

    p[NGX_HTTP_HYPE_RECORD_AT_VERSION] = ngx_http_hype_record_version(type);
    p[NGX_HTTP_HYPE_RECORD_AT_TYPE] = (u_char) type;

    return p + NGX_HTTP_HYPE_RECORD_HEADER;
}


/* an older module reads what has not changed */

static u_char
ngx_http_hype_record_version(ngx_http_hype_record_type_e type)
{
    return (type == NGX_HTTP_HYPE_RECORD_HIT) ? NGX_HTTP_HYPE_RECORD_VERSION
                                              : 1;
}


static u_char *
ngx_http_hype_record_end(u_char *record, u_char *last)
{
    (void) ngx_http_hype_put32(record, (uint32_t) (last - record));

    return last;
}


void
ngx_http_hype_record_seal(u_char *record)
{
    uint32_t  crc;

    crc = ngx_http_hype_record_crc(record,
                                   ngx_http_hype_record_length(record));

    (void) ngx_http_hype_put32(record + NGX_HTTP_HYPE_RECORD_AT_CRC, crc);
}


static uint32_t
ngx_http_hype_record_crc(u_char *record, size_t len)
{
    return crc32(0, record + NGX_HTTP_HYPE_RECORD_AT_VERSION,
                 len - NGX_HTTP_HYPE_RECORD_AT_VERSION);
}


ngx_int_t
ngx_http_hype_record_check(u_char *p, u_char *last, size_t *len)
{
    size_t       size;
    ngx_uint_t   type, version, valid;

    *len = 0;

    if (last - p < NGX_HTTP_HYPE_RECORD_HEADER) {
        return NGX_AGAIN;
    }

    size = ngx_http_hype_record_length(p);

    if (size < NGX_HTTP_HYPE_RECORD_HEADER
        || size > NGX_HTTP_HYPE_RECORD_MAX)
    {
        return NGX_ERROR;
    }

    *len = size;

    if ((size_t) (last - p) < size) {
        return NGX_AGAIN;
    }

    if (ngx_http_hype_get32(p + NGX_HTTP_HYPE_RECORD_AT_CRC)
        != ngx_http_hype_record_crc(p, size))
    {
        return NGX_ERROR;
    }

    type = p[NGX_HTTP_HYPE_RECORD_AT_TYPE];
    version = p[NGX_HTTP_HYPE_RECORD_AT_VERSION];

    if (!ngx_http_hype_record_known(type, version)) {
        return NGX_DECLINED;
    }

    if ((ngx_http_hype_record_node(p) != 0)
        != (version == NGX_HTTP_HYPE_RECORD_VERSION_NODE))
    {
        return NGX_ERROR;
    }

    last = p + size;
    p += NGX_HTTP_HYPE_RECORD_HEADER;

    valid = (type == NGX_HTTP_HYPE_RECORD_HIT)
            ? ngx_http_hype_record_hit_valid(p, last, version)
            : ngx_http_hype_record_event_valid(p, last);

    return valid ? NGX_OK : NGX_ERROR;
}


static ngx_uint_t
ngx_http_hype_record_known(ngx_uint_t type, ngx_uint_t version)
{
    switch (type) {

    case NGX_HTTP_HYPE_RECORD_HIT:
        return version >= 1 && version <= NGX_HTTP_HYPE_RECORD_VERSION_NODE;

    case NGX_HTTP_HYPE_RECORD_CLAIM:
    case NGX_HTTP_HYPE_RECORD_CONFIRM:
        return version == ngx_http_hype_record_version(type);

    default:
        return 0;
    }
}


ngx_uint_t
ngx_http_hype_record_node(u_char *record)
{
    return (ngx_uint_t) record[NGX_HTTP_HYPE_RECORD_AT_NODE] << 8
           | record[NGX_HTTP_HYPE_RECORD_AT_NODE + 1];
}


void
ngx_http_hype_record_set_node(u_char *record, ngx_uint_t node)
{
    if (record[NGX_HTTP_HYPE_RECORD_AT_VERSION] == 1) {
        return;
    }

    record[NGX_HTTP_HYPE_RECORD_AT_VERSION] =
        node ? NGX_HTTP_HYPE_RECORD_VERSION_NODE
             : NGX_HTTP_HYPE_RECORD_VERSION;

    record[NGX_HTTP_HYPE_RECORD_AT_NODE] = (u_char) (node >> 8);
    record[NGX_HTTP_HYPE_RECORD_AT_NODE + 1] = (u_char) node;
}


ngx_uint_t
ngx_http_hype_record_is_note(u_char *record)
{
    return ngx_http_hype_record_type(record) == NGX_HTTP_HYPE_RECORD_NOTE
           && record[NGX_HTTP_HYPE_RECORD_AT_VERSION]
              == ngx_http_hype_record_version(NGX_HTTP_HYPE_RECORD_NOTE)
           && ngx_http_hype_record_event_valid(
                  record + NGX_HTTP_HYPE_RECORD_HEADER,
                  record + ngx_http_hype_record_length(record));
}


static ngx_uint_t
ngx_http_hype_record_hit_valid(u_char *p, u_char *last, ngx_uint_t version)
{
    size_t      len;
    ngx_str_t   identifier;
    ngx_uint_t  n;

    if (last - p < 4) {
        return 0;
    }

    identifier.len = ngx_http_hype_get32(p);
    identifier.data = p + 4;

    if (identifier.len > (size_t) (last - identifier.data)
        || (identifier.len && !ngx_http_hype_record_names(&identifier)))
    {
        return 0;
    }

    p = identifier.data + identifier.len;

    len = ngx_http_hype_row_check(p, last);

    n = (version == 1) ? NGX_HTTP_HYPE_ROW_NCOLUMNS_1
                       : NGX_HTTP_HYPE_ROW_NCOLUMNS;

    return len
           && len == (size_t) (last - p)
           && ngx_http_hype_row_columns(p) == n;
}


static ngx_uint_t
ngx_http_hype_record_names(ngx_str_t *identifier)
{
    u_char     *space, *last;
    ngx_str_t   first, second;

    last = identifier->data + identifier->len;
    space = ngx_strlchr(identifier->data, last, ' ');

    if (space == NULL) {
        return ngx_http_hype_identifier_valid(identifier);
    }

    first.data = identifier->data;
    first.len = space - first.data;

    second.data = space + 1;
    second.len = last - second.data;

    return ngx_http_hype_identifier_valid(&first)
           && ngx_http_hype_identifier_valid(&second);
}


static ngx_uint_t
ngx_http_hype_record_event_valid(u_char *p, u_char *last)
{
    ngx_uint_t  n;

    for (n = 0; n < NGX_HTTP_HYPE_RECORD_FIELDS; n++) {
        p = ngx_http_hype_column_check(p, last,
                                       &ngx_http_hype_record_format[n]);
        if (p == NULL) {
            return 0;
        }
    }

    return p == last;
}


size_t
ngx_http_hype_record_length(u_char *record)
{
    return ngx_http_hype_get32(record);
}


ngx_http_hype_record_type_e
ngx_http_hype_record_type(u_char *record)
{
    return record[NGX_HTTP_HYPE_RECORD_AT_TYPE];
}


u_char *
ngx_http_hype_record_tuple(u_char *record, ngx_str_t *identifier)
{
    u_char  *p;

    p = record + NGX_HTTP_HYPE_RECORD_HEADER;

    identifier->len = ngx_http_hype_get32(p);
    identifier->data = p + 4;

    return identifier->data + identifier->len;
}


size_t
ngx_http_hype_record_field(u_char *record, ngx_http_hype_record_field_e n,
    u_char **field)
{
    u_char      *p;
    ngx_uint_t   i;

    p = record + NGX_HTTP_HYPE_RECORD_HEADER;

    for (i = 0; i < n; i++) {
        p += ngx_http_hype_column_length(p);
    }

    *field = p;

    return ngx_http_hype_column_length(p);
}
