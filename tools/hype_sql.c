
#include <ngx_config.h>
#include <ngx_core.h>
#include "hype_sql.h"
#include "ngx_http_hype_uuid.h"


typedef struct {
    ngx_str_t                      before;
    ngx_http_hype_record_field_e   field;
} hype_sql_arg_t;


static u_char *hype_sql_replay(u_char *p, u_char *record);
static u_char *hype_sql_call(u_char *p, u_char *record,
    hype_sql_arg_t *args, ngx_uint_t nargs);
static u_char *hype_sql_time(u_char *dst, u_char *p);
static u_char *hype_sql_inet(u_char *dst, u_char *p);
static u_char *hype_sql_text(u_char *dst, u_char *p, size_t len);


static ngx_str_t  hype_sql_insert =
    ngx_string("INSERT INTO hype.referral_hit (" NGX_HTTP_HYPE_ROW_COLUMNS
               ") VALUES (");

static ngx_str_t  hype_sql_select =
    ngx_string("(SELECT hype.link_at('");

static ngx_str_t  hype_sql_conflict =
    ngx_string(") ON CONFLICT DO NOTHING");


/* what is before each column of a hit, and its identifier and node behind them */

static ngx_str_t  hype_sql_replay_args[] = {
    ngx_string("SELECT hype.replay(ARRAY["),
    ngx_string("]::uuid[], ARRAY["),
    ngx_string("]::bigint[], ARRAY["),
    ngx_string("]::timestamptz[], ARRAY["),
    ngx_string("]::boolean[], ARRAY["),
    ngx_string("]::boolean[], ARRAY["),
    ngx_string("]::uuid[], ARRAY["),
    ngx_string("]::text[], ARRAY["),
    ngx_string("]::inet[], ARRAY["),
    ngx_string("]::text[], ARRAY["),
    ngx_string("]::text[], ARRAY["),
    ngx_string("]::text[], sources => ARRAY["),
    ngx_string("]::text[], args => ARRAY["),
    ngx_string("]::text[], identifiers => ARRAY["),
    ngx_string("]::text[], nodes => ARRAY["),
    ngx_string("]::smallint[])")
};


static hype_sql_arg_t  hype_sql_claim[] = {
    { ngx_string("SELECT hype.claim_batch(ARRAY["),
      NGX_HTTP_HYPE_RECORD_VISITOR },
    { ngx_string("]::uuid[], ARRAY["), NGX_HTTP_HYPE_RECORD_USER },
    { ngx_string("]::text[], ARRAY["), NGX_HTTP_HYPE_RECORD_CREATED }
};


static hype_sql_arg_t  hype_sql_confirm[] = {
    { ngx_string("SELECT hype.confirm_batch(ARRAY["),
      NGX_HTTP_HYPE_RECORD_EVENT },
    { ngx_string("]::text[], ARRAY["), NGX_HTTP_HYPE_RECORD_USER },
    { ngx_string("]::text[], ARRAY["), NGX_HTTP_HYPE_RECORD_VISITOR },
    { ngx_string("]::uuid[], ARRAY["), NGX_HTTP_HYPE_RECORD_VALUE },
    { ngx_string("]::text[], ARRAY["), NGX_HTTP_HYPE_RECORD_CREATED }
};


static ngx_str_t  hype_sql_call_end =
    ngx_string("]::timestamptz[])");


size_t
hype_sql_record_length(u_char *record)
{
    size_t       len;
    u_char      *p;
    ngx_str_t    identifier;
    ngx_uint_t   n;

    if (ngx_http_hype_record_type(record) == NGX_HTTP_HYPE_RECORD_HIT) {
        p = ngx_http_hype_record_tuple(record, &identifier);
        len = hype_sql_row_length(p, &identifier);

        for (n = 0; n < sizeof(hype_sql_replay_args) / sizeof(ngx_str_t); n++) {
            len += hype_sql_replay_args[n].len;
        }

        return len + sizeof("NULL65535") - 1;
    }

    /* a confirm is the longer one */

    len = hype_sql_call_end.len;

    for (n = 0; n < NGX_HTTP_HYPE_RECORD_FIELDS; n++) {
        (void) ngx_http_hype_record_field(record, n, &p);
        len += hype_sql_confirm[n].before.len
               + hype_sql_column_length(p);
    }

    return len;
}


u_char *
hype_sql_record(u_char *p, u_char *record)
{
    u_char     *tuple;
    ngx_str_t   identifier;

    switch (ngx_http_hype_record_type(record)) {

    case NGX_HTTP_HYPE_RECORD_HIT:

        if (ngx_http_hype_record_node(record)) {
            return hype_sql_replay(p, record);
        }

        tuple = ngx_http_hype_record_tuple(record, &identifier);

        return hype_sql_row(p, tuple, &identifier);

    case NGX_HTTP_HYPE_RECORD_CLAIM:
        return hype_sql_call(p, record,
                                             hype_sql_claim, 3);

    default: /* NGX_HTTP_HYPE_RECORD_CONFIRM */
        return hype_sql_call(p, record,
                                             hype_sql_confirm, 5);
    }
}


/*
 * On Citus another attempt may have written it, to that node: an INSERT, which
 * writes to a node of the coordinator, would not find it.
 */

static u_char *
hype_sql_replay(u_char *p, u_char *record)
{
    u_char      *tuple, *column;
    ngx_str_t    identifier, *before;
    ngx_uint_t   n;

    tuple = ngx_http_hype_record_tuple(record, &identifier);
    before = hype_sql_replay_args;

    for (n = 0; n < NGX_HTTP_HYPE_ROW_NCOLUMNS; n++) {
        p = ngx_cpymem(p, before->data, before->len);
        before++;

        (void) ngx_http_hype_row_column(tuple, n, &column);
        p = hype_sql_column(p, column, ngx_http_hype_row_format[n].type);
    }

    p = ngx_cpymem(p, before->data, before->len);
    before++;

    if (identifier.len) {
        *p++ = '\'';
        p = ngx_cpymem(p, identifier.data, identifier.len);
        *p++ = '\'';

    } else {
        p = ngx_cpymem(p, "NULL", sizeof("NULL") - 1);
    }

    p = ngx_cpymem(p, before->data, before->len);
    before++;

    p += snprintf((char *) p, sizeof("65535"), "%u",
                  (unsigned) ngx_http_hype_record_node(record));

    return ngx_cpymem(p, before->data, before->len);
}


static u_char *
hype_sql_call(u_char *p, u_char *record,
    hype_sql_arg_t *args, ngx_uint_t nargs)
{
    u_char      *field;
    ngx_uint_t   i;

    for (i = 0; i < nargs; i++) {
        p = ngx_cpymem(p, args[i].before.data, args[i].before.len);

        (void) ngx_http_hype_record_field(record, args[i].field, &field);

        p = hype_sql_column(p, field,
                            ngx_http_hype_record_format[args[i].field].type);
    }

    return ngx_cpymem(p, hype_sql_call_end.data,
                      hype_sql_call_end.len);
}


size_t
hype_sql_row_length(u_char *tuple, ngx_str_t *identifier)
{
    size_t       len;
    u_char      *column;
    ngx_uint_t   n;

    len = hype_sql_insert.len + hype_sql_conflict.len
          + hype_sql_select.len + identifier->len
          + sizeof("', ))") - 1;

    (void) ngx_http_hype_row_column(tuple, NGX_HTTP_HYPE_ROW_CREATED, &column);
    len += hype_sql_column_length(column);

    for (n = 0; n < NGX_HTTP_HYPE_ROW_NCOLUMNS; n++) {
        (void) ngx_http_hype_row_column(tuple, n, &column);
        len += sizeof(", ") - 1 + hype_sql_column_length(column);
    }

    return len;
}


u_char *
hype_sql_row(u_char *p, u_char *tuple, ngx_str_t *identifier)
{
    size_t       size;
    u_char      *column;
    ngx_uint_t   n;

    p = ngx_cpymem(p, hype_sql_insert.data,
                   hype_sql_insert.len);

    for (n = 0; n < NGX_HTTP_HYPE_ROW_NCOLUMNS; n++) {

        if (n) {
            *p++ = ',';
            *p++ = ' ';
        }

        size = ngx_http_hype_row_column(tuple, n, &column);

        if (n == NGX_HTTP_HYPE_ROW_LINK && size == 4 && identifier->len) {
            p = ngx_cpymem(p, hype_sql_select.data,
                           hype_sql_select.len);
            p = ngx_cpymem(p, identifier->data, identifier->len);
            p = ngx_cpymem(p, "', ", sizeof("', ") - 1);

            (void) ngx_http_hype_row_column(tuple, NGX_HTTP_HYPE_ROW_CREATED,
                                            &column);
            p = hype_sql_column(p, column,
                                         NGX_HTTP_HYPE_COLUMN_TIME);
            *p++ = ')';
            *p++ = ')';

        } else {
            p = hype_sql_column(p, column,
                                         ngx_http_hype_row_format[n].type);
        }
    }

    return ngx_cpymem(p, hype_sql_conflict.data,
                      hype_sql_conflict.len);
}


size_t
hype_sql_column_length(u_char *p)
{
    /* a byte of a text becomes at most "\x01", other values need less */

    return sizeof("E''") + INET6_ADDRSTRLEN
           + ngx_http_hype_column_length(p) * 4;
}


u_char *
hype_sql_column(u_char *dst, u_char *p, ngx_http_hype_column_e type)
{
    uint32_t  len;

    len = ngx_http_hype_get32(p);
    p += 4;

    if (len == NGX_HTTP_HYPE_NULL) {
        return ngx_cpymem(dst, "NULL", sizeof("NULL") - 1);
    }

    switch (type) {

    case NGX_HTTP_HYPE_COLUMN_UUID:
        *dst++ = '\'';
        dst = ngx_http_hype_uuid_format(dst, p);
        *dst++ = '\'';
        return dst;

    case NGX_HTTP_HYPE_COLUMN_BIGINT:
        return dst + snprintf((char *) dst, NGX_INT64_LEN + 1, "%lld",
                              (long long) (int64_t) ngx_http_hype_get64(p));

    case NGX_HTTP_HYPE_COLUMN_TIME:
        return hype_sql_time(dst, p);

    case NGX_HTTP_HYPE_COLUMN_BOOLEAN:

        if (*p) {
            return ngx_cpymem(dst, "true", sizeof("true") - 1);
        }

        return ngx_cpymem(dst, "false", sizeof("false") - 1);

    case NGX_HTTP_HYPE_COLUMN_INET:
        return hype_sql_inet(dst, p);

    default: /* NGX_HTTP_HYPE_COLUMN_TEXT */
        return hype_sql_text(dst, p, len);
    }
}


static u_char *
hype_sql_time(u_char *dst, u_char *p)
{
    time_t     sec;
    int64_t    us;
    struct tm  tm;

    us = (int64_t) ngx_http_hype_get64(p) + NGX_HTTP_HYPE_EPOCH * 1000000LL;
    sec = (time_t) (us / 1000000);

    (void) gmtime_r(&sec, &tm);

    dst += strftime((char *) dst, sizeof("'2000-01-01 00:00:00"),
                    "'%Y-%m-%d %H:%M:%S", &tm);

    return dst + snprintf((char *) dst, sizeof(".000000+00'"), ".%06d+00'",
                          (int) (us % 1000000));
}


static u_char *
hype_sql_inet(u_char *dst, u_char *p)
{
    int  family;

    family = (p[0] == NGX_HTTP_HYPE_AF_INET) ? AF_INET : AF_INET6;

    *dst++ = '\'';

    (void) inet_ntop(family, p + NGX_HTTP_HYPE_INET_LEN, (char *) dst,
                     INET6_ADDRSTRLEN);
    dst += ngx_strlen(dst);

    *dst++ = '\'';

    return dst;
}


static u_char *
hype_sql_text(u_char *dst, u_char *p, size_t len)
{
    u_char    *s, *last;
    uint32_t   c;

    last = p + len;

    for (s = p; s < last; s++) {
        if (*s < 0x20 || *s > 0x7e || *s == '\\') {
            *dst++ = 'E';
            break;
        }
    }

    *dst++ = '\'';

    while (p < last) {

        if (*p >= 0x80) {
            c = ngx_http_hype_utf8_decode(&p);
            dst += snprintf((char *) dst, sizeof("\\U00000000"),
                            (c > 0xffff) ? "\\U%08x" : "\\u%04x",
                            (unsigned) c);
            continue;
        }

        if (*p < 0x20 || *p == 0x7f) {
            dst += snprintf((char *) dst, sizeof("\\x00"), "\\x%02x", *p++);
            continue;
        }

        if (*p == '\'' || *p == '\\') {
            *dst++ = *p;
        }

        *dst++ = *p++;
    }

    *dst++ = '\'';

    return dst;
}
