
#include <ngx_config.h>
#include <ngx_core.h>
#include "hype_sql.h"
#include "ngx_http_hype_column.h"
#include "tap.h"


static void test_utf8(void);
static void test_utf8_all(void);
static void test_utf8_words(void);
static ngx_uint_t utf8_same(u_char *data, size_t len);
static size_t utf8_naive(u_char *dst, u_char *src, size_t len);
static void test_write(void);
static void test_check(void);
static void test_sql(void);
static ngx_uint_t check(ngx_http_hype_column_e type, ngx_uint_t nullable,
    ngx_str_t column);


static struct {
    ngx_str_t     src;
    ngx_str_t     dst;
    const char   *name;
} utf8_tests[] = {

    { ngx_string(""), ngx_string(""), "empty" },
    { ngx_string("abc"), ngx_string("abc"), "ASCII" },
    { ngx_string("\x01\x1f\x7f"), ngx_string("\x01\x1f\x7f"),
      "control characters" },
    { ngx_string("\0"), ngx_string("\xef\xbf\xbd"), "NUL" },
    { ngx_string("a\0b\0"), ngx_string("a\xef\xbf\xbd" "b\xef\xbf\xbd"),
      "NUL inside and at the end" },
    { ngx_string("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"),
      ngx_string("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"),
      "2, 3 and 4 bytes" },
    { ngx_string("\xff"), ngx_string("\xef\xbf\xbd"), "no lead byte" },
    { ngx_string("\x80" "a"), ngx_string("\xef\xbf\xbd" "a"),
      "a continuation alone" },
    { ngx_string("caf\xe9"), ngx_string("caf\xef\xbf\xbd"), "Latin-1" },
    { ngx_string("\xc3"), ngx_string("\xef\xbf\xbd"), "cut after 1 of 2" },
    { ngx_string("\xe2\x82"), ngx_string("\xef\xbf\xbd\xef\xbf\xbd"),
      "cut after 2 of 3" },
    { ngx_string("\xf0\x9f\x98" "a"),
      ngx_string("\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" "a"),
      "cut after 3 of 4" },
    { ngx_string("\xc0\xaf"), ngx_string("\xef\xbf\xbd\xef\xbf\xbd"),
      "a / in two bytes" },
    { ngx_string("\xc0\x80"), ngx_string("\xef\xbf\xbd\xef\xbf\xbd"),
      "a NUL in two bytes" },
    { ngx_string("\xed\xa0\x80"),
      ngx_string("\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"), "a surrogate" },
    { ngx_string("\xf4\x90\x80\x80"),
      ngx_string("\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"),
      "above U+10FFFF" },
    { ngx_string("\xc3\xc3\xa9"), ngx_string("\xef\xbf\xbd\xc3\xa9"),
      "a lead byte before a character" },
    { ngx_string("\xef\xbf\xbd\xef\xbf\xbe\xef\xbf\xbf"),
      ngx_string("\xef\xbf\xbd\xef\xbf\xbe\xef\xbf\xbf"),
      "U+FFFD and noncharacters stay" },
    { ngx_string("\xef\xbb\xbf"), ngx_string("\xef\xbb\xbf"), "a BOM stays" },
    { ngx_string("0123456\xff" "01234567"),
      ngx_string("0123456\xef\xbf\xbd" "01234567"), "in a word of ASCII" }
};


int
main(void)
{
    test_utf8();
    test_utf8_all();
    test_utf8_words();
    test_write();
    test_check();
    test_sql();

    return tap_done();
}


static void
test_utf8(void)
{
    u_char       buf[64], *p;
    ngx_uint_t   i;

    for (i = 0; i < sizeof(utf8_tests) / sizeof(utf8_tests[0]); i++) {
        p = ngx_http_hype_utf8_copy(buf, &utf8_tests[i].src);

        tap_is_bytes(buf, p - buf, utf8_tests[i].dst, utf8_tests[i].name);
        tap_is(ngx_http_hype_utf8_length(&utf8_tests[i].src),
               utf8_tests[i].dst.len, "... its length");
    }
}


static void
test_utf8_all(void)
{
    u_char      s[4];
    ngx_uint_t  n, i, j, bad;

    static u_char  edges[] = {
        0x00, 0x01, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0,
        0xc2, 0xe0, 0xed, 0xf0, 0xf4, 0xff
    };

    for (n = 0, bad = 0; n < 256; n++) {
        s[0] = (u_char) n;
        bad += !utf8_same(s, 1);
    }

    tap_is(bad, 0, "utf8: every byte");

    for (n = 0, bad = 0; n < 65536; n++) {
        s[0] = (u_char) (n >> 8);
        s[1] = (u_char) n;
        bad += !utf8_same(s, 2);
    }

    tap_is(bad, 0, "utf8: every two bytes");

    for (n = 0, bad = 0; n < 65536; n++) {
        s[0] = (u_char) (n >> 8);
        s[1] = (u_char) n;

        for (i = 0; i < sizeof(edges); i++) {
            s[2] = edges[i];
            bad += !utf8_same(s, 3);

            for (j = 0; j < sizeof(edges); j++) {
                s[3] = edges[j];
                bad += !utf8_same(s, 4);
            }
        }
    }

    tap_is(bad, 0, "utf8: every two bytes with others after them");
}


static void
test_utf8_words(void)
{
    u_char      buf[40];
    ngx_uint_t  c, i, len, bad;

    for (c = 0, bad = 0; c < 256; c++) {
        for (len = 1; len <= sizeof(buf); len++) {
            for (i = 0; i < len; i++) {
                ngx_memset(buf, 0x01, len);
                buf[i] = (u_char) c;
                bad += !utf8_same(buf, len);

                ngx_memset(buf, 0x7f, len);
                buf[i] = (u_char) c;
                bad += !utf8_same(buf, len);
            }
        }
    }

    tap_is(bad, 0, "utf8: every byte in every place of a long text");
}


static ngx_uint_t
utf8_same(u_char *data, size_t len)
{
    size_t     n;
    u_char     naive[128], fast[128];
    ngx_str_t  src;

    src = tap_bytes(data, len);
    n = utf8_naive(naive, data, len);

    return ngx_http_hype_utf8_length(&src) == n
           && ngx_http_hype_utf8_copy(fast, &src) == fast + n
           && ngx_memcmp(naive, fast, n) == 0;
}


/* by decoding, with none of the tables of the implementation */

static size_t
utf8_naive(u_char *dst, u_char *src, size_t len)
{
    u_char    *d;
    size_t     i, k, n;
    uint32_t   c;

    static uint32_t  least[] = { 0, 1, 0x80, 0x800, 0x10000 };

    d = dst;

    for (i = 0; i < len; i += n) {

        for (n = 0; n < 8 && src[i] & (0x80 >> n); n++) { /* void */ }

        if (n == 0) {
            n = 1;
            c = src[i];

        } else if (n > 1 && n < 5 && n <= len - i) {
            c = src[i] & (0x7f >> n);

            for (k = 1; k < n; k++) {
                if ((src[i + k] & 0xc0) != 0x80) {
                    c = 0xffffffff;
                    break;
                }

                c = (c << 6) + (src[i + k] & 0x3f);
            }

        } else {
            n = 1;
            c = 0xffffffff;
        }

        if (c > 0x10ffff || c < least[n] || (c >= 0xd800 && c < 0xe000)) {
            n = 1;
            d = ngx_cpymem(d, "\xef\xbf\xbd", 3);

        } else {
            d = ngx_cpymem(d, src + i, n);
        }
    }

    return d - dst;
}


static void
test_write(void)
{
    u_char     buf[64], *p;
    ngx_str_t  text;

    p = ngx_http_hype_column_bytes(buf, (u_char *) "abc", 3);
    tap_is_bytes(buf, p - buf, tap_str("\0\0\0\3abc"), "bytes");

    p = ngx_http_hype_column_bytes(buf, NULL, 3);
    tap_is_bytes(buf, p - buf, tap_str("\xff\xff\xff\xff"), "bytes: NULL");

    text = tap_str("a\xff");
    p = ngx_http_hype_column_text(buf, &text);
    tap_is_bytes(buf, p - buf, tap_str("\0\0\0\4a\xef\xbf\xbd"), "text");
    tap_is(ngx_http_hype_column_text_length(&text), 8, "text: its length");
    tap_is(ngx_http_hype_column_length(buf), 8, "length");

    ngx_str_null(&text);
    p = ngx_http_hype_column_text(buf, &text);
    tap_is_bytes(buf, p - buf, tap_str("\xff\xff\xff\xff"), "text: NULL");
    tap_is(ngx_http_hype_column_text_length(&text), 4,
           "text: NULL, its length");
    tap_is(ngx_http_hype_column_length(buf), 4, "length of a NULL");

    p = ngx_http_hype_column_time(buf, 946684800000ULL);
    tap_is_bytes(buf, p - buf, tap_str("\0\0\0\10\0\0\0\0\0\0\0\0"),
                 "time: 2000");

    p = ngx_http_hype_column_time(buf, 946684800001ULL);
    tap_is_bytes(buf, p - buf, tap_str("\0\0\0\10\0\0\0\0\0\0\3\xe8"),
                 "time: a millisecond later");

    p = ngx_http_hype_column_time(buf, 946684799999ULL);
    tap_is_bytes(buf, p - buf,
                 tap_str("\0\0\0\10\xff\xff\xff\xff\xff\xff\xfc\x18"),
                 "time: a millisecond before");

    p = ngx_http_hype_column_inet(buf, (u_char *) "\xc0\0\2\1", 4);
    tap_is_bytes(buf, p - buf, tap_str("\0\0\0\10\2\40\0\4\xc0\0\2\1"),
                 "inet: IPv4");

    p = ngx_http_hype_column_inet(buf, (u_char *) "0123456789abcdef", 16);
    tap_is_bytes(buf, p - buf,
                 tap_str("\0\0\0\24\3\200\0\20" "0123456789abcdef"),
                 "inet: IPv6");

    p = ngx_http_hype_column_inet(buf, NULL, 0);
    tap_is_bytes(buf, p - buf, tap_str("\xff\xff\xff\xff"), "inet: NULL");
}


static void
test_check(void)
{
    u_char      buf[64];
    ngx_uint_t  i, k, n, bad;

    static struct {
        ngx_http_hype_column_e   type;
        ngx_str_t                column;
    } good[] = {
        { NGX_HTTP_HYPE_COLUMN_UUID,
          ngx_string("\0\0\0\20" "0123456789abcdef") },
        { NGX_HTTP_HYPE_COLUMN_BIGINT, ngx_string("\0\0\0\10" "12345678") },
        { NGX_HTTP_HYPE_COLUMN_TIME,
          ngx_string("\0\0\0\10\0\0\0\0\0\0\0\0") },
        { NGX_HTTP_HYPE_COLUMN_BOOLEAN, ngx_string("\0\0\0\1\0") },
        { NGX_HTTP_HYPE_COLUMN_INET,
          ngx_string("\0\0\0\10\2\40\0\4\xc0\0\2\1") },
        { NGX_HTTP_HYPE_COLUMN_INET,
          ngx_string("\0\0\0\24\3\200\0\20" "0123456789abcdef") },
        { NGX_HTTP_HYPE_COLUMN_TEXT, ngx_string("\0\0\0\4abc\x7f") }
    };

    for (n = 0; n < sizeof(good) / sizeof(good[0]); n++) {

        tap_ok(check(good[n].type, 0, good[n].column), "check: well-formed");

        for (i = 0, bad = 0; i < good[n].column.len; i++) {
            bad += check(good[n].type, 0,
                         tap_bytes(good[n].column.data, i));
        }

        tap_is(bad, 0, "check: cut anywhere");

        for (i = 0, bad = 0; i < 256; i++) {
            ngx_memcpy(buf, good[n].column.data, good[n].column.len);
            ngx_memset(buf + good[n].column.len, 'x', 8);
            buf[3] = (u_char) i;

            if (good[n].type == NGX_HTTP_HYPE_COLUMN_TEXT) {
                bad += (check(good[n].type, 0, tap_bytes(buf, 16))
                        != (i <= 12));

            } else {
                bad += (check(good[n].type, 0,
                              tap_bytes(buf, good[n].column.len + 8))
                        != (i == good[n].column.len - 4));
            }
        }

        tap_is(bad, 0, "check: every length in its last byte");

        for (i = 0, bad = 0; i < 3; i++) {
            for (k = 1; k < 256; k++) {
                ngx_memcpy(buf, good[n].column.data, good[n].column.len);
                buf[i] = (u_char) k;
                bad += check(good[n].type, 1,
                             tap_bytes(buf, good[n].column.len));
            }
        }

        tap_is(bad, 0, "check: a great or negative length");

        tap_ok(check(good[n].type, 1, tap_str("\xff\xff\xff\xff")),
               "check: NULL");
        tap_ok(!check(good[n].type, 0, tap_str("\xff\xff\xff\xff")),
               "check: NULL where there is none");
        tap_ok(!check(good[n].type, 1, tap_str("\xff\xff\xff\xfe")),
               "check: -2");
        tap_ok(!check(good[n].type, 1, tap_str("\x7f\xff\xff\xff")),
               "check: 2^31 - 1");
        tap_ok(!check(good[n].type, 1, tap_str("\x80\0\0\0")),
               "check: -2^31");
    }

    tap_ok(check(NGX_HTTP_HYPE_COLUMN_BOOLEAN, 0, tap_str("\0\0\0\1\1")),
           "check: true");
    tap_ok(!check(NGX_HTTP_HYPE_COLUMN_BOOLEAN, 0, tap_str("\0\0\0\1\2")),
           "check: neither true nor false");

    /* psql: extract(epoch from ts) - 946684800 */

    tap_ok(check(NGX_HTTP_HYPE_COLUMN_TIME, 0,
                 tap_str("\0\0\0\10\xff\xfc\xa2\xfe\xc4\xc8\x20\x00")),
           "check: 1970-01-01 00:00:00");
    tap_ok(!check(NGX_HTTP_HYPE_COLUMN_TIME, 0,
                  tap_str("\0\0\0\10\xff\xfc\xa2\xfe\xc4\xc8\x1f\xff")),
           "check: 1969-12-31 23:59:59.999999");
    tap_ok(check(NGX_HTTP_HYPE_COLUMN_TIME, 0,
                 tap_str("\0\0\0\10\x03\x80\xe7\x0b\x91\x3b\x7f\xff")),
           "check: 9999-12-31 23:59:59.999999");
    tap_ok(!check(NGX_HTTP_HYPE_COLUMN_TIME, 0,
                  tap_str("\0\0\0\10\x03\x80\xe7\x0b\x91\x3b\x80\x00")),
           "check: 10000-01-01 00:00:00");
    tap_ok(!check(NGX_HTTP_HYPE_COLUMN_TIME, 0,
                  tap_str("\0\0\0\10\x7f\xff\xff\xff\xff\xff\xff\xff")),
           "check: infinity");
    tap_ok(!check(NGX_HTTP_HYPE_COLUMN_TIME, 0,
                  tap_str("\0\0\0\10\x80\0\0\0\0\0\0\0")),
           "check: -infinity");

    /* every other byte before an address is none that was written here */

    for (n = 4; n < 6; n++) {
        for (i = 4, bad = 0; i < 8; i++) {
            for (k = 0; k < 256; k++) {
                ngx_memcpy(buf, good[n].column.data, good[n].column.len);
                buf[i] = (u_char) k;
                bad += (check(NGX_HTTP_HYPE_COLUMN_INET, 0,
                              tap_bytes(buf, good[n].column.len))
                        != (k == good[n].column.data[i]));
            }
        }

        tap_is(bad, 0, "check: what is before an address");
    }

    tap_ok(check(NGX_HTTP_HYPE_COLUMN_TEXT, 0, tap_str("\0\0\0\0")),
           "check: an empty text");
    tap_ok(!check(NGX_HTTP_HYPE_COLUMN_TEXT, 0, tap_str("\0\0\0\1\0")),
           "check: a text with a NUL");
    tap_ok(!check(NGX_HTTP_HYPE_COLUMN_TEXT, 0, tap_str("\0\0\0\1\xc3\xa9")),
           "check: a text that ends in a character");
}


static ngx_uint_t
check(ngx_http_hype_column_e type, ngx_uint_t nullable, ngx_str_t column)
{
    u_char                  *copy, *end;
    ngx_uint_t               good;
    ngx_http_hype_column_t   format;

    format.type = type;
    format.nullable = nullable;

    copy = malloc(column.len ? column.len : 1);
    if (copy == NULL) {
        exit(2);
    }

    ngx_memcpy(copy, column.data, column.len);

    end = ngx_http_hype_column_check(copy, copy + column.len, &format);
    good = (end != NULL && end == copy + ngx_http_hype_column_length(copy));

    free(copy);

    return good;
}


static void
test_sql(void)
{
    FILE        *file;
    u_char       buf[256];
    ngx_uint_t   i;

    static struct {
        ngx_http_hype_column_e   type;
        ngx_str_t                column;
        ngx_str_t                sql;
    } tests[] = {
        { NGX_HTTP_HYPE_COLUMN_TEXT,
          ngx_string("\xff\xff\xff\xff"), ngx_string("NULL") },
        { NGX_HTTP_HYPE_COLUMN_UUID,
          ngx_string("\0\0\0\20\x01\x23\x45\x67\x89\xab\xcd\xef"
                     "\xfe\xdc\xba\x98\x76\x54\x32\x10"),
          ngx_string("'01234567-89ab-cdef-fedc-ba9876543210'") },
        { NGX_HTTP_HYPE_COLUMN_BIGINT,
          ngx_string("\0\0\0\10\0\0\0\0\0\0\1\0"), ngx_string("256") },
        { NGX_HTTP_HYPE_COLUMN_BIGINT,
          ngx_string("\0\0\0\10\x80\0\0\0\0\0\0\0"),
          ngx_string("-9223372036854775808") },
        { NGX_HTTP_HYPE_COLUMN_TIME,
          ngx_string("\0\0\0\10\0\0\0\0\0\0\0\0"),
          ngx_string("'2000-01-01 00:00:00.000000+00'") },
        { NGX_HTTP_HYPE_COLUMN_TIME,
          ngx_string("\0\0\0\10\xff\xff\xff\xff\xff\xff\xff\xff"),
          ngx_string("'1999-12-31 23:59:59.999999+00'") },
        { NGX_HTTP_HYPE_COLUMN_TIME,
          ngx_string("\0\0\0\10\xff\xfc\xa2\xfe\xc4\xc8\x20\x00"),
          ngx_string("'1970-01-01 00:00:00.000000+00'") },
        { NGX_HTTP_HYPE_COLUMN_TIME,
          ngx_string("\0\0\0\10\x03\x80\xe7\x0b\x91\x3b\x7f\xff"),
          ngx_string("'9999-12-31 23:59:59.999999+00'") },
        { NGX_HTTP_HYPE_COLUMN_BOOLEAN,
          ngx_string("\0\0\0\1\0"), ngx_string("false") },
        { NGX_HTTP_HYPE_COLUMN_BOOLEAN,
          ngx_string("\0\0\0\1\1"), ngx_string("true") },
        { NGX_HTTP_HYPE_COLUMN_INET,
          ngx_string("\0\0\0\10\2\40\0\4\xff\xff\xff\xff"),
          ngx_string("'255.255.255.255'") },
        { NGX_HTTP_HYPE_COLUMN_INET,
          ngx_string("\0\0\0\24\3\200\0\20\x20\x01\x0d\xb8"
                     "\0\0\0\0\0\0\0\0\0\0\0\1"),
          ngx_string("'2001:db8::1'") },
        { NGX_HTTP_HYPE_COLUMN_INET,
          ngx_string("\0\0\0\24\3\200\0\20\xff\xff\xff\xff\xff\xff\xff\xff"
                     "\xff\xff\xff\xff\xff\xff\xff\xff"),
          ngx_string("'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff'") },
        { NGX_HTTP_HYPE_COLUMN_TEXT,
          ngx_string("\0\0\0\0"), ngx_string("''") },
        { NGX_HTTP_HYPE_COLUMN_TEXT,
          ngx_string("\0\0\0\2 ~"), ngx_string("' ~'") },
        { NGX_HTTP_HYPE_COLUMN_TEXT,
          ngx_string("\0\0\0\1\x7f"), ngx_string("E'\\x7f'") },
        { NGX_HTTP_HYPE_COLUMN_TEXT,
          ngx_string("\0\0\0\1\x1f"), ngx_string("E'\\x1f'") },
        { NGX_HTTP_HYPE_COLUMN_TEXT,
          ngx_string("\0\0\0\2\xc2\x80"), ngx_string("E'\\u0080'") },
        { NGX_HTTP_HYPE_COLUMN_TEXT,
          ngx_string("\0\0\0\3a'b"), ngx_string("'a''b'") },
        { NGX_HTTP_HYPE_COLUMN_TEXT,
          ngx_string("\0\0\0\3\\x'"), ngx_string("E'\\\\x'''") },
        { NGX_HTTP_HYPE_COLUMN_TEXT,
          ngx_string("\0\0\0\5\n\r\t\x01\x7f"),
          ngx_string("E'\\x0a\\x0d\\x09\\x01\\x7f'") },
        { NGX_HTTP_HYPE_COLUMN_TEXT,
          ngx_string("\0\0\0\5 ~\xc2\x85" "0"),
          ngx_string("E' ~\\u00850'") },
        { NGX_HTTP_HYPE_COLUMN_TEXT,
          ngx_string("\0\0\0\13\xdf\xbf\xe0\xa0\x80\xef\xbf\xbd" "abc"),
          ngx_string("E'\\u07ff\\u0800\\ufffdabc'") },
        { NGX_HTTP_HYPE_COLUMN_TEXT,
          ngx_string("\0\0\0\10\xf0\x90\x80\x80\xf4\x8f\xbf\xbf"),
          ngx_string("E'\\U00010000\\U0010ffff'") }
    };

    for (i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
        file = tap_open(buf, sizeof(buf));
        hype_sql_column(file, tests[i].column.data, tests[i].type);

        tap_is_bytes(buf, tap_close(file), tests[i].sql,
                     (char *) tests[i].sql.data);
    }
}
