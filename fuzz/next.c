
/*
 * What is called a safe "next" must be safe, however it is looked at.  The
 * input is the value.
 */


#include "ngx_http_hype_next.h"
#include "ngx_http_hype_uri.h"
#include "fuzz.h"


#define NHOSTS  4


static void path_is_safe(ngx_str_t *next);
static void is_local(u_char *path, size_t len);
static size_t remove_dots(u_char *dst, u_char *path, size_t len,
    ngx_uint_t browser);
static ngx_uint_t dots(u_char *p, size_t len, ngx_uint_t escaped);
static void url_is_safe(ngx_str_t *next);


static ngx_str_t  hosts[NHOSTS] = {
    ngx_string("good.example"),
    ngx_string(".wild.example"),
    ngx_string("ported.example:8443"),
    ngx_string("[::1]")
};


int
LLVMFuzzerTestOneInput(const u_char *data, size_t size)
{
    size_t      i;
    ngx_str_t   next, longer;
    ngx_uint_t  safe;

    next = fuzz_copy(data, size);
    safe = ngx_http_hype_next_safe(&next, hosts, NHOSTS);

    if (safe) {
        for (i = 0; i < size; i++) {
            fuzz_assert(next.data[i] >= 0x20 && next.data[i] != 0x7f);
        }

        if (next.data[0] == '/') {
            path_is_safe(&next);

            /* it is of no concern which hosts are listed */

            fuzz_assert(ngx_http_hype_next_safe(&next, NULL, 0));

        } else {
            url_is_safe(&next);
            fuzz_assert(!ngx_http_hype_next_safe(&next, NULL, 0));
        }
    }

    /* what comes in a query does not change it */

    if (memchr(data, '?', size) == NULL && memchr(data, '#', size) == NULL) {
        longer.data = fuzz_alloc(size + 8);
        longer.len = size + 8;
        ngx_memcpy(longer.data, data, size);
        ngx_memcpy(longer.data + size, "?//%2f\\#", 8);

        fuzz_assert(ngx_http_hype_next_safe(&longer, hosts, NHOSTS) == safe);
        free(longer.data);
    }

    free(next.data);

    return 0;
}


/* decodes it until that changes nothing, and looks at it each time */

static void
path_is_safe(ngx_str_t *next)
{
    size_t      i, len;
    ngx_str_t   path;

    path = fuzz_copy(next->data, next->len);

    for (i = 0; i < path.len; i++) {
        if (path.data[i] == '?' || path.data[i] == '#') {
            path.len = i;
        }
    }

    for ( ;; ) {
        is_local(path.data, path.len);

        len = ngx_http_hype_unescape(path.data, &path);
        if (len == path.len) {
            break;
        }

        path.len = len;
    }

    free(path.data);
}


static void
is_local(u_char *path, size_t len)
{
    size_t       n;
    u_char      *dst;
    ngx_uint_t   i;

    dst = fuzz_alloc(len);

    for (i = 0; i < 3; i++) {

        if (i == 2) {
            n = len;
            ngx_memcpy(dst, path, len);

        } else {
            n = remove_dots(dst, path, len, i);
        }

        fuzz_assert(n == 0 || dst[0] == '/');
        fuzz_assert(n < 2 || (dst[1] != '/' && dst[1] != '\\'));
    }

    for (n = 0; n < len; n++) {
        fuzz_assert(path[n] >= 0x20 && path[n] != 0x7f);
    }

    free(dst);
}


/*
 * RFC 3986, 5.2.4; a browser takes "\" for "/" and "%2e" for "." (WHATWG URL
 * Standard, 4.4).
 */

static size_t
remove_dots(u_char *dst, u_char *path, size_t len, ngx_uint_t browser)
{
    size_t      start, end, n;
    ngx_uint_t  ndots, last;

    n = 0;

    for (start = 1; start <= len; start = end + 1) {

        for (end = start; end < len; end++) {
            if (path[end] == '/' || (browser && path[end] == '\\')) {
                break;
            }
        }

        last = (end == len);
        ndots = dots(path + start, end - start, browser);

        if (ndots == 2) {
            while (n && dst[--n] != '/') { /* void */ }
        }

        if (ndots == 0) {
            dst[n++] = '/';
            ngx_memcpy(dst + n, path + start, end - start);
            n += end - start;

        } else if (last) {
            dst[n++] = '/';
        }
    }

    return n;
}


static ngx_uint_t
dots(u_char *p, size_t len, ngx_uint_t escaped)
{
    size_t      i;
    ngx_uint_t  n;

    for (i = 0, n = 0; i < len; n++) {

        if (p[i] == '.') {
            i++;

        } else if (escaped && len - i > 2 && p[i] == '%' && p[i + 1] == '2'
                   && (p[i + 2] == 'e' || p[i + 2] == 'E'))
        {
            i += 3;

        } else {
            return 0;
        }
    }

    return (n > 2) ? 0 : n;
}


/* http or https, a listed host, a port, nothing else */

static void
url_is_safe(ngx_str_t *next)
{
    int           port, n;
    char         *p, *end, *host, scheme[8];
    size_t        len;
    ngx_str_t     text;
    ngx_uint_t    good;

    text.data = fuzz_alloc(next->len + 1);
    ngx_memcpy(text.data, next->data, next->len);
    text.data[next->len] = '\0';
    p = (char *) text.data;

    n = 0;
    fuzz_assert(sscanf(p, "%7[htpsHTPS]://%n", scheme, &n) == 1 && n);
    fuzz_assert(strcasecmp(scheme, "http") == 0
                || strcasecmp(scheme, "https") == 0);

    port = (strlen(scheme) == 4) ? 80 : 443;

    host = p + n;
    end = host + strcspn(host, "/?#");
    *end = '\0';

    if (host[0] == '[') {
        len = strcspn(host, "]") + 1;

    } else {
        len = strspn(host, "abcdefghijklmnopqrstuvwxyz"
                           "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                           "0123456789.-");
        fuzz_assert(len && host[0] != '.' && host[len - 1] != '.');
    }

    if (host[len] != '\0') {
        fuzz_assert(host[len] == ':');
        fuzz_assert(sscanf(host + len, ":%5d%n", &port, &n) == 1);
        fuzz_assert(host[len + n] == '\0' && port >= 0 && port < 65536);
    }

    host[len] = '\0';

    good = strcasecmp(host, "good.example") == 0
           || strcasecmp(host, "wild.example") == 0
           || (len > 13
               && strcasecmp(host + len - 13, ".wild.example") == 0)
           || (strcasecmp(host, "ported.example") == 0 && port == 8443)
           || strcasecmp(host, "[::1]") == 0;

    fuzz_assert(good);

    free(text.data);
}
