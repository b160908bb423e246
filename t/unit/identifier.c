
#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_http_hype_identifier.h"
#include "tap.h"


static void test_identifier(void);
static void test_fold(void);


int
main(void)
{
    test_identifier();
    test_fold();

    return tap_done();
}


static void
test_identifier(void)
{
    u_char      buf[NGX_HTTP_HYPE_IDENTIFIER_MAX + 1];
    ngx_str_t   s;
    ngx_uint_t  c, i, good, bad;

    s = tap_bytes(buf, 0);
    tap_is(ngx_http_hype_identifier_valid(&s), 0, "identifier: empty");

    ngx_memset(buf, 'a', sizeof(buf));

    for (i = 1, bad = 0; i <= NGX_HTTP_HYPE_IDENTIFIER_MAX; i++) {
        s.len = i;
        buf[i] = '!';
        bad += !ngx_http_hype_identifier_valid(&s);
        buf[i] = 'a';
    }

    tap_is(bad, 0, "identifier: 1 to 64 bytes");

    s.len = sizeof(buf);
    tap_is(ngx_http_hype_identifier_valid(&s), 0, "identifier: 65 bytes");

    for (c = 0, bad = 0; c < 256; c++) {

        good = c && strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                           "abcdefghijklmnopqrstuvwxyz"
                           "0123456789_.~-", (int) c) != NULL;

        for (i = 0; i < 3; i++) {
            ngx_memset(buf, 'a', 3);
            buf[i] = (u_char) c;
            s.len = 3;
            bad += (ngx_http_hype_identifier_valid(&s) != good);
        }
    }

    tap_is(bad, 0, "identifier: every byte at the start, inside, at the end");
}


static void
test_fold(void)
{
    u_char      buf[64];
    ngx_str_t   s;
    ngx_uint_t  i, c, bad;

    static struct {
        ngx_str_t  typed;
        ngx_str_t  meant;
    } tests[] = {
        { ngx_string(""), ngx_string("") },
        { ngx_string("abc"), ngx_string("abc") },
        { ngx_string("AbC-_~.Z"), ngx_string("abc-_~.z") },
        { ngx_string(" a b\tc\r\n"), ngx_string("abc") },
        { ngx_string("abc.,;:!?)]}>'\""), ngx_string("abc") },
        { ngx_string("abc) ."), ngx_string("abc") },
        { ngx_string("abc/"), ngx_string("abc") },
        { ngx_string("abc/)."), ngx_string("abc") },
        { ngx_string("abc)/"), ngx_string("abc") },
        { ngx_string("abc//"), ngx_string("abc/") },
        { ngx_string("(abc)"), ngx_string("(abc") },
        { ngx_string("a.b,c"), ngx_string("a.b,c") },
        { ngx_string("..."), ngx_string("") },
        { ngx_string("\xe2\x80\x8b""abc\xe2\x80\x8b"), ngx_string("abc") },
        { ngx_string("a\xc2\xa0""b\xc2\x85""c\xe1\x9a\x80"),
          ngx_string("abc") },
        { ngx_string("a\xe2\x80\x80""b\xe2\x80\x8a""c\xe2\x80\xa8.\xe2\x80\xa9"),
          ngx_string("abc") },
        { ngx_string("a\xe2\x80\xaf""b\xe2\x81\x9f""c\xe3\x80\x80"),
          ngx_string("abc") },
        { ngx_string("a\xe2\x80\x8c"), ngx_string("a\xe2\x80\x8c") },
        { ngx_string("\xc3\x84"), ngx_string("\xc3\x84") },
        { ngx_string("a\xe2\x80"), ngx_string("a\xe2\x80") },
        { ngx_string("a\xc2"), ngx_string("a\xc2") },
        { ngx_string("a\0"), ngx_string("a\0") }
    };

    for (i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
        tap_is_bytes(buf, ngx_http_hype_identifier_fold(buf, &tests[i].typed),
                     tests[i].meant, "fold: as people mean it");

        s = tap_bytes(buf, tests[i].typed.len);
        ngx_memcpy(buf, tests[i].typed.data, s.len);
        tap_is_bytes(buf, ngx_http_hype_identifier_fold(buf, &s),
                     tests[i].meant, "... overwritten");
    }

    for (c = 0, bad = 0; c < 256; c++) {
        buf[0] = 'x';
        buf[1] = (u_char) c;
        s.data = buf;
        s.len = 2;

        bad += ((ngx_http_hype_identifier_fold(buf, &s) == 1)
                != (c && strchr(" \t\n\v\f\r/.,;:!?)]}>'\"", (int) c)
                         != NULL));
    }

    tap_is(bad, 0, "fold: every byte at the end");
}
