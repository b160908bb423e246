
#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_http_hype_uuid.h"
#include "tap.h"


#define TEXT   "01234567-89ab-cdef-8123-456789abcdef"
#define TEXT2  "fedcba98-7654-3210-8edc-ba9876543210"

#define BYTES  "\x01\x23\x45\x67\x89\xab\xcd\xef"                              \
               "\x81\x23\x45\x67\x89\xab\xcd\xef"
#define BYTES2 "\xfe\xdc\xba\x98\x76\x54\x32\x10"                              \
               "\x8e\xdc\xba\x98\x76\x54\x32\x10"


static void test_random(void);
static void test_pool(void);
static int compare(const void *one, const void *two);
static void test_time(void);
static void test_parse(void);
static void test_cookie(void);


static struct {
    ngx_int_t     rc;
    ngx_str_t     line;
    ngx_str_t     uuid;
    const char   *name;
} cookie_tests[] = {

    { NGX_OK, ngx_string("v=" TEXT), ngx_string(BYTES), "the only one" },

    { NGX_OK, ngx_string("a=b; v=" TEXT "; c=d"), ngx_string(BYTES),
      "among others" },

    { NGX_OK, ngx_string("a=b;v=" TEXT ";c=d"), ngx_string(BYTES),
      "without spaces" },

    { NGX_OK, ngx_string(" \t v=" TEXT " \t ;"), ngx_string(BYTES),
      "spaces and tabs around" },

    { NGX_OK, ngx_string("v=" TEXT2 "; v=" TEXT), ngx_string(BYTES2),
      "the first of two" },

    { NGX_OK, ngx_string("v=; v=x; v=" TEXT "; v=y"), ngx_string(BYTES),
      "the first that is a UUID" },

    { NGX_OK, ngx_string("v; v=" TEXT), ngx_string(BYTES),
      "after a name without =" },

    { NGX_OK, ngx_string(";;; ;v=" TEXT ";;"), ngx_string(BYTES),
      "between nothing" },

    { NGX_OK, ngx_string("a=\"; v=" TEXT "; b=\""), ngx_string(BYTES),
      "a quote before does not matter" },

    { NGX_ERROR, ngx_string("a=\"; v=" TEXT "\""), ngx_string(""),
      "a quote after does" },

    { NGX_ERROR, ngx_string("v="), ngx_string(""), "empty" },

    { NGX_ERROR, ngx_string("v=   "), ngx_string(""), "spaces alone" },

    { NGX_ERROR, ngx_string("v=x"), ngx_string(""), "no UUID" },

    { NGX_ERROR, ngx_string("v=\"" TEXT "\""), ngx_string(""), "in quotes" },

    { NGX_ERROR, ngx_string("v= " TEXT), ngx_string(""),
      "a space after the =" },

    { NGX_ERROR, ngx_string("v=" TEXT "x"), ngx_string(""), "too long" },

    { NGX_ERROR, ngx_string("v=" TEXT "\0"), ngx_string(""),
      "a NUL after it" },

    { NGX_ERROR, ngx_string("v=" TEXT ", v=" TEXT), ngx_string(""),
      "a comma does not separate" },

    { NGX_ERROR, ngx_string("v==" TEXT), ngx_string(""), "two =" },

    { NGX_ERROR, ngx_string("v=x; w=" TEXT), ngx_string(""),
      "no UUID, and another cookie" },

    { NGX_DECLINED, ngx_string(""), ngx_string(""), "an empty line" },

    { NGX_DECLINED, ngx_string(" "), ngx_string(""), "a space" },

    { NGX_DECLINED, ngx_string(";"), ngx_string(""), "; alone" },

    { NGX_DECLINED, ngx_string("v"), ngx_string(""), "a name alone" },

    { NGX_DECLINED, ngx_string("v;"), ngx_string(""), "a name and ;" },

    { NGX_DECLINED, ngx_string("V=" TEXT), ngx_string(""), "another case" },

    { NGX_DECLINED, ngx_string("vv=" TEXT), ngx_string(""),
      "a name that ends in it" },

    { NGX_DECLINED, ngx_string("vw=" TEXT), ngx_string(""),
      "a name that begins with it" },

    { NGX_DECLINED, ngx_string("v =" TEXT), ngx_string(""),
      "a space before the =" },

    { NGX_DECLINED, ngx_string("a=v=" TEXT), ngx_string(""),
      "in another's value" },

    { NGX_DECLINED, ngx_string("a=b, v=" TEXT), ngx_string(""),
      "after a comma" },

    { NGX_DECLINED, ngx_string("=" TEXT), ngx_string(""), "no name" }
};


static ngx_http_hype_uuid_pool_t  pool;


int
main(void)
{
    test_random();
    test_pool();
    test_time();
    test_parse();
    test_cookie();

    return tap_done();
}


static void
test_random(void)
{
    u_char      uuid[NGX_HTTP_HYPE_UUID_LEN], ones[NGX_HTTP_HYPE_UUID_LEN];
    u_char      zeros[NGX_HTTP_HYPE_UUID_LEN];
    uint64_t    ms;
    ngx_uint_t  i, n, bad;

    ms = 0x017f22e279b0ULL;

    ngx_memzero(ones, sizeof(ones));
    ngx_memzero(zeros, sizeof(zeros));

    for (n = 0, bad = 0; n < 1000; n++) {
        ngx_http_hype_uuid_time(&pool, uuid, ms);

        bad += ((uuid[6] & 0xf0) != 0x70 || (uuid[8] & 0xc0) != 0x80);

        for (i = 0; i < sizeof(uuid); i++) {
            ones[i] |= uuid[i];
            zeros[i] |= (u_char) ~uuid[i];
        }
    }

    tap_is(bad, 0, "random: version and variant");

    for (i = 6, bad = 0; i < sizeof(uuid); i++) {
        bad += (ones[i] != ((i == 6) ? 0x7f : (i == 8) ? 0xbf : 0xff));
        bad += (zeros[i] != ((i == 6) ? 0x8f : (i == 8) ? 0x7f : 0xff));
    }

    tap_is(bad, 0, "random: all bits but these and the time vary");
}


/* each byte of it goes into one UUID */

static void
test_pool(void)
{
    ngx_uint_t  n, bad;

    static u_char  uuids[5 * NGX_HTTP_HYPE_UUID_POOL][NGX_HTTP_HYPE_UUID_LEN];

    ngx_memzero(&pool, sizeof(pool));

    for (n = 0, bad = 0; n < 5 * NGX_HTTP_HYPE_UUID_POOL; n++) {
        ngx_http_hype_uuid_time(&pool, uuids[n], n);
        bad += (pool.left != NGX_HTTP_HYPE_UUID_POOL - 1
                             - n % NGX_HTTP_HYPE_UUID_POOL);
    }

    tap_is(bad, 0, "pool: it is filled when it is empty");

    qsort(uuids, n, NGX_HTTP_HYPE_UUID_LEN, compare);

    /* two that share the second half had the same bytes from it */

    for (n = 1, bad = 0; n < 5 * NGX_HTTP_HYPE_UUID_POOL; n++) {
        bad += (compare(uuids[n - 1], uuids[n]) == 0);
    }

    tap_is(bad, 0, "pool: no bytes are used twice");

    for (n = 0, bad = 0; n < sizeof(pool.bytes); n++) {
        bad += (((u_char *) pool.bytes)[n] != 0);
    }

    tap_is(bad, 0, "pool: nor are they kept");
}


static int
compare(const void *one, const void *two)
{
    return memcmp((const u_char *) one + 8, (const u_char *) two + 8, 8);
}


static void
test_time(void)
{
    u_char      a[NGX_HTTP_HYPE_UUID_LEN], b[NGX_HTTP_HYPE_UUID_LEN];
    uint64_t    ms;
    ngx_uint_t  bad, n;

    /* the example of RFC 9562, A.6 */

    ngx_http_hype_uuid_time(&pool, a, 0x017f22e279b0ULL);

    tap_is_bytes(a, 6, tap_str("\x01\x7f\x22\xe2\x79\xb0"), "time: its bytes");
    tap_is(a[6] & 0xf0, 0x70, "time: the version");
    tap_is(a[8] & 0xc0, 0x80, "time: the variant");

    ngx_http_hype_uuid_time(&pool, b, 0x017f22e279b0ULL);

    tap_ok(ngx_memcmp(a, b, 6) == 0
           && ngx_memcmp(a + 6, b + 6, sizeof(a) - 6) != 0,
           "time: two of the same millisecond differ");

    for (ms = 0, bad = 0, n = 0; n < 1000; n++) {
        ngx_http_hype_uuid_time(&pool, a, ms);
        ms += 0x47ae147ae1ULL / 7;
        ngx_http_hype_uuid_time(&pool, b, ms);

        bad += (ngx_memcmp(a, b, sizeof(a)) >= 0);
    }

    tap_is(bad, 0, "time: a later one is greater");
}


static void
test_parse(void)
{
    u_char      buf[64], uuid[NGX_HTTP_HYPE_UUID_LEN];
    ngx_int_t   rc;
    ngx_str_t   text;
    ngx_uint_t  i, c, bad, good;

    text = tap_str(TEXT);
    tap_is(ngx_http_hype_uuid_parse(uuid, &text), NGX_OK, "parse");
    tap_is_bytes(uuid, 16, tap_str(BYTES), "parse: the bytes");

    ngx_memset(buf, '!', sizeof(buf));
    tap_is(ngx_http_hype_uuid_format(buf, uuid) - buf, 36, "format: the end");
    tap_is_bytes(buf, 36, tap_str(TEXT), "format: the text");
    tap_is(buf[36], '!', "format: no byte more");

    text = tap_str("01234567-89AB-CDEF-8123-456789ABcdef");
    tap_is(ngx_http_hype_uuid_parse(uuid, &text), NGX_OK, "parse: upper case");
    tap_is_bytes(uuid, 16, tap_str(BYTES), "parse: upper case, the bytes");

    for (i = 0, bad = 0; i <= 40; i++) {
        ngx_memcpy(buf, TEXT "abcd", 40);
        text = tap_bytes(buf, i);
        rc = ngx_http_hype_uuid_parse(uuid, &text);
        bad += (rc != ((i == 36) ? NGX_OK : NGX_ERROR));
    }

    tap_is(bad, 0, "parse: every length");

    text = tap_bytes(buf, 36);

    for (i = 0, bad = 0; i < 36; i++) {
        for (c = 0; c < 256; c++) {
            ngx_memcpy(buf, TEXT, 36);

            good = (buf[i] == '-')
                   ? c == '-'
                   : (c && strchr("0123456789abcdefABCDEF", (int) c) != NULL);

            buf[i] = (u_char) c;
            rc = ngx_http_hype_uuid_parse(uuid, &text);

            bad += (rc != (good ? NGX_OK : NGX_ERROR));

            if (rc == NGX_OK) {
                u_char  out[36];

                ngx_http_hype_uuid_format(out, uuid);
                bad += (out[i] != tolower((int) c));
                out[i] = (u_char) c;
                bad += (ngx_memcmp(out, buf, 36) != 0);
            }
        }
    }

    tap_is(bad, 0, "parse: every byte in every place, and back");

    text = tap_str("{1234567-89ab-cdef-8123-456789abcde}");
    tap_is(ngx_http_hype_uuid_parse(uuid, &text), NGX_ERROR, "parse: braces");

    ngx_memzero(uuid, sizeof(uuid));
    ngx_http_hype_uuid_format(buf, uuid);
    tap_is_bytes(buf, 36, tap_str("00000000-0000-0000-0000-000000000000"),
                 "format: the nil UUID");
}


/* the first one that is a UUID, as the module looks for it */

static ngx_int_t
cookie_find(ngx_str_t *line, ngx_str_t *name, u_char *uuid)
{
    ngx_int_t  rc, found;
    ngx_str_t  rest;

    rest = *line;
    found = NGX_DECLINED;

    while ((rc = ngx_http_hype_cookie_next(&rest, name, uuid)) == NGX_ERROR) {
        found = NGX_ERROR;
    }

    return (rc == NGX_OK) ? rc : found;
}


static void
test_cookie(void)
{
    u_char       uuid[NGX_HTTP_HYPE_UUID_LEN], *copy;
    ngx_int_t    rc;
    ngx_str_t    line, name;
    ngx_uint_t   i;

    name = tap_str("v");

    for (i = 0; i < sizeof(cookie_tests) / sizeof(cookie_tests[0]); i++) {

        /* in memory of its very size, for sanitizers to see a read too far */

        line.len = cookie_tests[i].line.len;
        copy = malloc(line.len ? line.len : 1);
        if (copy == NULL) {
            exit(2);
        }

        ngx_memcpy(copy, cookie_tests[i].line.data, line.len);
        line.data = copy;

        rc = cookie_find(&line, &name, uuid);

        tap_is(rc, cookie_tests[i].rc, cookie_tests[i].name);

        if (rc == NGX_OK) {
            tap_is_bytes(uuid, 16, cookie_tests[i].uuid, "... its bytes");
        }

        free(copy);
    }

    ngx_str_null(&line);
    tap_is(cookie_find(&line, &name, uuid), NGX_DECLINED,
           "a line that is NULL");

    name = tap_str("hype_visitor");
    line = tap_str("hype_visito=" TEXT2 "; hype_visitor=" TEXT);
    tap_is(cookie_find(&line, &name, uuid), NGX_OK,
           "a longer name");
    tap_is_bytes(uuid, 16, tap_str(BYTES), "a longer name, its bytes");
}
