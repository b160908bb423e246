
/*
 * Bytes of a spool file: whatever is called a record can be used as one.  The
 * input: a byte that says whether to set the length and the CRC right, then
 * the bytes.
 */


#include "ngx_http_hype_record.h"
#include "fuzz.h"


static void use_record(u_char *record, size_t len);
static void use_node(u_char *record, size_t len);


int
LLVMFuzzerTestOneInput(const u_char *data, size_t size)
{
    fuzz_t      in;
    size_t      len, again;
    ngx_int_t   rc;
    ngx_str_t   file;
    ngx_uint_t  mend;

    in.pos = (u_char *) data;
    in.last = in.pos + size;

    mend = fuzz_byte(&in) & 1;
    file = fuzz_copy(in.pos, in.last - in.pos);

    if (mend && file.len >= NGX_HTTP_HYPE_RECORD_HEADER) {
        (void) ngx_http_hype_put32(file.data, (uint32_t) file.len);
        ngx_http_hype_record_seal(file.data);
    }

    len = 1;
    rc = ngx_http_hype_record_check(file.data, file.data + file.len, &len);

    switch (rc) {

    case NGX_OK:
        fuzz_assert(len <= file.len);
        use_record(file.data, len);

        rc = ngx_http_hype_record_check(file.data, file.data + len - 1,
                                        &again);
        fuzz_assert(rc == NGX_AGAIN && again == len);

        if (ngx_http_hype_record_type(file.data) == NGX_HTTP_HYPE_RECORD_HIT) {
            use_node(file.data, len);
        }

        break;

    case NGX_DECLINED:
        fuzz_assert(len <= file.len && len >= NGX_HTTP_HYPE_RECORD_HEADER);
        break;

    case NGX_AGAIN:
        fuzz_assert(len == 0 || len > file.len);
        fuzz_assert(len <= NGX_HTTP_HYPE_RECORD_MAX);
        break;

    default:
        fuzz_assert(rc == NGX_ERROR);
    }

    free(file.data);

    return 0;
}


static void
use_record(u_char *record, size_t len)
{
    size_t      i, size;
    u_char     *p, *column, *end;
    ngx_str_t   identifier;

    fuzz_assert(ngx_http_hype_record_length(record) == len);

    end = NULL;

    if (ngx_http_hype_record_type(record) == NGX_HTTP_HYPE_RECORD_HIT) {
        p = ngx_http_hype_record_tuple(record, &identifier);
        fuzz_assert(identifier.len <= 64);

        for (i = 0; i < NGX_HTTP_HYPE_ROW_NCOLUMNS; i++) {
            size = ngx_http_hype_row_column(p, i, &column);

            if (i >= ngx_http_hype_row_columns(p)) {
                fuzz_assert(size == 4 && ngx_http_hype_get32(column) + 1 == 0);
                continue;
            }

            end = column + size;
            fuzz_assert(end <= record + len);
        }

    } else {
        for (i = 0; i < NGX_HTTP_HYPE_RECORD_FIELDS; i++) {
            size = ngx_http_hype_record_field(record, i, &column);
            end = column + size;
            fuzz_assert(end <= record + len);
        }
    }

    fuzz_assert(end == record + len);

    fuzz_sql(record);
}


/* as a batch does */

static void
use_node(u_char *record, size_t len)
{
    size_t      again;
    ngx_uint_t  i, node, nodes[] = { 32767, 0, record[len - 1] + 128 };

    for (i = 0; i < 3; i++) {
        ngx_http_hype_record_set_node(record, nodes[i]);
        ngx_http_hype_record_seal(record);

        node = ngx_http_hype_record_node(record);
        fuzz_assert(node == nodes[i] || (record[8] == 1 && node == 0));
        fuzz_assert(ngx_http_hype_record_check(record, record + len, &again)
                    == NGX_OK && again == len);
    }
}
