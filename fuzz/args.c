
/*
 * Arguments found and taken out, and percent-decoding, against naive ways of
 * doing it.  The input: two names, each with its length, then the query.
 */


#include "ngx_http_hype_uri.h"
#include "fuzz.h"


#define NNAMES  2


static void fuzz_args(ngx_str_t *args, ngx_str_t *names);
static size_t naive(ngx_str_t *args, ngx_str_t *names, u_char *rest,
    ngx_str_t *value);
static void fuzz_unescape(ngx_str_t *src);
static ngx_int_t digit(u_char c);


int
LLVMFuzzerTestOneInput(const u_char *data, size_t size)
{
    fuzz_t      in;
    ngx_str_t   names[NNAMES], args;
    ngx_uint_t  i;

    in.pos = (u_char *) data;
    in.last = in.pos + size;

    for (i = 0; i < NNAMES; i++) {
        names[i] = fuzz_string(&in);

        /* no name is empty, or has a "=" */

        if (names[i].len == 0
            || memchr(names[i].data, '=', names[i].len) != NULL)
        {
            free(names[i].data);
            names[i] = fuzz_copy((u_char *) "ref", 3);
        }
    }

    args = fuzz_copy(in.pos, in.last - in.pos);

    fuzz_args(&args, names);
    fuzz_unescape(&args);

    for (i = 0; i < NNAMES; i++) {
        free(names[i].data);
    }

    free(args.data);

    return 0;
}


static void
fuzz_args(ngx_str_t *args, ngx_str_t *names)
{
    size_t      len, n;
    u_char     *expected, *dst;
    ngx_int_t   rc;
    ngx_str_t   value, expected_value, copy;

    expected = fuzz_alloc(args->len);
    dst = fuzz_alloc(args->len);

    ngx_str_null(&value);
    ngx_str_null(&expected_value);

    n = naive(args, names, expected, &expected_value);

    rc = ngx_http_hype_args_find(args, names, NNAMES, &value);

    fuzz_assert(rc == ((expected_value.data) ? NGX_OK : NGX_DECLINED));
    fuzz_assert(value.data == expected_value.data);
    fuzz_assert(value.len == expected_value.len);

    len = ngx_http_hype_args_remove(dst, args, names, NNAMES);
    fuzz_assert(fuzz_same(dst, len, expected, n));

    /* in place; then there are none left */

    copy = fuzz_copy(args->data, args->len);
    copy.len = ngx_http_hype_args_remove(copy.data, &copy, names, NNAMES);
    fuzz_assert(fuzz_same(copy.data, copy.len, expected, n));

    fuzz_assert(ngx_http_hype_args_find(&copy, names, NNAMES, &value)
                == NGX_DECLINED);
    fuzz_assert(ngx_http_hype_args_remove(dst, &copy, names, NNAMES)
                == copy.len);

    fuzz_assert(ngx_http_hype_args_keep(dst, args->len, &copy, names, NNAMES)
                == 0);

    free(copy.data);

    /* what is kept is what would be taken out, and the last one is found */

    copy = fuzz_copy(args->data, args->len);
    copy.len = ngx_http_hype_args_keep(copy.data, args->len, args, names,
                                       NNAMES);

    fuzz_assert(ngx_http_hype_args_remove(dst, &copy, names, NNAMES) == 0);

    rc = ngx_http_hype_args_find(&copy, names, NNAMES, &value);

    fuzz_assert(rc == ((expected_value.data) ? NGX_OK : NGX_DECLINED));
    fuzz_assert(rc != NGX_OK
                || fuzz_same(value.data, value.len, expected_value.data,
                             expected_value.len));

    for (n = 0; n <= args->len; n++) {
        len = ngx_http_hype_args_keep(dst, n, args, names, NNAMES);
        fuzz_assert(len <= n && ngx_memcmp(dst, copy.data, len) == 0);
    }

    free(copy.data);
    free(dst);
    free(expected);
}


/* splits at each "&", and joins what has another name */

static size_t
naive(ngx_str_t *args, ngx_str_t *names, u_char *rest, ngx_str_t *value)
{
    size_t      start, end, eq, n;
    ngx_uint_t  i, found, joined;

    n = 0;
    joined = 0;

    for (start = 0; start <= args->len; start = end + 1) {

        for (end = start; end < args->len; end++) {
            if (args->data[end] == '&') {
                break;
            }
        }

        for (eq = start; eq < end; eq++) {
            if (args->data[eq] == '=') {
                break;
            }
        }

        found = 0;

        for (i = 0; i < NNAMES; i++) {
            found |= fuzz_same(args->data + start, eq - start,
                               names[i].data, names[i].len);
        }

        if (found) {
            value->data = args->data + ((eq < end) ? eq + 1 : end);
            value->len = args->data + end - value->data;
            continue;
        }

        if (joined++) {
            rest[n++] = '&';
        }

        for (i = start; i < end; i++) {
            rest[n++] = args->data[i];
        }
    }

    return n;
}


static void
fuzz_unescape(ngx_str_t *src)
{
    size_t       i, n, len;
    u_char      *expected, *dst;
    ngx_str_t    copy;

    expected = fuzz_alloc(src->len);
    dst = fuzz_alloc(src->len);

    for (i = 0, n = 0; i < src->len; i++) {

        if (src->data[i] == '%' && i + 2 < src->len
            && isxdigit(src->data[i + 1]) && isxdigit(src->data[i + 2]))
        {
            expected[n++] = (u_char) (digit(src->data[i + 1]) * 16
                                      + digit(src->data[i + 2]));
            i += 2;
            continue;
        }

        expected[n++] = src->data[i];
    }

    len = ngx_http_hype_unescape(dst, src);
    fuzz_assert(fuzz_same(dst, len, expected, n));

    copy = fuzz_copy(src->data, src->len);
    len = ngx_http_hype_unescape(copy.data, &copy);
    fuzz_assert(fuzz_same(copy.data, len, expected, n));

    free(copy.data);
    free(dst);
    free(expected);
}


static ngx_int_t
digit(u_char c)
{
    static char  digits[] = "0123456789abcdef";

    return strchr(digits, tolower(c)) - digits;
}
