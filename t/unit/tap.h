
/* What a unit test prints: the Test Anything Protocol. */


#ifndef _TAP_H_INCLUDED_
#define _TAP_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


#define tap_str(text)  tap_bytes((u_char *) text, sizeof(text) - 1)


static ngx_uint_t  tap_tests;
static ngx_uint_t  tap_failures;


static ngx_inline ngx_str_t
tap_bytes(u_char *data, size_t len)
{
    ngx_str_t  s;

    s.len = len;
    s.data = data;

    return s;
}


/* a file in memory, and how much was written to it when it is closed */

static ngx_inline FILE *
tap_open(u_char *buf, size_t size)
{
    return fmemopen(buf, size, "w");
}


static ngx_inline size_t
tap_close(FILE *file)
{
    long  n;

    n = ftell(file);
    (void) fclose(file);

    return n;
}


static ngx_inline ngx_uint_t
tap_ok(ngx_uint_t good, const char *name)
{
    if (!good) {
        tap_failures++;
        printf("not ");
    }

    printf("ok %lu - %s\n", (unsigned long) ++tap_tests, name);

    return good;
}


static ngx_inline void
tap_diag(const char *what, u_char *data, size_t len)
{
    size_t  i;

    printf("# %s: \"", what);

    for (i = 0; i < len; i++) {
        if (data[i] < 0x20 || data[i] > 0x7e) {
            printf("\\x%02x", data[i]);

        } else {
            printf("%c", data[i]);
        }
    }

    printf("\"\n");
}


static ngx_inline void
tap_is(ngx_int_t got, ngx_int_t expected, const char *name)
{
    if (!tap_ok(got == expected, name)) {
        printf("# got %ld, expected %ld\n", (long) got, (long) expected);
    }
}


static ngx_inline void
tap_is_bytes(u_char *got, size_t len, ngx_str_t expected, const char *name)
{
    ngx_uint_t  good;

    good = (len == expected.len
            && (len == 0 || ngx_memcmp(got, expected.data, len) == 0));

    if (!tap_ok(good, name)) {
        tap_diag("got", got, len);
        tap_diag("expected", expected.data, expected.len);
    }
}


static ngx_inline int
tap_done(void)
{
    printf("1..%lu\n", (unsigned long) tap_tests);

    return tap_failures ? 1 : 0;
}


#endif /* _TAP_H_INCLUDED_ */
