
/*
 * Rows and records of whatever a request brings: what was written is well-
 * formed, and has the columns that it was made of.  The input: flags, then the
 * texts, each after its length.
 */


#include "ngx_http_hype_record.h"
#include "fuzz.h"


#define VISITOR  0x01
#define IPV4     0x02
#define IPV6     0x04
#define LINK     0x08
#define EVENT    0x10


static void fuzz_hit(fuzz_t *in, ngx_uint_t flags);
static void fuzz_event(fuzz_t *in, ngx_uint_t flags);
static void check_record(u_char *record, size_t len, ngx_uint_t cut);
static void check_text(u_char *column, size_t len, ngx_str_t *text);


static u_char  random_bytes[] = "0123456789abcdef0123456789abcdef";


int
LLVMFuzzerTestOneInput(const u_char *data, size_t size)
{
    fuzz_t      in;
    ngx_uint_t  flags;

    in.pos = (u_char *) data;
    in.last = in.pos + size;

    flags = fuzz_byte(&in);

    if (flags & EVENT) {
        fuzz_event(&in, flags);

    } else {
        fuzz_hit(&in, flags);
    }

    return 0;
}


static void
fuzz_hit(fuzz_t *in, ngx_uint_t flags)
{
    size_t                len, size;
    u_char               *record, *tuple, *column;
    ngx_str_t             identifier, name, empty;
    ngx_uint_t            cut;
    ngx_http_hype_row_t   row;

    ngx_memzero(&row, sizeof(ngx_http_hype_row_t));

    cut = fuzz_short(in);
    row.created = fuzz_short(in) << 16;
    row.bot = fuzz_byte(in) & 1;
    row.authenticated = row.bot ^ 1;
    row.link = (flags & LINK) ? (int64_t) flags << 55 : 0;
    row.visitor = (flags & VISITOR) ? random_bytes : NULL;

    if (flags & (IPV4|IPV6)) {
        row.ip = random_bytes + 1;
        row.ip_len = (flags & IPV4) ? 4 : 16;
    }

    ngx_memcpy(row.id, random_bytes + 3, 16);

    ngx_str_set(&name, "a.b_c~D-9");
    ngx_str_null(&empty);
    identifier = row.link ? empty : name;

    row.user_id = fuzz_string(in);
    row.user_agent = fuzz_string(in);
    row.referer = fuzz_string(in);
    row.next = fuzz_string(in);
    row.source = fuzz_string(in);
    row.args = fuzz_string(in);

    len = ngx_http_hype_record_hit_length(&identifier, &row);
    record = fuzz_alloc(len);

    fuzz_assert(ngx_http_hype_record_hit(record, &identifier, &row)
                == record + len);

    tuple = ngx_http_hype_record_tuple(record, &name);
    size = record + len - tuple;

    fuzz_assert(fuzz_same(name.data, name.len,
                          identifier.data, identifier.len));
    fuzz_assert(size == ngx_http_hype_row_length(&row));
    fuzz_assert(ngx_http_hype_row_check(tuple, record + len) == size);
    fuzz_assert(ngx_http_hype_row_check(tuple, tuple + cut % size) == 0);

    size = ngx_http_hype_row_column(tuple, NGX_HTTP_HYPE_ROW_USER, &column);
    check_text(column, size, &row.user_id);

    size = ngx_http_hype_row_column(tuple, NGX_HTTP_HYPE_ROW_USER_AGENT,
                                    &column);
    check_text(column, size, &row.user_agent);

    size = ngx_http_hype_row_column(tuple, NGX_HTTP_HYPE_ROW_REFERER, &column);
    check_text(column, size, &row.referer);

    size = ngx_http_hype_row_column(tuple, NGX_HTTP_HYPE_ROW_NEXT, &column);
    check_text(column, size, &row.next);

    size = ngx_http_hype_row_column(tuple, NGX_HTTP_HYPE_ROW_SOURCE, &column);
    check_text(column, size, &row.source);

    size = ngx_http_hype_row_column(tuple, NGX_HTTP_HYPE_ROW_ARGS, &column);
    check_text(column, size, &row.args);

    fuzz_assert(column + size == record + len);

    check_record(record, len, cut);

    free(record);
    free(row.user_id.data);
    free(row.user_agent.data);
    free(row.referer.data);
    free(row.next.data);
    free(row.source.data);
    free(row.args.data);
}


static void
fuzz_event(fuzz_t *in, ngx_uint_t flags)
{
    size_t                        len, size;
    u_char                       *record, *field;
    ngx_uint_t                    cut;
    ngx_http_hype_event_t         event;
    ngx_http_hype_record_type_e   type;

    cut = fuzz_short(in);

    event.created = fuzz_short(in) << 16;
    event.visitor = (flags & VISITOR) ? random_bytes : NULL;
    event.user_id = fuzz_string(in);
    event.event = fuzz_string(in);
    event.value = fuzz_string(in);

    type = (flags & LINK) ? NGX_HTTP_HYPE_RECORD_CLAIM
                          : NGX_HTTP_HYPE_RECORD_CONFIRM;

    len = ngx_http_hype_record_event_length(&event);
    record = fuzz_alloc(len);

    fuzz_assert(ngx_http_hype_record_event(record, type, &event)
                == record + len);

    size = ngx_http_hype_record_field(record, NGX_HTTP_HYPE_RECORD_USER,
                                      &field);
    check_text(field, size, &event.user_id);

    size = ngx_http_hype_record_field(record, NGX_HTTP_HYPE_RECORD_EVENT,
                                      &field);
    check_text(field, size, &event.event);

    size = ngx_http_hype_record_field(record, NGX_HTTP_HYPE_RECORD_VALUE,
                                      &field);
    check_text(field, size, &event.value);

    fuzz_assert(field + size == record + len);

    check_record(record, len, cut);

    free(record);
    free(event.user_id.data);
    free(event.event.data);
    free(event.value.data);
}


static void
check_record(u_char *record, size_t len, ngx_uint_t cut)
{
    size_t     size;
    ngx_int_t  rc;

    ngx_http_hype_record_seal(record);

    rc = ngx_http_hype_record_check(record, record + len, &size);

    if (len > NGX_HTTP_HYPE_RECORD_MAX) {
        fuzz_assert(rc == NGX_ERROR);
        return;
    }

    fuzz_assert(rc == NGX_OK && size == len);

    rc = ngx_http_hype_record_check(record, record + cut % len, &size);
    fuzz_assert(rc == NGX_AGAIN);

    record[4 + cut % (len - 4)] ^= (u_char) (1 << (cut & 7));
    rc = ngx_http_hype_record_check(record, record + len, &size);
    fuzz_assert(rc == NGX_ERROR);
    record[4 + cut % (len - 4)] ^= (u_char) (1 << (cut & 7));

    fuzz_sql(record);
}


/* U+FFFD for each byte that is no part of a character, by decoding them */

static void
check_text(u_char *column, size_t len, ngx_str_t *text)
{
    size_t      i, k, n;
    u_char     *p, *last;
    uint32_t    c;

    static uint32_t  least[] = { 1, 1, 0x80, 0x800, 0x10000 };

    p = column + 4;
    last = column + len;

    if (text->len == 0) {
        fuzz_assert(len == 4 && ngx_memcmp(column, "\xff\xff\xff\xff", 4) == 0);
        return;
    }

    for (i = 0; i < text->len; i += n) {

        c = text->data[i];
        n = (c < 0x80) ? 1 : (c < 0xc0) ? 0 : (c < 0xe0) ? 2 : (c < 0xf0) ? 3
            : (c < 0xf8) ? 4 : 0;

        if (n > 1) {
            c &= 0x7f >> n;
        }

        for (k = 1; k < n; k++) {

            if (i + k == text->len || (text->data[i + k] & 0xc0) != 0x80) {
                n = 0;
                break;
            }

            c = c << 6 | (text->data[i + k] & 0x3f);
        }

        if (n == 0 || c < least[n] || c > 0x10ffff || (c >> 11) == 0x1b) {
            fuzz_assert(last - p >= 3);
            fuzz_assert(ngx_memcmp(p, "\xef\xbf\xbd", 3) == 0);
            p += 3;
            n = 1;

        } else {
            fuzz_assert((size_t) (last - p) >= n);
            fuzz_assert(ngx_memcmp(p, text->data + i, n) == 0);
            p += n;
        }
    }

    fuzz_assert(p == last);
}
