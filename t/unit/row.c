
#include <ngx_config.h>
#include <ngx_core.h>
#include "hype_sql.h"
#include "ngx_http_hype_row.h"
#include "tap.h"


static void test_frame(void);
static void test_write(void);
static void test_bad_text(void);
static void test_check(void);
static void test_columns(void);
static void test_sql(void);
static size_t sql_row(u_char *buf, size_t size, u_char *tuple,
    ngx_str_t *identifier);
static void full_row(ngx_http_hype_row_t *row);
static size_t write_row(u_char *buf, ngx_http_hype_row_t *row);


#define ID       "\x01\x8f\0\0\0\0\x70\0\x80\0\0\0\0\0\0\1"
#define VISITOR  "0123456789abcdef"

#define FULL                                                                  \
    "\0\15"                                                                   \
    "\0\0\0\20" ID                                                            \
    "\0\0\0\10" "\x01\x02\x03\x04\x05\x06\x07\x08"                            \
    "\0\0\0\10" "\0\0\0\0\0\0\3\xe8"                                          \
    "\0\0\0\1" "\1"                                                           \
    "\0\0\0\1" "\0"                                                           \
    "\0\0\0\20" VISITOR                                                       \
    "\0\0\0\2" "42"                                                           \
    "\0\0\0\10" "\2\40\0\4\xc0\0\2\1"                                         \
    "\0\0\0\3" "UA\n"                                                         \
    "\0\0\0\1" "'"                                                            \
    "\0\0\0\3" "/\xc3\xa9"                                                  \
    "\0\0\0\4" "code"                                                         \
    "\0\0\0\3" "a=b"

#define NULLS  "\0\15" NULLS_1                                                \
    "\xff\xff\xff\xff"                                                        \
    "\xff\xff\xff\xff"

/* as a module wrote it that had neither source nor arguments */

#define OLD    "\0\13" NULLS_1

#define NULLS_1                                                               \
    "\0\0\0\20" ID                                                            \
    "\xff\xff\xff\xff"                                                        \
    "\0\0\0\10" "\0\0\0\0\0\0\3\xe8"                                          \
    "\0\0\0\1" "\0"                                                           \
    "\0\0\0\1" "\1"                                                           \
    "\xff\xff\xff\xff"                                                        \
    "\xff\xff\xff\xff"                                                        \
    "\xff\xff\xff\xff"                                                        \
    "\xff\xff\xff\xff"                                                        \
    "\xff\xff\xff\xff"                                                        \
    "\xff\xff\xff\xff"

#define INSERT  "INSERT INTO hype.referral_hit (id, referral_link_id, "       \
                "created, authenticated, bot, visitor, user_id, ip, "         \
                "user_agent, http_referer, next, source, args) VALUES ("      \
                "'018f0000-0000-7000-8000-000000000001', "


int
main(void)
{
    test_frame();
    test_write();
    test_bad_text();
    test_check();
    test_columns();
    test_sql();

    return tap_done();
}


static void
test_frame(void)
{
    tap_is_bytes(ngx_http_hype_row_header.data, ngx_http_hype_row_header.len,
                 tap_str("PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0"), "header");
    tap_is_bytes(ngx_http_hype_row_trailer.data, ngx_http_hype_row_trailer.len,
                 tap_str("\377\377"), "trailer");
}


static void
test_write(void)
{
    size_t               len;
    u_char               buf[1024];
    ngx_http_hype_row_t  row;

    full_row(&row);
    len = write_row(buf, &row);
    tap_is_bytes(buf, len, tap_str(FULL), "write");

    row.ip = (u_char *) "fedcba9876543210";
    row.ip_len = 16;
    len = write_row(buf, &row);
    tap_is(len, sizeof(FULL) - 1 + 12, "write: IPv6");

    ngx_memzero(&row, sizeof(ngx_http_hype_row_t));
    ngx_memcpy(row.id, ID, 16);
    row.created = 946684800001ULL;
    row.bot = 1;
    len = write_row(buf, &row);
    tap_is_bytes(buf, len, tap_str(NULLS), "write: NULLs");

    full_row(&row);
    row.link = -1;
    (void) write_row(buf, &row);
    tap_is_bytes(buf + 22, 12,
                 tap_str("\0\0\0\10\xff\xff\xff\xff\xff\xff\xff\xff"),
                 "write: a negative link");
}


/* a byte that needs three, at every place of every text */

static void
test_bad_text(void)
{
    size_t                len;
    u_char                buf[1024], text[20];
    ngx_str_t            *s[6];
    ngx_uint_t            i, k, bad;
    ngx_http_hype_row_t   row;

    s[0] = &row.user_id;
    s[1] = &row.user_agent;
    s[2] = &row.referer;
    s[3] = &row.next;
    s[4] = &row.source;
    s[5] = &row.args;

    for (i = 0, bad = 0; i < 6; i++) {
        for (k = 0; k < sizeof(text); k++) {

            full_row(&row);
            ngx_memset(text, 'a', sizeof(text));
            text[k] = (k & 1) ? 0xff : 0;

            len = write_row(buf, &row) - s[i]->len;
            *s[i] = tap_bytes(text, sizeof(text));

            bad += (write_row(buf, &row) != len + sizeof(text) + 2);
            bad += (ngx_http_hype_row_check(buf, buf + len + sizeof(text) + 2)
                    != len + sizeof(text) + 2);
        }
    }

    tap_is(bad, 0, "write: bad bytes in texts");
}


static void
test_check(void)
{
    size_t      len;
    u_char     *copy;
    ngx_str_t   tuples[3];
    ngx_uint_t  i, n, c, bad;

    tuples[0] = tap_str(FULL);
    tuples[1] = tap_str(NULLS);
    tuples[2] = tap_str(OLD);

    for (n = 0; n < 3; n++) {
        len = tuples[n].len;

        for (i = 0, bad = 0; i <= len; i++) {
            copy = malloc(i ? i : 1);
            if (copy == NULL) {
                exit(2);
            }

            ngx_memcpy(copy, tuples[n].data, i);
            bad += (ngx_http_hype_row_check(copy, copy + i)
                    != ((i == len) ? len : 0));
            free(copy);
        }

        tap_is(bad, 0, "check: cut anywhere");

        copy = malloc(len + 3);
        if (copy == NULL) {
            exit(2);
        }

        ngx_memcpy(copy, tuples[n].data, len);
        ngx_memcpy(copy + len, "xyz", 3);
        tap_is(ngx_http_hype_row_check(copy, copy + len + 3), len,
               "check: bytes after it");

        /* the number of columns */

        for (i = 0, bad = 0; i < 2; i++) {
            for (c = 0; c < 256; c++) {
                ngx_memcpy(copy, tuples[n].data, len);
                copy[i] = (u_char) c;

                if (n < 2 && i == 1 && c == NGX_HTTP_HYPE_ROW_NCOLUMNS_1) {
                    bad += (ngx_http_hype_row_check(copy, copy + len)
                            != len - ((n == 0) ? 15 : 8));
                    continue;
                }

                bad += (ngx_http_hype_row_check(copy, copy + len)
                        != ((c == tuples[n].data[i]) ? len : 0));
            }
        }

        tap_is(bad, 0, "check: the number of columns");

        free(copy);
    }
}


static void
test_columns(void)
{
    size_t                      len;
    u_char                      buf[1024], *p, *column;
    ngx_uint_t                  i;
    ngx_http_hype_row_t         row;

    static struct {
        ngx_http_hype_row_column_e   column;
        ngx_uint_t                   nullable;
        ngx_str_t                    full;
    } columns[] = {
        { NGX_HTTP_HYPE_ROW_ID, 0, ngx_string("\0\0\0\20" ID) },
        { NGX_HTTP_HYPE_ROW_LINK, 1,
          ngx_string("\0\0\0\10\x01\x02\x03\x04\x05\x06\x07\x08") },
        { NGX_HTTP_HYPE_ROW_CREATED, 0,
          ngx_string("\0\0\0\10\0\0\0\0\0\0\3\xe8") },
        { NGX_HTTP_HYPE_ROW_AUTHENTICATED, 0, ngx_string("\0\0\0\1\1") },
        { NGX_HTTP_HYPE_ROW_BOT, 0, ngx_string("\0\0\0\1\0") },
        { NGX_HTTP_HYPE_ROW_VISITOR, 1, ngx_string("\0\0\0\20" VISITOR) },
        { NGX_HTTP_HYPE_ROW_USER, 1, ngx_string("\0\0\0\2" "42") },
        { NGX_HTTP_HYPE_ROW_IP, 1,
          ngx_string("\0\0\0\10\2\40\0\4\xc0\0\2\1") },
        { NGX_HTTP_HYPE_ROW_USER_AGENT, 1, ngx_string("\0\0\0\3UA\n") },
        { NGX_HTTP_HYPE_ROW_REFERER, 1, ngx_string("\0\0\0\1'") },
        { NGX_HTTP_HYPE_ROW_NEXT, 1, ngx_string("\0\0\0\3/\xc3\xa9") },
        { NGX_HTTP_HYPE_ROW_SOURCE, 1, ngx_string("\0\0\0\4" "code") },
        { NGX_HTTP_HYPE_ROW_ARGS, 1, ngx_string("\0\0\0\3" "a=b") }
    };

    full_row(&row);
    len = write_row(buf, &row);

    for (i = 0; i < NGX_HTTP_HYPE_ROW_NCOLUMNS; i++) {
        len = ngx_http_hype_row_column(buf, columns[i].column, &column);
        tap_is_bytes(column, len, columns[i].full, "column");
    }

    /* a NULL instead of each */

    for (i = 0; i < NGX_HTTP_HYPE_ROW_NCOLUMNS; i++) {
        len = write_row(buf, &row);
        p = buf + len;

        (void) ngx_http_hype_row_column(buf, columns[i].column, &column);

        ngx_memset(column, 0xff, 4);
        ngx_memmove(column + 4, column + columns[i].full.len,
                    p - column - columns[i].full.len);
        len -= columns[i].full.len - 4;

        tap_is(ngx_http_hype_row_check(buf, buf + len),
               columns[i].nullable ? len : 0, "column: NULL");
    }

    ngx_memcpy(buf, OLD, sizeof(OLD) - 1);

    for (i = NGX_HTTP_HYPE_ROW_NCOLUMNS_1; i < NGX_HTTP_HYPE_ROW_NCOLUMNS; i++)
    {
        len = ngx_http_hype_row_column(buf, i, &column);
        tap_is_bytes(column, len, tap_str("\xff\xff\xff\xff"),
                     "column: not there");
    }
}


static void
test_sql(void)
{
    size_t                len;
    u_char                buf[2048], tuple[1024];
    ngx_str_t             identifier;
    ngx_http_hype_row_t   row;

    full_row(&row);
    (void) write_row(tuple, &row);

    identifier = tap_str("");
    len = sql_row(buf, sizeof(buf), tuple, &identifier);

    tap_is_bytes(buf, len,
                 tap_str(INSERT "72623859790382856, "
                         "'2000-01-01 00:00:00.001000+00', true, false, "
                         "'30313233-3435-3637-3839-616263646566', '42', "
                         "'192.0.2.1', E'UA\\x0a', '''', E'/\\u00e9', "
                         "'code', 'a=b') "
                         "ON CONFLICT DO NOTHING"),
                 "sql");

    identifier = tap_str("abc");
    len = sql_row(buf, sizeof(buf), tuple, &identifier);
    tap_ok(memmem(buf, len, "SELECT", 6) == NULL,
           "sql: a known link needs no identifier");

    ngx_memcpy(tuple, NULLS, sizeof(NULLS) - 1);
    len = sql_row(buf, sizeof(buf), tuple, &identifier);

    tap_is_bytes(buf, len,
                 tap_str(INSERT "(SELECT hype.link_at('abc', "
                         "'2000-01-01 00:00:00.001000+00')), "
                         "'2000-01-01 00:00:00.001000+00', false, true, "
                         "NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL) "
                         "ON CONFLICT DO NOTHING"),
                 "sql: NULLs");

    ngx_memcpy(tuple, OLD, sizeof(OLD) - 1);
    ngx_str_null(&identifier);
    len = sql_row(buf, sizeof(buf), tuple, &identifier);

    tap_is_bytes(buf, len,
                 tap_str(INSERT "NULL, "
                         "'2000-01-01 00:00:00.001000+00', false, true, "
                         "NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL) "
                         "ON CONFLICT DO NOTHING"),
                 "sql: neither a link nor an identifier, of an old module");
}


static size_t
sql_row(u_char *buf, size_t size, u_char *tuple, ngx_str_t *identifier)
{
    FILE  *file;

    file = tap_open(buf, size);
    hype_sql_row(file, tuple, identifier);

    return tap_close(file);
}


static void
full_row(ngx_http_hype_row_t *row)
{
    ngx_memzero(row, sizeof(ngx_http_hype_row_t));

    ngx_memcpy(row->id, ID, 16);
    row->link = 0x0102030405060708LL;
    row->created = 946684800001ULL;
    row->authenticated = 1;
    row->visitor = (u_char *) VISITOR;
    row->ip = (u_char *) "\xc0\0\2\1";
    row->ip_len = 4;
    row->user_id = tap_str("42");
    row->user_agent = tap_str("UA\n");
    row->referer = tap_str("'");
    row->next = tap_str("/\xc3\xa9");
    row->source = tap_str("code");
    row->args = tap_str("a=b");
}


static size_t
write_row(u_char *buf, ngx_http_hype_row_t *row)
{
    size_t  len;

    len = ngx_http_hype_row_length(row);

    if (ngx_http_hype_row_write(buf, row) != buf + len) {
        tap_ok(0, "the length is not what was written");
    }

    return len;
}
