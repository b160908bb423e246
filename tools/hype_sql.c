
#include <ngx_config.h>
#include <ngx_core.h>
#include "hype_sql.h"
#include "ngx_http_hype_uuid.h"


typedef struct {
    const char                    *before;
    ngx_http_hype_record_field_e   field;
} hype_sql_arg_t;


static void hype_sql_replay(FILE *out, u_char *record);
static void hype_sql_call(FILE *out, u_char *record, hype_sql_arg_t *args,
    ngx_uint_t nargs);
static void hype_sql_time(FILE *out, u_char *p);
static void hype_sql_inet(FILE *out, u_char *p);
static void hype_sql_text(FILE *out, u_char *p, size_t len);


/* what is before each column of a hit, its identifier and node, and the end */

static const char  *hype_sql_replay_args[] = {
    "SELECT hype.replay(ARRAY[",
    "]::uuid[], ARRAY[",
    "]::bigint[], ARRAY[",
    "]::timestamptz[], ARRAY[",
    "]::boolean[], ARRAY[",
    "]::boolean[], ARRAY[",
    "]::uuid[], ARRAY[",
    "]::text[], ARRAY[",
    "]::inet[], ARRAY[",
    "]::text[], ARRAY[",
    "]::text[], ARRAY[",
    "]::text[], sources => ARRAY[",
    "]::text[], args => ARRAY[",
    "]::text[], identifiers => ARRAY[",
    "]::text[], nodes => ARRAY[",
    "]::smallint[])"
};


static hype_sql_arg_t  hype_sql_claim[] = {
    { "SELECT hype.claim_batch(ARRAY[", NGX_HTTP_HYPE_RECORD_VISITOR },
    { "]::uuid[], ARRAY[", NGX_HTTP_HYPE_RECORD_USER },
    { "]::text[], ARRAY[", NGX_HTTP_HYPE_RECORD_CREATED }
};


static hype_sql_arg_t  hype_sql_confirm[] = {
    { "SELECT hype.confirm_batch(ARRAY[", NGX_HTTP_HYPE_RECORD_EVENT },
    { "]::text[], ARRAY[", NGX_HTTP_HYPE_RECORD_USER },
    { "]::text[], ARRAY[", NGX_HTTP_HYPE_RECORD_VISITOR },
    { "]::uuid[], ARRAY[", NGX_HTTP_HYPE_RECORD_VALUE },
    { "]::text[], ARRAY[", NGX_HTTP_HYPE_RECORD_CREATED }
};


void
hype_sql_record(FILE *out, u_char *record)
{
    u_char     *tuple;
    ngx_str_t   identifier;

    switch (ngx_http_hype_record_type(record)) {

    case NGX_HTTP_HYPE_RECORD_HIT:

        if (ngx_http_hype_record_node(record)) {
            hype_sql_replay(out, record);
            return;
        }

        tuple = ngx_http_hype_record_tuple(record, &identifier);
        hype_sql_row(out, tuple, &identifier);
        return;

    case NGX_HTTP_HYPE_RECORD_CLAIM:
        hype_sql_call(out, record, hype_sql_claim, 3);
        return;

    default: /* NGX_HTTP_HYPE_RECORD_CONFIRM */
        hype_sql_call(out, record, hype_sql_confirm, 5);
    }
}


/*
 * On Citus another attempt may have written it, to that node: an INSERT, which
 * writes to a node of the coordinator, would not find it.
 */

static void
hype_sql_replay(FILE *out, u_char *record)
{
    u_char       *tuple, *column;
    ngx_str_t     identifier;
    ngx_uint_t    n;
    const char  **before;

    tuple = ngx_http_hype_record_tuple(record, &identifier);
    before = hype_sql_replay_args;

    for (n = 0; n < NGX_HTTP_HYPE_ROW_NCOLUMNS; n++) {
        fputs(*before++, out);

        (void) ngx_http_hype_row_column(tuple, n, &column);
        hype_sql_column(out, column, ngx_http_hype_row_format[n].type);
    }

    fputs(*before++, out);

    if (identifier.len) {
        hype_sql_text(out, identifier.data, identifier.len);

    } else {
        fputs("NULL", out);
    }

    fprintf(out, "%s%u%s", before[0],
            (unsigned) ngx_http_hype_record_node(record), before[1]);
}


static void
hype_sql_call(FILE *out, u_char *record, hype_sql_arg_t *args,
    ngx_uint_t nargs)
{
    u_char      *field;
    ngx_uint_t   i;

    for (i = 0; i < nargs; i++) {
        fputs(args[i].before, out);

        (void) ngx_http_hype_record_field(record, args[i].field, &field);
        hype_sql_column(out, field,
                        ngx_http_hype_record_format[args[i].field].type);
    }

    fputs("]::timestamptz[])", out);
}


void
hype_sql_row(FILE *out, u_char *tuple, ngx_str_t *identifier)
{
    size_t       size;
    u_char      *column;
    ngx_uint_t   n;

    fputs("INSERT INTO hype.referral_hit (" NGX_HTTP_HYPE_ROW_COLUMNS ") "
          "VALUES (", out);

    for (n = 0; n < NGX_HTTP_HYPE_ROW_NCOLUMNS; n++) {

        if (n) {
            fputs(", ", out);
        }

        size = ngx_http_hype_row_column(tuple, n, &column);

        if (n == NGX_HTTP_HYPE_ROW_LINK && size == 4 && identifier->len) {
            fprintf(out, "(SELECT hype.link_at('%.*s', ",
                    (int) identifier->len, identifier->data);

            (void) ngx_http_hype_row_column(tuple, NGX_HTTP_HYPE_ROW_CREATED,
                                            &column);
            hype_sql_column(out, column, NGX_HTTP_HYPE_COLUMN_TIME);
            fputs("))", out);

        } else {
            hype_sql_column(out, column, ngx_http_hype_row_format[n].type);
        }
    }

    fputs(") ON CONFLICT DO NOTHING", out);
}


void
hype_sql_column(FILE *out, u_char *column, ngx_http_hype_column_e type)
{
    const char  *quote;

    if (ngx_http_hype_get32(column) == NGX_HTTP_HYPE_NULL) {
        fputs("NULL", out);

    } else if (type == NGX_HTTP_HYPE_COLUMN_TEXT) {
        hype_sql_text(out, column + 4, ngx_http_hype_get32(column));

    } else {
        quote = hype_sql_quoted(type) ? "'" : "";

        fputs(quote, out);
        hype_sql_value(out, column, type);
        fputs(quote, out);
    }
}


ngx_uint_t
hype_sql_quoted(ngx_http_hype_column_e type)
{
    return type != NGX_HTTP_HYPE_COLUMN_BIGINT
           && type != NGX_HTTP_HYPE_COLUMN_BOOLEAN;
}


void
hype_sql_value(FILE *out, u_char *column, ngx_http_hype_column_e type)
{
    u_char  *p, uuid[NGX_HTTP_HYPE_UUID_TEXT_LEN];

    p = column + 4;

    switch (type) {

    case NGX_HTTP_HYPE_COLUMN_UUID:
        (void) ngx_http_hype_uuid_format(uuid, p);
        fwrite(uuid, 1, sizeof(uuid), out);
        break;

    case NGX_HTTP_HYPE_COLUMN_BIGINT:
        fprintf(out, "%lld", (long long) (int64_t) ngx_http_hype_get64(p));
        break;

    case NGX_HTTP_HYPE_COLUMN_TIME:
        hype_sql_time(out, p);
        break;

    case NGX_HTTP_HYPE_COLUMN_BOOLEAN:
        fputs(*p ? "true" : "false", out);
        break;

    default: /* NGX_HTTP_HYPE_COLUMN_INET */
        hype_sql_inet(out, p);
    }
}


static void
hype_sql_time(FILE *out, u_char *p)
{
    char       text[sizeof("2000-01-01 00:00:00")];
    time_t     sec;
    int64_t    us;
    struct tm  tm;

    us = (int64_t) ngx_http_hype_get64(p) + NGX_HTTP_HYPE_EPOCH * 1000000LL;
    sec = (time_t) (us / 1000000);

    (void) gmtime_r(&sec, &tm);
    (void) strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm);

    fprintf(out, "%s.%06d+00", text, (int) (us % 1000000));
}


static void
hype_sql_inet(FILE *out, u_char *p)
{
    int   family;
    char  text[INET6_ADDRSTRLEN];

    family = (p[0] == NGX_HTTP_HYPE_AF_INET) ? AF_INET : AF_INET6;

    (void) inet_ntop(family, p + NGX_HTTP_HYPE_INET_LEN, text, sizeof(text));

    fputs(text, out);
}


static void
hype_sql_text(FILE *out, u_char *p, size_t len)
{
    u_char    *s, *last;
    uint32_t   c;

    last = p + len;

    for (s = p; s < last; s++) {
        if (*s < 0x20 || *s > 0x7e || *s == '\\') {
            putc('E', out);
            break;
        }
    }

    putc('\'', out);

    while (p < last) {

        if (*p >= 0x80) {
            c = ngx_http_hype_utf8_decode(&p);
            fprintf(out, (c > 0xffff) ? "\\U%08x" : "\\u%04x", (unsigned) c);
            continue;
        }

        if (*p < 0x20 || *p == 0x7f) {
            fprintf(out, "\\x%02x", *p++);
            continue;
        }

        if (*p == '\'' || *p == '\\') {
            putc(*p, out);
        }

        putc(*p++, out);
    }

    putc('\'', out);
}
