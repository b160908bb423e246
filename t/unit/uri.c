
#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_http_hype_next.h"
#include "ngx_http_hype_uri.h"
#include "tap.h"


typedef struct {
    ngx_str_t     args;
    ngx_int_t     rc;
    ngx_str_t     value;
    ngx_str_t     rest;
    const char   *name;
} test_args_t;


typedef struct {
    ngx_uint_t    safe;
    ngx_str_t     next;
} test_next_t;


static void test_args(void);
static void test_args_names(void);
static void test_args_keep(void);
static void test_unescape(void);
static void test_unescape_plus(void);
static void test_uri(void);
static void test_path(void);
static void test_next(void);
static void test_next_bytes(void);
static void test_next_hosts(void);
static void test_next_port(void);


/* the names are "ref" and "r.1" */

static test_args_t  args_tests[] = {

    { ngx_string("ref=abc"), NGX_OK, ngx_string("abc"),
      ngx_string(""), "the only one" },

    { ngx_string("ref=abc&x=1&y=2"), NGX_OK, ngx_string("abc"),
      ngx_string("x=1&y=2"), "the first" },

    { ngx_string("x=1&ref=abc&y=2"), NGX_OK, ngx_string("abc"),
      ngx_string("x=1&y=2"), "in the middle" },

    { ngx_string("x=1&y=2&ref=abc"), NGX_OK, ngx_string("abc"),
      ngx_string("x=1&y=2"), "the last" },

    { ngx_string("ref=a&x=1&ref=b&y=2&ref=c"), NGX_OK, ngx_string("c"),
      ngx_string("x=1&y=2"), "repeated" },

    { ngx_string("ref=a&ref=b"), NGX_OK, ngx_string("b"),
      ngx_string(""), "repeated, with nothing else" },

    { ngx_string("ref=a&ref=b&x"), NGX_OK, ngx_string("b"),
      ngx_string("x"), "repeated, before another" },

    { ngx_string("x&ref=a&ref=b"), NGX_OK, ngx_string("b"),
      ngx_string("x"), "repeated, after another" },

    { ngx_string("r.1=a&x&ref=b"), NGX_OK, ngx_string("b"),
      ngx_string("x"), "of two names, the last one in the query" },

    { ngx_string("ref=b&x&r.1=a"), NGX_OK, ngx_string("a"),
      ngx_string("x"), "of two names in the other order" },

    { ngx_string("x=1&ref="), NGX_OK, ngx_string(""),
      ngx_string("x=1"), "an empty value" },

    { ngx_string("ref=a&ref="), NGX_OK, ngx_string(""),
      ngx_string(""), "an empty value counts as the last one" },

    { ngx_string("ref"), NGX_OK, ngx_string(""),
      ngx_string(""), "without =" },

    { ngx_string("x&ref&y"), NGX_OK, ngx_string(""),
      ngx_string("x&y"), "without =, among others" },

    { ngx_string("ref=a=b=c&x"), NGX_OK, ngx_string("a=b=c"),
      ngx_string("x"), "the name ends at the first =" },

    { ngx_string("ref==&x"), NGX_OK, ngx_string("="),
      ngx_string("x"), "= is a value" },

    { ngx_string("ref=%41%&x=%zz"), NGX_OK, ngx_string("%41%"),
      ngx_string("x=%zz"), "escapes stay as they are" },

    { ngx_string("ref=a?b/c#d;e&x"), NGX_OK, ngx_string("a?b/c#d;e"),
      ngx_string("x"), "any byte but & in a value" },

    { ngx_string("&ref=a"), NGX_OK, ngx_string("a"),
      ngx_string(""), "after an empty argument" },

    { ngx_string("ref=a&"), NGX_OK, ngx_string("a"),
      ngx_string(""), "before an empty argument" },

    { ngx_string("&&ref=a"), NGX_OK, ngx_string("a"),
      ngx_string("&"), "after two empty arguments" },

    { ngx_string("x&&ref=a&&y"), NGX_OK, ngx_string("a"),
      ngx_string("x&&&y"), "between empty arguments" },

    { ngx_string("x&ref=a&"), NGX_OK, ngx_string("a"),
      ngx_string("x&"), "an & at the end stays" },

    { ngx_string("&ref=a&ref=b&"), NGX_OK, ngx_string("b"),
      ngx_string("&"), "repeated between empty arguments" },

    { ngx_string(""), NGX_DECLINED, ngx_string("-"),
      ngx_string(""), "no query" },

    { ngx_string("&"), NGX_DECLINED, ngx_string("-"),
      ngx_string("&"), "& alone" },

    { ngx_string("&&"), NGX_DECLINED, ngx_string("-"),
      ngx_string("&&"), "&& alone" },

    { ngx_string("="), NGX_DECLINED, ngx_string("-"),
      ngx_string("="), "= alone" },

    { ngx_string("=ref"), NGX_DECLINED, ngx_string("-"),
      ngx_string("=ref"), "an empty name" },

    { ngx_string("xref=a&y"), NGX_DECLINED, ngx_string("-"),
      ngx_string("xref=a&y"), "a name that ends in it" },

    { ngx_string("refx=a&y"), NGX_DECLINED, ngx_string("-"),
      ngx_string("refx=a&y"), "a name that begins with it" },

    { ngx_string("xref&refx"), NGX_DECLINED, ngx_string("-"),
      ngx_string("xref&refx"), "such names without =" },

    { ngx_string("re=a"), NGX_DECLINED, ngx_string("-"),
      ngx_string("re=a"), "a part of the name" },

    { ngx_string("REF=a&Ref=b"), NGX_DECLINED, ngx_string("-"),
      ngx_string("REF=a&Ref=b"), "another case" },

    { ngx_string("x=1;ref=a"), NGX_DECLINED, ngx_string("-"),
      ngx_string("x=1;ref=a"), "; does not separate" },

    { ngx_string("x=ref=a"), NGX_DECLINED, ngx_string("-"),
      ngx_string("x=ref=a"), "in another's value" },

    { ngx_string("%72ef=a"), NGX_DECLINED, ngx_string("-"),
      ngx_string("%72ef=a"), "a name that is escaped" },

    { ngx_string(" ref=a&ref =b"), NGX_DECLINED, ngx_string("-"),
      ngx_string(" ref=a&ref =b"), "a space is a part of the name" },

    { ngx_string("rx1=a"), NGX_DECLINED, ngx_string("-"),
      ngx_string("rx1=a"), "a name is no pattern" },

    { ngx_string("x=\0&ref\0=a"), NGX_DECLINED, ngx_string("-"),
      ngx_string("x=\0&ref\0=a"), "a NUL ends nothing" },

    { ngx_string("q=a+b&q=a%20b&q&Q=&&z"), NGX_DECLINED, ngx_string("-"),
      ngx_string("q=a+b&q=a%20b&q&Q=&&z"), "nothing to remove" }
};


/* the hosts are those of test_next() */

static test_next_t  next_tests[] = {

    { 1, ngx_string("/") },
    { 1, ngx_string("/a") },
    { 1, ngx_string("/a/b?x=//y&z=%2F%2Fw#f") },
    { 1, ngx_string("/a//b") },
    { 1, ngx_string("/a/") },
    { 1, ngx_string("/a//") },
    { 1, ngx_string("/a b") },
    { 1, ngx_string("/a ") },
    { 1, ngx_string("/ /evil.example") },
    { 1, ngx_string("/caf\xc3\xa9") },
    { 1, ngx_string("/\xff\xfe") },
    { 1, ngx_string("/caf%C3%A9/%D0%BA%D0%BE%D1%82") },
    { 1, ngx_string("/search?q=\\") },
    { 1, ngx_string("/search?q=%0d%0a%00") },
    { 1, ngx_string("/search#\\/%09") },
    { 1, ngx_string("/?//evil.example") },
    { 1, ngx_string("/?\\evil.example") },
    { 1, ngx_string("/#//evil.example") },
    { 1, ngx_string("/?next=https://evil.example/") },
    { 1, ngx_string("/https://evil.example/") },
    { 1, ngx_string("/web/https://evil.example/") },
    { 1, ngx_string("/a@b:c/") },
    { 1, ngx_string("/@evil.example") },
    { 1, ngx_string("/:80") },
    { 1, ngx_string("/a\\b") },
    { 1, ngx_string("/a\\\\b") },
    { 1, ngx_string("/a%2f%2fb") },
    { 1, ngx_string("/100%") },
    { 1, ngx_string("/100%25") },
    { 1, ngx_string("/100%25%20off") },
    { 1, ngx_string("/100%2") },
    { 1, ngx_string("/%zz/%2") },
    { 1, ngx_string("/.") },
    { 1, ngx_string("/..") },
    { 1, ngx_string("/./") },
    { 1, ngx_string("/../") },
    { 1, ngx_string("/./a") },
    { 1, ngx_string("/../a/../b") },
    { 1, ngx_string("/a/../b//c") },
    { 1, ngx_string("/a/.//b") },
    { 1, ngx_string("/...//b") },
    { 1, ngx_string("/.a//b") },
    { 1, ngx_string("/a.//b") },
    { 1, ngx_string("/..a//b") },
    { 1, ngx_string("/%2e%2e%2e//b") },
    { 1, ngx_string("/%252e%252e/b") },

    { 0, ngx_string("") },
    { 0, ngx_string("a") },
    { 0, ngx_string("a/b") },
    { 0, ngx_string("?a") },
    { 0, ngx_string("#a") },
    { 0, ngx_string(".") },
    { 0, ngx_string("./a") },
    { 0, ngx_string("../a") },
    { 0, ngx_string("%2fa") },
    { 0, ngx_string(" /a") },
    { 0, ngx_string("\t/a") },
    { 0, ngx_string("\xc2\xa0/a") },
    { 0, ngx_string("\xe3\x80\x80//evil.example") },
    { 0, ngx_string("\xef\xbb\xbf/a") },
    { 0, ngx_string("/a\n") },
    { 0, ngx_string("/a\r\nSet-Cookie: x=y") },
    { 0, ngx_string("/a\0") },
    { 0, ngx_string("/a?\t") },
    { 0, ngx_string("/a#\x7f") },

    { 0, ngx_string("//") },
    { 0, ngx_string("//evil.example") },
    { 0, ngx_string("///evil.example") },
    { 0, ngx_string("////evil.example") },
    { 0, ngx_string("/\\") },
    { 0, ngx_string("/\\evil.example") },
    { 0, ngx_string("/\\/evil.example") },
    { 0, ngx_string("\\evil.example") },
    { 0, ngx_string("\\\\evil.example") },
    { 0, ngx_string("\\/evil.example") },
    { 0, ngx_string("/\t/evil.example") },
    { 0, ngx_string("/\n/evil.example") },
    { 0, ngx_string("//?") },

    { 0, ngx_string("/%2fevil.example") },
    { 0, ngx_string("/%2Fevil.example") },
    { 0, ngx_string("/%2f%2fevil.example") },
    { 0, ngx_string("/%5cevil.example") },
    { 0, ngx_string("/%5Cevil.example") },
    { 0, ngx_string("/%252fevil.example") },
    { 0, ngx_string("/%255cevil.example") },
    { 0, ngx_string("/%25252fevil.example") },
    { 0, ngx_string("/%2525252525252fevil.example") },
    { 0, ngx_string("/%25%32%66evil.example") },
    { 0, ngx_string("/%2%66evil.example") },
    { 0, ngx_string("/%%32fevil.example") },
    { 0, ngx_string("/%%32%66evil.example") },
    { 0, ngx_string("/%%3%32%66evil.example") },
    { 0, ngx_string("/%%%%%%%%%%%%%%%%%a") },
    { 0, ngx_string("/%09/evil.example") },
    { 0, ngx_string("/%0a/evil.example") },
    { 0, ngx_string("/%250d/evil.example") },
    { 0, ngx_string("/%%01") },
    { 0, ngx_string("/%%01?a") },
    { 0, ngx_string("/a%00b") },
    { 0, ngx_string("/a%7f") },

    { 0, ngx_string("/.//evil.example") },
    { 0, ngx_string("/./\\evil.example") },
    { 0, ngx_string("/././/evil.example") },
    { 0, ngx_string("/.%2f/evil.example") },
    { 0, ngx_string("/%2e//evil.example") },
    { 0, ngx_string("/%2E%2f%5cevil.example") },
    { 0, ngx_string("/%252e//evil.example") },
    { 0, ngx_string("/..//evil.example") },
    { 0, ngx_string("/a/..//evil.example") },
    { 0, ngx_string("/a/../\\evil.example") },
    { 0, ngx_string("/a\\..\\\\evil.example") },
    { 0, ngx_string("/a/.././/evil.example") },
    { 0, ngx_string("/a/%2e%2e//evil.example") },
    { 0, ngx_string("/%2e%2e//evil.example") },
    { 0, ngx_string("/a/.%2E//evil.example") },
    { 0, ngx_string("/a/%2E./%2fevil.example") },
    { 0, ngx_string("/a/b/../..//evil.example") },
    { 0, ngx_string("/a//../..//evil.example") },
    { 0, ngx_string("/a//..//evil.example") },
    { 0, ngx_string("/a%2fb/..//evil.example") },
    { 0, ngx_string("/a%2f..//evil.example") },
    { 0, ngx_string("/a/..%2f%2fevil.example") },
    { 0, ngx_string("/a/..%252f/evil.example") },

    { 1, ngx_string("http://good.example") },
    { 1, ngx_string("https://good.example") },
    { 1, ngx_string("HTTPS://GOOD.example/") },
    { 1, ngx_string("hTtP://good.eXample/") },
    { 1, ngx_string("https://good.example/a?b=c#d") },
    { 1, ngx_string("https://good.example?b=c") },
    { 1, ngx_string("https://good.example#d") },
    { 1, ngx_string("https://good.example/\\@evil.example") },
    { 1, ngx_string("https://good.example?\\@evil.example") },
    { 1, ngx_string("https://good.example#@evil.example") },
    { 1, ngx_string("https://good.example/@evil.example") },
    { 1, ngx_string("https://good.example/a b\xc3\xa9") },
    { 1, ngx_string("https://good.example:1") },
    { 1, ngx_string("https://good.example:65535/") },
    { 1, ngx_string("https://good.example:00443/") },
    { 1, ngx_string("https://good.example:443?x") },
    { 1, ngx_string("https://127.0.0.1/") },
    { 1, ngx_string("http://[::1]") },
    { 1, ngx_string("http://[::1]:8080/") },
    { 1, ngx_string("http://[2001:DB8::a]:81/") },

    { 0, ngx_string("http:") },
    { 0, ngx_string("http:/") },
    { 0, ngx_string("http://") },
    { 0, ngx_string("https://") },
    { 0, ngx_string("http:///") },
    { 0, ngx_string("http:good.example") },
    { 0, ngx_string("http:/good.example") },
    { 0, ngx_string("http:///good.example") },
    { 0, ngx_string("http:\\\\good.example") },
    { 0, ngx_string("http:/\\good.example") },
    { 0, ngx_string("http:\\/good.example") },
    { 0, ngx_string("http://\\good.example") },
    { 0, ngx_string("http ://good.example") },
    { 0, ngx_string("http: //good.example") },
    { 0, ngx_string(" http://good.example") },
    { 0, ngx_string("ht\ttp://good.example") },
    { 0, ngx_string("http://good.example\t/") },
    { 0, ngx_string("httpx://good.example") },
    { 0, ngx_string("httpss://good.example") },
    { 0, ngx_string("xhttp://good.example") },
    { 0, ngx_string("ftp://good.example/") },
    { 0, ngx_string("javascript:alert(1)") },
    { 0, ngx_string("javascript://good.example/%0aalert(1)") },
    { 0, ngx_string("data:text/html,x") },
    { 0, ngx_string("http://evil.example/") },
    { 0, ngx_string("http://good.example.evil.example/") },
    { 0, ngx_string("http://evilgood.example/") },
    { 0, ngx_string("http://ood.example/") },
    { 0, ngx_string("http://good.exampl") },
    { 0, ngx_string("http://good.examplee") },
    { 0, ngx_string("http://good.example./") },
    { 0, ngx_string("http://.good.example/") },
    { 0, ngx_string("http://good..example/") },
    { 0, ngx_string("http://good%2eexample/") },
    { 0, ngx_string("http://%67ood.example/") },
    { 0, ngx_string("http://good.example%2f.evil.example/") },
    { 0, ngx_string("http://good_.example/") },
    { 0, ngx_string("http://good.example /") },
    { 0, ngx_string("http://good\xe3\x80\x82" "example/") },
    { 0, ngx_string("http://g\xc2\xad" "ood.example/") },
    { 0, ngx_string("http://user@good.example/") },
    { 0, ngx_string("http://user:pass@good.example/") },
    { 0, ngx_string("http://@good.example/") },
    { 0, ngx_string("http://:@good.example/") },
    { 0, ngx_string("http://good.example@evil.example/") },
    { 0, ngx_string("http://good.example:80@evil.example/") },
    { 0, ngx_string("http://good.example:@evil.example/") },
    { 0, ngx_string("http://good.example\\@evil.example/") },
    { 0, ngx_string("http://good.example\\.evil.example/") },
    { 0, ngx_string("http://good.example\\") },
    { 0, ngx_string("http://good.example:80\\@evil.example/") },
    { 0, ngx_string("http://good.example@80/") },
    { 0, ngx_string("http://good.example\\80/") },
    { 0, ngx_string("http://good.example;evil.example/") },
    { 0, ngx_string("http://good.example&.evil.example/") },
    { 0, ngx_string("http://good.example,evil.example/") },
    { 0, ngx_string("http://good.example:/") },
    { 0, ngx_string("http://good.example:") },
    { 0, ngx_string("http://good.example:65536/") },
    { 0, ngx_string("http://good.example:99999/") },
    { 0, ngx_string("http://good.example:000080/") },
    { 0, ngx_string("http://good.example:4294967376/") },
    { 0, ngx_string("http://good.example:8a/") },
    { 0, ngx_string("http://good.example:-80/") },
    { 0, ngx_string("http://good.example:+80/") },
    { 0, ngx_string("http://good.example: 80/") },
    { 0, ngx_string("http://good.example:80:80/") },
    { 0, ngx_string("http://good.example:80 /") },
    { 0, ngx_string("http://[::1") },
    { 0, ngx_string("http://[::1/") },
    { 0, ngx_string("http://[::1]x/") },
    { 0, ngx_string("http://[::1]good.example/") },
    { 0, ngx_string("http://[::2]/") },
    { 0, ngx_string("http://[]/") },
    { 0, ngx_string("http://[::1@evil.example/]") },
    { 0, ngx_string("http://[::1]@evil.example/") },
    { 0, ngx_string("http://evil.example[::1]/") },
    { 0, ngx_string("http://[") },
    { 0, ngx_string("http://[::1%25eth0]/") },
    { 0, ngx_string("http://::1/") },
    { 0, ngx_string("http://0x7f.1/") },
    { 0, ngx_string("http://2130706433/") }
};


int
main(void)
{
    test_args();
    test_args_names();
    test_args_keep();
    test_unescape();
    test_unescape_plus();
    test_uri();
    test_path();
    test_next();
    test_next_bytes();
    test_next_hosts();
    test_next_port();

    return tap_done();
}


static void
test_args(void)
{
    char          name[128];
    size_t        len;
    u_char        buf[64];
    ngx_int_t     rc;
    ngx_str_t     value, args, names[2];
    ngx_uint_t    i;
    test_args_t  *t;

    names[0] = tap_str("ref");
    names[1] = tap_str("r.1");

    for (i = 0; i < sizeof(args_tests) / sizeof(test_args_t); i++) {
        t = &args_tests[i];

        value = tap_str("-");
        rc = ngx_http_hype_args_find(&t->args, names, 2, &value);

        (void) snprintf(name, sizeof(name), "args: %s", t->name);
        tap_is(rc, t->rc, name);

        (void) snprintf(name, sizeof(name), "args: %s, its value", t->name);
        tap_is_bytes(value.data, value.len, t->value, name);

        if (rc == NGX_OK) {
            (void) snprintf(name, sizeof(name), "args: %s, in place", t->name);
            tap_ok(value.data >= t->args.data
                   && value.data + value.len <= t->args.data + t->args.len,
                   name);
        }

        ngx_memset(buf, '!', sizeof(buf));
        len = ngx_http_hype_args_remove(buf, &t->args, names, 2);

        (void) snprintf(name, sizeof(name), "args: %s, the rest", t->name);
        tap_is_bytes(buf, len, t->rest, name);

        (void) snprintf(name, sizeof(name), "args: %s, no byte more", t->name);
        tap_is(buf[t->args.len], '!', name);

        ngx_memcpy(buf, t->args.data, t->args.len);
        args = tap_bytes(buf, t->args.len);
        len = ngx_http_hype_args_remove(buf, &args, names, 2);

        (void) snprintf(name, sizeof(name), "args: %s, overwritten", t->name);
        tap_is_bytes(buf, len, t->rest, name);
    }
}


static void
test_args_names(void)
{
    u_char     buf[64];
    ngx_str_t  args, names[2], value;

    args = tap_str("a=1&b=2");
    tap_is(ngx_http_hype_args_find(&args, NULL, 0, &value), NGX_DECLINED,
           "args: no name finds nothing");
    tap_is(ngx_http_hype_args_remove(buf, &args, NULL, 0), 7,
           "args: no name removes nothing");

    /* one name is a part of the other */

    names[0] = tap_str("ab");
    names[1] = tap_str("a");

    args = tap_str("ab=1&a=2&abc=3");
    tap_is(ngx_http_hype_args_find(&args, names, 2, &value), NGX_OK,
           "args: names that share a beginning");
    tap_is_bytes(value.data, value.len, tap_str("2"),
                 "args: names that share a beginning, the value");
    tap_is_bytes(buf, ngx_http_hype_args_remove(buf, &args, names, 2),
                 tap_str("abc=3"),
                 "args: names that share a beginning, the rest");

    args = tap_str("a");
    tap_is(ngx_http_hype_args_find(&args, names, 2, &value), NGX_OK,
           "args: a byte");
    tap_is(ngx_http_hype_args_remove(buf, &args, names, 2), 0,
           "args: a byte, the rest");

    ngx_str_null(&args);
    tap_is(ngx_http_hype_args_find(&args, names, 2, &value), NGX_DECLINED,
           "args: a query that is NULL");
    tap_is(ngx_http_hype_args_remove(buf, &args, names, 2), 0,
           "args: a query that is NULL, the rest");
}


static void
test_args_keep(void)
{
    size_t      len;
    u_char      buf[64];
    ngx_str_t   names[2];
    ngx_uint_t  i;

    static struct {
        size_t        max;
        ngx_str_t     args;
        ngx_str_t     kept;
        const char   *name;
    } tests[] = {

        { 64, ngx_string(""), ngx_string(""), "keep: none" },
        { 64, ngx_string("x=1&y&&z="), ngx_string(""), "keep: others" },
        { 64, ngx_string("sub=1"), ngx_string("sub=1"), "keep: the only one" },
        { 64, ngx_string("x&sub=1&y&utm=a=b&"), ngx_string("sub=1&utm=a=b"),
          "keep: in their order" },
        { 64, ngx_string("utm&sub=&sub=1&utm=%41"),
          ngx_string("utm&sub=&sub=1&utm=%41"), "keep: all" },
        { 64, ngx_string("&&sub=1&&sub=2&&"), ngx_string("sub=1&sub=2"),
          "keep: without empty arguments" },
        { 64, ngx_string("Sub=1&sub2=1&su=1&subutm=1"), ngx_string(""),
          "keep: the name as it is" },
        { 11, ngx_string("sub=1&sub=2"), ngx_string("sub=1&sub=2"),
          "keep: all of the room" },
        { 10, ngx_string("sub=1&sub=2&utm"), ngx_string("sub=1"),
          "keep: up to the first that does not fit" },
        { 5, ngx_string("sub=1&x=2&sub"), ngx_string("sub=1"),
          "keep: the room of one" },
        { 4, ngx_string("sub=1&sub"), ngx_string(""), "keep: too little room" },
        { 0, ngx_string("sub"), ngx_string(""), "keep: no room" }
    };

    names[0] = tap_str("sub");
    names[1] = tap_str("utm");

    for (i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
        ngx_memset(buf, '!', sizeof(buf));

        len = ngx_http_hype_args_keep(buf, tests[i].max, &tests[i].args, names,
                                      2);

        tap_is_bytes(buf, len, tests[i].kept, tests[i].name);
        tap_is(buf[len], '!', "keep: no byte more");
    }

    ngx_str_null(&names[0]);
    tap_is(ngx_http_hype_args_keep(buf, 64, &names[0], &names[1], 1), 0,
           "keep: a query that is NULL");
}


static void
test_unescape(void)
{
    u_char       src[8], buf[64], *copy;
    char         hex[8];
    size_t       len;
    ngx_str_t    s;
    ngx_uint_t   i, bad;

    static struct {
        ngx_str_t  src;
        ngx_str_t  dst;
    } tests[] = {
        { ngx_string(""), ngx_string("") },
        { ngx_string("abc"), ngx_string("abc") },
        { ngx_string("a+b"), ngx_string("a+b") },
        { ngx_string("%41%62"), ngx_string("Ab") },
        { ngx_string("%2541"), ngx_string("%41") },
        { ngx_string("%25%34%31"), ngx_string("%41") },
        { ngx_string("%"), ngx_string("%") },
        { ngx_string("%4"), ngx_string("%4") },
        { ngx_string("a%4"), ngx_string("a%4") },
        { ngx_string("%%41"), ngx_string("%A") },
        { ngx_string("%4%41"), ngx_string("%4A") },
        { ngx_string("%g1%1g%@1%`1%/1%:1"), ngx_string("%g1%1g%@1%`1%/1%:1") },
        { ngx_string("%00%ff"), ngx_string("\0\xff") },
        { ngx_string("%aF%Af"), ngx_string("\xaf\xaf") },
        { ngx_string("a%20b%"), ngx_string("a b%") }
    };

    for (i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
        copy = malloc(tests[i].src.len + 1);
        if (copy == NULL) {
            exit(2);
        }

        /* for sanitizers to see a read too far */

        s = tap_bytes(copy + 1, tests[i].src.len);
        ngx_memcpy(s.data, tests[i].src.data, s.len);

        len = ngx_http_hype_unescape(buf, &s);
        tap_is_bytes(buf, len, tests[i].dst, (char *) tests[i].src.data);

        len = ngx_http_hype_unescape(s.data, &s);
        tap_is_bytes(s.data, len, tests[i].dst, "... overwritten");

        free(copy);
    }

    for (i = 0, bad = 0; i < 256; i++) {
        (void) snprintf(hex, sizeof(hex), (i & 1) ? "%%%02x" : "%%%02X",
                        (unsigned) i);
        ngx_memcpy(src, hex, 3);
        s = tap_bytes(src, 3);
        len = ngx_http_hype_unescape(buf, &s);
        bad += (len != 1 || buf[0] != i);
    }

    tap_is(bad, 0, "unescape: every byte");
}


static void
test_unescape_plus(void)
{
    u_char       buf[64];
    size_t       len;
    ngx_str_t    s;
    ngx_uint_t   i;

    static struct {
        ngx_str_t  src;
        ngx_str_t  dst;
    } tests[] = {
        { ngx_string(""), ngx_string("") },
        { ngx_string("a+b"), ngx_string("a b") },
        { ngx_string("++"), ngx_string("  ") },
        { ngx_string("%2B"), ngx_string("+") },
        { ngx_string("%2+B%"), ngx_string("%2 B%") },
        { ngx_string("+%41%2b"), ngx_string(" A+") }
    };

    for (i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
        len = ngx_http_hype_unescape_plus(buf, &tests[i].src);
        tap_is_bytes(buf, len, tests[i].dst, (char *) tests[i].src.data);

        s = tap_bytes(buf, tests[i].src.len);
        ngx_memcpy(buf, tests[i].src.data, s.len);

        len = ngx_http_hype_unescape_plus(buf, &s);
        tap_is_bytes(buf, len, tests[i].dst, "... overwritten");
    }
}


static void
test_path(void)
{
    u_char       buf[64];
    ngx_str_t    src;
    ngx_uint_t   i;
    size_t       len;

    /* as new URL(src, "http://host").pathname has it */

    static struct {
        const char  *src;
        const char  *path;
    } tests[] = {
        { "/", "/" },
        { "/a/b", "/a/b" },
        { "/.", "/" },
        { "/..", "/" },
        { "/../..", "/" },
        { "/../x", "/x" },
        { "/a/.", "/a/" },
        { "/a/..", "/" },
        { "/a/./b", "/a/b" },
        { "/a/../b", "/b" },
        { "/a/b/..", "/a/" },
        { "/a//../b", "/a/b" },
        { "/a//..", "/a/" },
        { "//", "//" },
        { "//..", "/" },
        { "/a/%2e/b", "/a/b" },
        { "/a/.%2E/b", "/b" },
        { "/a/%2e%2e", "/" },
        { "/a/%2", "/a/%2" },
        { "/a/...", "/a/..." },
        { "/a/..b/.c", "/a/..b/.c" },
        { "/a/..%2fb", "/a/..%2fb" },
    };

    for (i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
        src = tap_bytes((u_char *) tests[i].src, strlen(tests[i].src));

        len = ngx_http_hype_path_resolve(buf, &src);

        tap_ok(len == strlen(tests[i].path)
               && ngx_memcmp(buf, tests[i].path, len) == 0, tests[i].src);
    }
}


static void
test_uri(void)
{
    size_t       len;
    u_char       buf[64];
    ngx_str_t    src, uri;
    ngx_uint_t   i, c, bad;

    static struct {
        const char  *src;
        const char  *uri;
    } tests[] = {
        { "", "" },
        { "/", "/" },
        { "/a b", "/a%20b" },
        { "/a ", "/a%20" },
        { "/\"<>\\^`{|}", "/%22%3C%3E%5C%5E%60%7B%7C%7D" },
        { "/\xc3\xa4\xff", "/%C3%A4%FF" },
        { "/\t\r\n\x7f", "/%09%0D%0A%7F" },
        { "/%", "/%25" },
        { "/%4", "/%254" },
        { "/%4\xc3", "/%254%C3" },
        { "/%zz%", "/%25zz%25" },
        { "/%%41", "/%25%41" },
        { "/%2f%2F%00", "/%2f%2F%00" },
        { "/a#b#c#", "/a#b%23c%23" },
        { "##", "#%23" },
        { "/-._~:/?#[]@!$&'()*+,;=", "/-._~:/?#[]@!$&'()*+,;=" },
    };

    for (i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
        src = tap_bytes((u_char *) tests[i].src, strlen(tests[i].src));

        len = ngx_http_hype_uri_escape(NULL, &src);

        uri.data = buf;
        uri.len = ngx_http_hype_uri_escape(buf, &src);

        tap_is(len, uri.len, "uri: the length");
        tap_ok(uri.len == strlen(tests[i].uri)
               && ngx_memcmp(buf, tests[i].uri, uri.len) == 0, tests[i].uri);
    }

    for (c = 0, bad = 0; c < 256; c++) {
        buf[0] = (u_char) c;
        src.data = buf;
        src.len = 1;

        bad += (ngx_http_hype_uri_escape(NULL, &src) == 1)
               != (c != 0 && strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                    "abcdefghijklmnopqrstuvwxyz0123456789"
                                    "-._~:/?#[]@!$&'()*+,;=", (int) c));
    }

    tap_is(bad, 0, "uri: every byte");
}


static void
test_next(void)
{
    u_char      *copy;
    ngx_str_t    hosts[5], next;
    ngx_uint_t   i, safe;

    hosts[0] = tap_str("other.example");
    hosts[1] = tap_str("good.example");
    hosts[2] = tap_str("127.0.0.1");
    hosts[3] = tap_str("[::1]");
    hosts[4] = tap_str("[2001:db8::a]:81");

    for (i = 0; i < sizeof(next_tests) / sizeof(test_next_t); i++) {

        /* in memory of its very size, for sanitizers to see a read too far */

        next.len = next_tests[i].next.len;
        copy = malloc(next.len ? next.len : 1);
        if (copy == NULL) {
            exit(2);
        }

        ngx_memcpy(copy, next_tests[i].next.data, next.len);
        next.data = copy;

        safe = ngx_http_hype_next_safe(&next, hosts, 5);

        if (!tap_ok(safe == next_tests[i].safe,
                    next_tests[i].safe ? "next: safe" : "next: not safe"))
        {
            tap_diag("next", next.data, next.len);
        }

        free(copy);
    }
}


static void
test_next_bytes(void)
{
    u_char      buf[32];
    ngx_str_t   next, host;
    ngx_uint_t  c, i, bad, good;

    static ngx_str_t  places[] = {
        ngx_string("/*"),
        ngx_string("/*a"),
        ngx_string("/a*b"),
        ngx_string("/a?*"),
        ngx_string("/a?b*"),
        ngx_string("/a#*b"),
        ngx_string("http://g.example/*")
    };

    host = tap_str("g.example");

    for (c = 0, bad = 0; c < 256; c++) {

        for (i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
            next = tap_bytes(buf, places[i].len);
            ngx_memcpy(buf, places[i].data, next.len);
            *(u_char *) memchr(buf, '*', next.len) = (u_char) c;

            good = (c >= 0x20 && c != 0x7f);

            if (i < 2 && (c == '/' || c == '\\')) {
                good = 0;
            }

            bad += (ngx_http_hype_next_safe(&next, &host, 1) != good);
        }
    }

    tap_is(bad, 0, "next: every byte in a path, a query, a fragment");

    for (c = 0, bad = 0; c < 256; c++) {
        ngx_memcpy(buf, "*a", 2);
        buf[0] = (u_char) c;
        next = tap_bytes(buf, 2);
        bad += (ngx_http_hype_next_safe(&next, &host, 1) != (c == '/'));
    }

    tap_is(bad, 0, "next: every byte at the start");

    for (c = 0, bad = 0; c < 256; c++) {

        next = tap_bytes(buf, sizeof("http://g.example*e.example") - 1);
        ngx_memcpy(buf, "http://g.example*e.example", next.len);
        buf[16] = (u_char) c;

        good = (c == '/' || c == '?' || c == '#');
        bad += (ngx_http_hype_next_safe(&next, &host, 1) != good);

        next.len = 17;
        bad += (ngx_http_hype_next_safe(&next, &host, 1) != good);

        /* no byte stands for one of the host's, but for its other case */

        buf[16] = '/';
        buf[8] = (u_char) c;
        bad += (ngx_http_hype_next_safe(&next, &host, 1) != (c == '.'));

        buf[8] = '.';
        buf[7] = (u_char) c;
        good = (c == 'g' || c == 'G');
        bad += (ngx_http_hype_next_safe(&next, &host, 1) != good);
    }

    tap_is(bad, 0, "next: every byte in and after a host");

    host = tap_str(".g.example");

    for (c = 0, bad = 0; c < 256; c++) {

        next = tap_bytes(buf, sizeof("http://a*b.g.example") - 1);
        ngx_memcpy(buf, "http://a*b.g.example", next.len);
        buf[8] = (u_char) c;

        good = (c < 128 && isalnum((int) c)) || c == '-' || c == '.';
        bad += (ngx_http_hype_next_safe(&next, &host, 1) != good);
    }

    tap_is(bad, 0, "next: every byte in a name below a domain");

    /* an escape of every byte */

    for (c = 0, bad = 0; c < 256; c++) {
        next.data = buf;
        next.len = (size_t) snprintf((char *) buf, sizeof(buf), "/%%%02x/e",
                                     (unsigned) c);

        good = (c >= 0x20 && c != 0x7f && c != '/' && c != '\\');
        bad += (ngx_http_hype_next_safe(&next, &host, 1) != good);

        next.len = (size_t) snprintf((char *) buf, sizeof(buf), "/%%%02x//e",
                                     (unsigned) c);
        good = (good && c != '.');
        bad += (ngx_http_hype_next_safe(&next, &host, 1) != good);
    }

    tap_is(bad, 0, "next: every byte escaped, before / and //");
}


static void
test_next_hosts(void)
{
    ngx_str_t   next;
    ngx_uint_t  i;

    static struct {
        ngx_uint_t   safe;
        const char  *next;
        const char  *host;
    } tests[] = {
        { 1, "http://a", "a" },
        { 1, "https://a", "a" },
        { 1, "http://a.example/", "a.example" },
        { 0, "http://b.a.example/", "a.example" },
        { 0, "http://a.example/", "b.a.example" },
        { 0, "http://a.example/", "" },
        { 0, "http://a.example/", "." },
        { 0, "http://a.example/", ":" },
        { 0, "http://a.example/", ":80" },
        { 0, "http://a.example/", "80" },

        { 1, "http://a.example/", ".a.example" },
        { 1, "http://b.a.example/", ".a.example" },
        { 1, "http://c.b.A.Example/", ".a.example" },
        { 0, "http://ba.example/", ".a.example" },
        { 0, "http://.a.example/", ".a.example" },
        { 0, "http://a.example.b/", ".a.example" },
        { 0, "http://example/", ".a.example" },
        { 0, "http://b/", ".a.example" },
        { 0, "http://a.examplf/", ".a.example" },
        { 0, "http://b..a.example/", ".a.example" },
        { 0, "http://.b.a.example/", ".a.example" },
        { 0, "http://b.a.example./", ".a.example" },
        { 0, "http://b.a.example./", ".a.example." },
        { 0, "http://a.example./", "a.example." },
        { 0, "http://c@b.a.example/", ".a.example" },
        { 0, "http://c:1@b.a.example/", ".a.example" },
        { 0, "http://[b.a.example/", ".a.example" },

        { 1, "http://a.example/", "a.example:80" },
        { 1, "http://a.example:80/", "a.example:80" },
        { 1, "http://a.example:080/", "a.example:80" },
        { 0, "http://a.example:81/", "a.example:80" },
        { 0, "https://a.example/", "a.example:80" },
        { 1, "https://a.example:80/", "a.example:80" },
        { 1, "https://a.example/", "a.example:443" },
        { 1, "https://a.example:443/", "a.example:443" },
        { 1, "http://a.example:443/", "a.example:443" },
        { 0, "http://a.example/", "a.example:443" },
        { 1, "http://a.example:8443/", "a.example:8443" },
        { 0, "http://a.example/", "a.example:8443" },
        { 0, "http://a.example:844/", "a.example:8443" },
        { 0, "http://a.example:84430/", "a.example:8443" },
        { 0, "http://a.example:0/", "a.example:" },
        { 0, "http://a.example/", "a.example:" },
        { 0, "http://a.example/", "a.example:65616" },
        { 0, "http://a.example/", "a.example:x80" },

        { 1, "http://b.a.example:81/", ".a.example:81" },
        { 1, "http://a.example:81/", ".a.example:81" },
        { 0, "http://b.a.example:82/", ".a.example:81" },
        { 0, "http://a.example/", ".a.example:81" },

        { 1, "http://10.0.0.1/", "10.0.0.1" },
        { 1, "http://10.0.0.1:81/", "10.0.0.1" },
        { 0, "http://10.0.0.10/", "10.0.0.1" },
        { 1, "http://a.example1/", "a.example1" },
        { 1, "http://a.example1:1/", "a.example1:1" },

        { 1, "http://[::1]/", "[::1]" },
        { 1, "http://[::1]:81/", "[::1]" },
        { 1, "http://[::1]:81/", "[::1]:81" },
        { 0, "http://[::1]:82/", "[::1]:81" },
        { 0, "http://[::1]/", "[::1]:81" },
        { 0, "http://[::1]/", "::1" },
        { 0, "http://[::1]/", "[::2]" },
        { 1, "http://[FE80::A]/", "[fe80::a]" }
    };

    for (i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
        ngx_str_t  host;

        next = tap_bytes((u_char *) tests[i].next, strlen(tests[i].next));
        host = tap_bytes((u_char *) tests[i].host, strlen(tests[i].host));

        if (!tap_ok(ngx_http_hype_next_safe(&next, &host, 1) == tests[i].safe,
                    tests[i].next))
        {
            tap_diag("listed", host.data, host.len);
        }
    }

    next = tap_str("http://a.example/");
    tap_is(ngx_http_hype_next_safe(&next, NULL, 0), 0,
           "next: no host is listed");

    next = tap_str("/a");
    tap_is(ngx_http_hype_next_safe(&next, NULL, 0), 1,
           "next: a path where no host is listed");
}


static void
test_next_port(void)
{
    char        buf[64], listed[64];
    ngx_str_t   next, host;
    ngx_uint_t  port, bad;

    host.data = (u_char *) listed;
    next.data = (u_char *) buf;

    for (port = 0, bad = 0; port < 70000; port++) {
        next.len = (size_t) snprintf(buf, sizeof(buf), "http://a:%lu/",
                                     (unsigned long) port);
        host.len = (size_t) snprintf(listed, sizeof(listed), "a:%lu",
                                     (unsigned long) port);
        bad += (ngx_http_hype_next_safe(&next, &host, 1) != (port < 65536));
    }

    tap_is(bad, 0, "next: every port");
}
