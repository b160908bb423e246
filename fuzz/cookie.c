
/*
 * A visitor's UUID in a Cookie header, against a naive search.  The input: the
 * cookie's name after its length, then the line.
 */


#include "ngx_http_hype_uuid.h"
#include "fuzz.h"


static ngx_int_t naive_find(ngx_str_t *line, ngx_str_t *name, u_char *uuid);
static ngx_uint_t naive_uuid(u_char *p, size_t len, u_char *uuid);


int
LLVMFuzzerTestOneInput(const u_char *data, size_t size)
{
    fuzz_t      in;
    u_char      uuid[NGX_HTTP_HYPE_UUID_LEN], expected[NGX_HTTP_HYPE_UUID_LEN];
    u_char      text[NGX_HTTP_HYPE_UUID_TEXT_LEN];
    ngx_int_t   rc, found;
    ngx_str_t   name, line, rest, back;

    in.pos = (u_char *) data;
    in.last = in.pos + size;

    name = fuzz_string(&in);
    line = fuzz_copy(in.pos, in.last - in.pos);

    rest = line;
    found = NGX_DECLINED;

    while ((rc = ngx_http_hype_cookie_next(&rest, &name, uuid)) == NGX_ERROR) {
        found = NGX_ERROR;
    }

    rc = (rc == NGX_OK) ? rc : found;

    /* a name with spaces or semicolons is no cookie's name */

    if (memchr(name.data, ';', name.len) == NULL
        && memchr(name.data, ' ', name.len) == NULL
        && memchr(name.data, '\t', name.len) == NULL
        && memchr(name.data, '=', name.len) == NULL
        && name.len)
    {
        fuzz_assert(rc == naive_find(&line, &name, expected));
        fuzz_assert(rc != NGX_OK
                    || ngx_memcmp(uuid, expected, sizeof(uuid)) == 0);
    }

    if (rc == NGX_OK) {
        fuzz_assert(ngx_http_hype_uuid_format(text, uuid)
                    == text + sizeof(text));

        back.data = text;
        back.len = sizeof(text);

        fuzz_assert(ngx_http_hype_uuid_parse(expected, &back) == NGX_OK);
        fuzz_assert(ngx_memcmp(uuid, expected, sizeof(uuid)) == 0);
    }

    free(name.data);
    free(line.data);

    return 0;
}


static ngx_int_t
naive_find(ngx_str_t *line, ngx_str_t *name, u_char *uuid)
{
    size_t     start, end, next, eq;
    ngx_int_t  rc;

    rc = NGX_DECLINED;

    for (start = 0; start < line->len; start = next + 1) {

        for (end = start; end < line->len; end++) {
            if (line->data[end] == ';') {
                break;
            }
        }

        next = end;

        while (start < end && strchr(" \t", line->data[start])
               && line->data[start])
        {
            start++;
        }

        while (end > start && strchr(" \t", line->data[end - 1])
               && line->data[end - 1])
        {
            end--;
        }

        for (eq = start; eq < end; eq++) {
            if (line->data[eq] == '=') {
                break;
            }
        }

        if (eq == end
            || !fuzz_same(line->data + start, eq - start,
                          name->data, name->len))
        {
            continue;
        }

        if (naive_uuid(line->data + eq + 1, end - eq - 1, uuid)) {
            return NGX_OK;
        }

        rc = NGX_ERROR;
    }

    return rc;
}


static ngx_uint_t
naive_uuid(u_char *p, size_t len, u_char *uuid)
{
    char       *digit, hex[33];
    size_t      i, n;
    ngx_uint_t  k;

    static char  digits[] = "0123456789abcdef";

    if (len != 36) {
        return 0;
    }

    for (i = 0, n = 0; i < len; i++) {

        if (i == 8 || i == 13 || i == 18 || i == 23) {
            if (p[i] != '-') {
                return 0;
            }

            continue;
        }

        if (p[i] == '\0' || strchr(digits, tolower(p[i])) == NULL) {
            return 0;
        }

        hex[n++] = (char) tolower(p[i]);
    }

    for (k = 0; k < 16; k++) {
        digit = strchr(digits, hex[k * 2]);
        uuid[k] = (u_char) ((digit - digits) * 16);
        digit = strchr(digits, hex[k * 2 + 1]);
        uuid[k] |= (u_char) (digit - digits);
    }

    return 1;
}
