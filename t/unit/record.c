
#include <ngx_config.h>
#include <ngx_core.h>
#include <zlib.h>
#include "hype_sql.h"
#include "ngx_http_hype_record.h"
#include "tap.h"


static void test_layout(void);
static void test_check(void);
static void test_check_fields(void);
static void test_unknown(void);
static void test_access(void);
static void test_sql(void);
static size_t make_record(u_char *buf, ngx_uint_t n);
static ngx_int_t check(u_char *p, size_t size, size_t *len);


#define NRECORDS  6

#define VISITOR   "0123456789abcdef"

#define INSERT    "INSERT INTO hype.referral_hit (id, referral_link_id, "     \
                  "created, authenticated, bot, visitor, user_id, ip, "       \
                  "user_agent, http_referer, next, source, args) VALUES ("    \
                  "'41424344-4546-4748-494a-4b4c4d4e4f50', "


static u_char  last_page[4096];


int
main(void)
{
    test_layout();
    test_check();
    test_check_fields();
    test_unknown();
    test_access();
    test_sql();

    return tap_done();
}


static void
test_layout(void)
{
    u_char    buf[1024];
    size_t    len;
    uint32_t  crc;

    len = make_record(buf, 0);
    tap_is_bytes(buf, 4, tap_str("\0\0\0\173"), "hit: the length");
    tap_is(len, 123, "hit: the size");
    tap_is_bytes(buf + 8, 4, tap_str("\2\1\0\0"), "hit: version and type");
    tap_is_bytes(buf + 12, 9, tap_str("\0\0\0\3abc\0\15"),
                 "hit: identifier and tuple");

    len = make_record(buf, 5);
    tap_is_bytes(buf, 4, tap_str("\0\0\0\163"), "old hit: the length");
    tap_is(len, 115, "old hit: the size");
    tap_is_bytes(buf + 8, 4, tap_str("\1\1\0\0"),
                 "old hit: version and type");
    tap_is_bytes(buf + 12, 9, tap_str("\0\0\0\3abc\0\13"),
                 "old hit: identifier and tuple");

    /* as zlib, gzip and so on have it: spools of other versions stay good */

    crc = crc32(0, buf + 8, len - 8);
    tap_is(ngx_http_hype_get32(buf + 4), crc, "hit: the CRC");
    tap_is(crc, 0x9cfe918c, "hit: its value");

    len = make_record(buf, 1);
    tap_is_bytes(buf + 12, 6, tap_str("\0\0\0\0\0\15"),
                 "hit: no identifier");

    len = make_record(buf, 2);
    tap_is_bytes(buf + 8, len - 8,
                 tap_str("\1\2\0\0"
                         "\0\0\0\20" VISITOR
                         "\0\0\0\2" "42"
                         "\0\0\0\10" "\0\0\0\0\0\0\3\xe8"
                         "\xff\xff\xff\xff"
                         "\xff\xff\xff\xff"), "claim");

    len = make_record(buf, 3);
    tap_is_bytes(buf + 8, len - 8,
                 tap_str("\1\3\0\0"
                         "\xff\xff\xff\xff"
                         "\0\0\0\5" "o'r\xc3\xa9"
                         "\0\0\0\10" "\0\0\0\0\0\0\3\xe8"
                         "\0\0\0\6" "signup"
                         "\0\0\0\7" "9\xef\xbf\xbd\xef\xbf\xbd"), "confirm");
}


static void
test_check(void)
{
    size_t      size, len;
    u_char      buf[1024], bad_buf[1024];
    ngx_int_t   rc;
    ngx_uint_t  n, i, bad;

    for (n = 0; n < NRECORDS; n++) {
        size = make_record(buf, n);

        tap_is(check(buf, size, &len), NGX_OK, "check: well-formed");
        tap_is(len, size, "check: its size");

        for (i = 0, bad = 0; i < size; i++) {
            rc = check(buf, i, &len);
            bad += (rc != NGX_AGAIN || len != ((i < 12) ? 0 : size));
        }

        tap_is(bad, 0, "check: cut after every byte");

        for (i = 0, bad = 0; i < size * 8; i++) {
            ngx_memcpy(bad_buf, buf, size);
            bad_buf[i / 8] ^= (u_char) (1 << (i % 8));

            /* a greater length may be that of a record cut short */

            rc = check(bad_buf, size, &len);
            bad += (rc != NGX_ERROR && (i >= 32 || rc != NGX_AGAIN));

            ngx_memcpy(last_page, bad_buf, size);
            ngx_memset(last_page + size, 'x', sizeof(last_page) - size);
            rc = check(last_page, sizeof(last_page), &len);
            bad += (rc != NGX_ERROR && (i >= 32 || rc != NGX_AGAIN));
        }

        tap_is(bad, 0, "check: every bit flipped");

        for (i = 0, bad = 0; i < size; i++) {
            ngx_memcpy(bad_buf, buf, size);
            ngx_memzero(bad_buf + i, size - i);

            if (ngx_memcmp(bad_buf, buf, size) != 0) {
                bad += (check(bad_buf, size, &len) == NGX_OK);
            }
        }

        tap_is(bad, 0, "check: zeros from every byte on");
    }

    /* files end in such bytes after a crash */

    ngx_memzero(bad_buf, sizeof(bad_buf));
    tap_is(check(bad_buf, sizeof(bad_buf), &len), NGX_ERROR, "check: zeros");

    ngx_memset(bad_buf, 0xff, sizeof(bad_buf));
    tap_is(check(bad_buf, sizeof(bad_buf), &len), NGX_ERROR, "check: ones");

    /* lengths at their bounds, sealed where that can be */

    size = make_record(buf, 0);

    (void) ngx_http_hype_put32(buf, 11);
    tap_is(check(buf, size, &len), NGX_ERROR, "check: 11 bytes");

    (void) ngx_http_hype_put32(buf, 12);
    ngx_http_hype_record_seal(buf);
    tap_is(check(buf, size, &len), NGX_ERROR, "check: a header alone");

    (void) ngx_http_hype_put32(buf, NGX_HTTP_HYPE_RECORD_MAX);
    tap_is(check(buf, size, &len), NGX_AGAIN, "check: 1 MB");
    tap_is(len, NGX_HTTP_HYPE_RECORD_MAX, "check: 1 MB, its size");

    (void) ngx_http_hype_put32(buf, NGX_HTTP_HYPE_RECORD_MAX + 1);
    tap_is(check(buf, size, &len), NGX_ERROR, "check: a byte more");
}


/* sealed, so that it is for the fields to be looked at */

static void
test_check_fields(void)
{
    size_t       size, len;
    u_char       buf[1024], bad_buf[1024];
    ngx_int_t    rc;
    ngx_uint_t   n, i, c, bad, accepted;

    for (n = 0; n < NRECORDS; n++) {
        size = make_record(buf, n);

        /* no byte of it lets the check read past the end */

        for (i = 8, bad = 0, accepted = 0; i < size; i++) {
            for (c = 0; c < 256; c++) {
                ngx_memcpy(bad_buf, buf, size);
                bad_buf[i] = (u_char) c;
                ngx_http_hype_record_seal(bad_buf);

                rc = check(bad_buf, size, &len);
                accepted += (rc == NGX_OK);
                bad += (rc == NGX_AGAIN || (rc == NGX_OK && len != size));
            }
        }

        tap_is(bad, 0, "fields: every byte in every place");
        tap_ok(accepted > 256, "fields: some are as good");

        /* cut or longer, with a length that says so */

        for (i = 12, bad = 0; i < size + 8; i++) {
            ngx_memcpy(bad_buf, buf, size);
            ngx_memset(bad_buf + size, 0, 8);
            (void) ngx_http_hype_put32(bad_buf, (uint32_t) i);
            ngx_http_hype_record_seal(bad_buf);

            rc = check(bad_buf, i, &len);
            bad += (rc != ((i == size) ? NGX_OK : NGX_ERROR));
        }

        tap_is(bad, 0, "fields: every length");

        for (i = 10, bad = 0; i < 12; i++) {
            ngx_memcpy(bad_buf, buf, size);
            bad_buf[i] = 1;
            ngx_http_hype_record_seal(bad_buf);
            bad += (check(bad_buf, size, &len) != NGX_ERROR);
        }

        tap_is(bad, 0, "fields: the two zeros");

        if (n >= 2 && n != 5) {
            continue;
        }

        for (i = 0, bad = 0; i < 65536; i += 255) {
            ngx_memcpy(bad_buf, buf, size);
            ngx_http_hype_record_set_node(bad_buf, i);
            ngx_http_hype_record_seal(bad_buf);

            bad += (check(bad_buf, size, &len) != NGX_OK);
            bad += (ngx_http_hype_record_node(bad_buf) != ((n == 5) ? 0 : i));
        }

        tap_is(bad, 0, "fields: every node, but not in an old hit");

        ngx_http_hype_record_set_node(bad_buf, 0);
        tap_is(ngx_memcmp(bad_buf + 8, buf + 8, size - 8), 0,
               "fields: no node again");
    }

    size = make_record(buf, 0);

    for (c = 0, bad = 0; c < 256; c++) {
        buf[17] = (u_char) c;
        ngx_http_hype_record_seal(buf);

        rc = check(buf, size, &len);
        bad += ((rc == NGX_OK)
                != (c && strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                "abcdefghijklmnopqrstuvwxyz"
                                "0123456789_.~- ", (int) c) != NULL));
    }

    tap_is(bad, 0, "fields: every byte in an identifier, or between two");

    buf[16] = ' ';
    buf[17] = 'a';
    ngx_http_hype_record_seal(buf);
    tap_is(check(buf, size, &len), NGX_ERROR, "fields: no first identifier");

    buf[16] = 'a';
    buf[18] = ' ';
    ngx_http_hype_record_seal(buf);
    tap_is(check(buf, size, &len), NGX_ERROR, "fields: no second identifier");

    buf[17] = ' ';
    ngx_http_hype_record_seal(buf);
    tap_is(check(buf, size, &len), NGX_ERROR, "fields: two spaces");
}


static void
test_unknown(void)
{
    size_t      size, len;
    u_char      buf[1024];
    ngx_int_t   rc;
    ngx_uint_t  n, i, version, bad;

    for (n = 0; n < NRECORDS; n++) {
        size = make_record(buf, n);
        version = buf[8];

        for (i = 0, bad = 0; i < 256; i++) {
            buf[8] = (u_char) i;
            ngx_http_hype_record_seal(buf);

            /* a hit of the other version has a wrong number of columns */

            rc = (i == version) ? NGX_OK
                 : (i == 1 || (i == 2 && n == 5)) ? NGX_ERROR
                 : (i == 3 && (n < 2 || n == 5)) ? NGX_ERROR   /* no node */
                 : NGX_DECLINED;

            bad += (check(buf, size, &len) != rc);
            bad += (len != size);
        }

        tap_is(bad, 0, "unknown: versions");
    }

    size = make_record(buf, 0);

    for (i = 4, bad = 0; i < 257; i++) {
        buf[9] = (u_char) i;
        ngx_http_hype_record_seal(buf);
        bad += (check(buf, size, &len) != NGX_DECLINED || len != size);
    }

    tap_is(bad, 0, "unknown: types");

    buf[100] ^= 1;
    tap_is(check(buf, size, &len), NGX_ERROR, "unknown: not sealed");
}


static void
test_access(void)
{
    size_t      len;
    u_char      buf[1024], *p;
    ngx_str_t   identifier;

    len = make_record(buf, 0);
    tap_is(ngx_http_hype_record_length(buf), len, "length");
    tap_is(ngx_http_hype_record_type(buf), NGX_HTTP_HYPE_RECORD_HIT, "hit");

    p = ngx_http_hype_record_tuple(buf, &identifier);
    tap_is_bytes(identifier.data, identifier.len, tap_str("abc"),
                 "hit: the identifier");
    tap_is(ngx_http_hype_row_check(p, buf + len), len - 19, "hit: the tuple");

    len = make_record(buf, 1);
    p = ngx_http_hype_record_tuple(buf, &identifier);
    tap_is(identifier.len, 0, "hit: no identifier");
    tap_is(ngx_http_hype_row_check(p, buf + len), len - 16, "... the tuple");

    (void) make_record(buf, 2);
    tap_is(ngx_http_hype_record_type(buf), NGX_HTTP_HYPE_RECORD_CLAIM,
           "claim");

    len = ngx_http_hype_record_field(buf, NGX_HTTP_HYPE_RECORD_VISITOR, &p);
    tap_is_bytes(p, len, tap_str("\0\0\0\20" VISITOR), "claim: the visitor");

    (void) make_record(buf, 3);
    tap_is(ngx_http_hype_record_type(buf), NGX_HTTP_HYPE_RECORD_CONFIRM,
           "confirm");

    len = ngx_http_hype_record_field(buf, NGX_HTTP_HYPE_RECORD_VISITOR, &p);
    tap_is_bytes(p, len, tap_str("\xff\xff\xff\xff"), "confirm: no visitor");

    len = ngx_http_hype_record_field(buf, NGX_HTTP_HYPE_RECORD_USER, &p);
    tap_is_bytes(p, len, tap_str("\0\0\0\5o'r\xc3\xa9"), "confirm: the user");

    len = ngx_http_hype_record_field(buf, NGX_HTTP_HYPE_RECORD_CREATED, &p);
    tap_is_bytes(p, len, tap_str("\0\0\0\10\0\0\0\0\0\0\3\xe8"),
                 "confirm: the time");

    len = ngx_http_hype_record_field(buf, NGX_HTTP_HYPE_RECORD_EVENT, &p);
    tap_is_bytes(p, len, tap_str("\0\0\0\6signup"), "confirm: the event");

    len = ngx_http_hype_record_field(buf, NGX_HTTP_HYPE_RECORD_VALUE, &p);
    tap_is_bytes(p, len, tap_str("\0\0\0\7" "9\xef\xbf\xbd\xef\xbf\xbd"),
                 "confirm: the value");
}


static void
test_sql(void)
{
    FILE       *file;
    size_t      len;
    u_char      buf[1024], sql[2048];
    ngx_uint_t  n;

    for (n = 0; n < NRECORDS; n++) {
        (void) make_record(buf, n);

        file = tap_open(sql, sizeof(sql));
        hype_sql_record(file, buf);
        len = tap_close(file);

        switch (n) {

        case 0:
        case 5:
            tap_is_bytes(sql, len,
                         tap_str(INSERT "(SELECT hype.link_at('abc', "
                                 "'2000-01-01 00:00:00.001000+00')), "
                                 "'2000-01-01 00:00:00.001000+00', "
                                 "false, false, NULL, NULL, NULL, "
                                 "E'UA\\ufffd', 'http://example/', '/a/b', "
                                 "NULL, NULL) "
                                 "ON CONFLICT DO NOTHING"),
                         "sql: a hit of an unknown link");
            break;

        case 1:
            tap_is_bytes(sql, len,
                         tap_str(INSERT "7, "
                                 "'2000-01-01 00:00:00.001000+00', "
                                 "false, false, "
                                 "'30313233-3435-3637-3839-616263646566', "
                                 "'42', "
                                 "'3031:3233:3435:3637:3839:6162:6364:6566', "
                                 "E'UA\\ufffd', 'http://example/', '/a/b', "
                                 "NULL, NULL) "
                                 "ON CONFLICT DO NOTHING"),
                         "sql: a hit of a known link");
            break;

        case 2:
            tap_is_bytes(sql, len,
                         tap_str("SELECT hype.claim_batch(ARRAY["
                                 "'30313233-3435-3637-3839-616263646566'"
                                 "]::uuid[], ARRAY['42']::text[], ARRAY["
                                 "'2000-01-01 00:00:00.001000+00'"
                                 "]::timestamptz[])"), "sql: a claim");
            break;

        case 3:
            tap_is_bytes(sql, len,
                         tap_str("SELECT hype.confirm_batch(ARRAY['signup'"
                                 "]::text[], ARRAY[E'o''r\\u00e9']::text[], "
                                 "ARRAY[NULL]::uuid[], "
                                 "ARRAY[E'9\\ufffd\\ufffd']::text[], ARRAY["
                                 "'2000-01-01 00:00:00.001000+00'"
                                 "]::timestamptz[])"),
                         "sql: a confirm");
            break;

        default:
            tap_is_bytes(sql, len,
                         tap_str("SELECT hype.confirm_batch(ARRAY['paid'"
                                 "]::text[], ARRAY[NULL]::text[], ARRAY["
                                 "'30313233-3435-3637-3839-616263646566'"
                                 "]::uuid[], ARRAY[NULL]::text[], ARRAY["
                                 "'2000-01-01 00:00:00.001000+00'"
                                 "]::timestamptz[])"),
                         "sql: a confirm of a visitor");
        }
    }
}


static size_t
make_record(u_char *buf, ngx_uint_t n)
{
    size_t                        len;
    u_char                       *end;
    ngx_str_t                     identifier;
    ngx_http_hype_row_t           row;
    ngx_http_hype_event_t         event;
    ngx_http_hype_record_type_e   type;

    if (n < 2 || n == 5) {
        ngx_memzero(&row, sizeof(ngx_http_hype_row_t));

        ngx_memcpy(row.id, "ABCDEFGHIJKLMNOP", 16);
        row.created = 946684800001ULL;
        row.user_agent = tap_str("UA\xff");
        row.next = tap_str("/a/b");
        row.referer = tap_str("http://example/");
        ngx_str_null(&identifier);

        if (n != 1) {
            identifier = tap_str("abc");

        } else {
            row.link = 7;
            row.visitor = (u_char *) VISITOR;
            row.ip = (u_char *) VISITOR;
            row.ip_len = 16;
            row.user_id = tap_str("42");
        }

        len = ngx_http_hype_record_hit_length(&identifier, &row);
        end = ngx_http_hype_record_hit(buf, &identifier, &row);

        if (n == 5) {

            /* as version 1 has it: without the last two columns */

            len -= 8;
            end -= 8;
            (void) ngx_http_hype_put32(buf, (uint32_t) len);
            buf[8] = 1;
            buf[20] = NGX_HTTP_HYPE_ROW_NCOLUMNS_1;
        }

    } else {
        ngx_memzero(&event, sizeof(ngx_http_hype_event_t));
        event.created = 946684800001ULL;

        if (n == 2) {
            type = NGX_HTTP_HYPE_RECORD_CLAIM;
            event.visitor = (u_char *) VISITOR;
            event.user_id = tap_str("42");

        } else if (n == 3) {
            type = NGX_HTTP_HYPE_RECORD_CONFIRM;
            event.user_id = tap_str("o'r\xc3\xa9");
            event.event = tap_str("signup");
            event.value = tap_str("9\xff\0");

        } else {
            type = NGX_HTTP_HYPE_RECORD_CONFIRM;
            event.visitor = (u_char *) VISITOR;
            event.event = tap_str("paid");
        }

        len = ngx_http_hype_record_event_length(&event);
        end = ngx_http_hype_record_event(buf, type, &event);
    }

    if (end != buf + len) {
        tap_ok(0, "the length is not what was written");
    }

    ngx_http_hype_record_seal(buf);

    return len;
}


/* in memory of its very size, for sanitizers to see a read too far */

static ngx_int_t
check(u_char *p, size_t size, size_t *len)
{
    u_char     *copy;
    ngx_int_t   rc;

    copy = malloc(size ? size : 1);
    if (copy == NULL) {
        exit(2);
    }

    ngx_memcpy(copy, p, size);
    rc = ngx_http_hype_record_check(copy, copy + size, len);
    free(copy);

    return rc;
}
