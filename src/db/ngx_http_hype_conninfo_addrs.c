
#include <ngx_config.h>
#include <ngx_core.h>
#include <netdb.h>
#include "ngx_http_hype_conninfo.h"


static ngx_int_t ngx_http_hype_conninfo_add(ngx_http_hype_conninfo_t *info,
    ngx_uint_t n, ngx_http_hype_conninfo_addrs_t *addrs,
    const char *hostaddr);
static ngx_int_t ngx_http_hype_conninfo_append(char **list,
    const char *value);
static char *ngx_http_hype_conninfo_rotate(const char *list, ngx_uint_t n);


ngx_int_t
ngx_http_hype_conninfo_resolve(ngx_http_hype_conninfo_t *info,
    ngx_http_hype_conninfo_addrs_t *addrs)
{
    int               rc;
    char              text[NI_MAXHOST];
    ngx_uint_t        i;
    struct addrinfo   hints, *res, *ai;

    ngx_memzero(addrs, sizeof(ngx_http_hype_conninfo_addrs_t));
    ngx_memzero(&hints, sizeof(struct addrinfo));

    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;

    for (i = 0; i < info->nhosts; i++) {

        if (ngx_http_hype_conninfo_literal(info->hosts[i])) {
            if (ngx_http_hype_conninfo_add(info, i, addrs, "") != NGX_OK) {
                goto failed;
            }

            continue;
        }

        rc = getaddrinfo(info->hosts[i], NULL, &hints, &res);

        if (rc != 0) {
            addrs->error = rc;
            addrs->failed = info->hosts[i];
            continue;
        }

        for (ai = res; ai; ai = ai->ai_next) {

            rc = getnameinfo(ai->ai_addr, ai->ai_addrlen, text, NI_MAXHOST,
                             NULL, 0, NI_NUMERICHOST);

            if (rc == 0
                && ngx_http_hype_conninfo_add(info, i, addrs, text) != NGX_OK)
            {
                freeaddrinfo(res);
                goto failed;
            }
        }

        freeaddrinfo(res);
    }

    return addrs->lists[0] ? NGX_OK : NGX_ERROR;

failed:

    ngx_http_hype_conninfo_free(addrs);
    addrs->error = 0;

    return NGX_ERROR;
}


/* adds an address of host number "n" */

static ngx_int_t
ngx_http_hype_conninfo_add(ngx_http_hype_conninfo_t *info, ngx_uint_t n,
    ngx_http_hype_conninfo_addrs_t *addrs, const char *hostaddr)
{
    ngx_uint_t   i;
    const char  *values[NGX_HTTP_HYPE_CONNINFO_LISTS];

    values[NGX_HTTP_HYPE_CONNINFO_HOST] = info->hosts[n];
    values[NGX_HTTP_HYPE_CONNINFO_HOSTADDR] = hostaddr;
    values[NGX_HTTP_HYPE_CONNINFO_PORT] = info->ports[n];

    for (i = 0; i < NGX_HTTP_HYPE_CONNINFO_LISTS; i++) {
        if (ngx_http_hype_conninfo_append(&addrs->lists[i], values[i])
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_hype_conninfo_append(char **list, const char *value)
{
    char    *p;
    size_t   used, len;

    used = *list ? ngx_strlen(*list) + 1 : 0;
    len = ngx_strlen(value) + 1;

    p = realloc(*list, used + len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    if (used) {
        p[used - 1] = ',';
    }

    ngx_memcpy(p + used, value, len);
    *list = p;

    return NGX_OK;
}


void
ngx_http_hype_conninfo_free(ngx_http_hype_conninfo_addrs_t *addrs)
{
    ngx_uint_t  i;

    for (i = 0; i < NGX_HTTP_HYPE_CONNINFO_LISTS; i++) {
        free(addrs->lists[i]);
        addrs->lists[i] = NULL;
    }
}


PGconn *
ngx_http_hype_conninfo_connect(ngx_http_hype_conninfo_t *info,
    ngx_http_hype_conninfo_addrs_t *addrs, ngx_uint_t first,
    ngx_uint_t timeout)
{
    char         *lists[NGX_HTTP_HYPE_CONNINFO_LISTS];
    u_char        seconds[NGX_INT_T_LEN + 1];
    PGconn       *pg;
    ngx_uint_t    i, n;
    const char   *list, **keywords, **values;

    for (n = NGX_HTTP_HYPE_CONNINFO_LISTS; info->keywords[n]; n++) {
        /* void */
    }

    /* a copy, with room for one more, as threads share the parameters */

    keywords = malloc(2 * (n + 2) * sizeof(char *));
    if (keywords == NULL) {
        return NULL;
    }

    values = keywords + n + 2;

    ngx_memcpy(keywords, info->keywords, n * sizeof(char *));
    ngx_memcpy(values, info->values, n * sizeof(char *));

    if (timeout) {
        ngx_sprintf(seconds, "%ui%Z", timeout);

        keywords[n] = "connect_timeout";
        values[n++] = (char *) seconds;
    }

    keywords[n] = NULL;
    values[n] = NULL;

    pg = NULL;

    for (i = 0; i < NGX_HTTP_HYPE_CONNINFO_LISTS; i++) {
        list = addrs ? addrs->lists[i] : info->values[i];

        lists[i] = list ? ngx_http_hype_conninfo_rotate(list, first) : NULL;
        values[i] = lists[i];

        if (list && lists[i] == NULL) {
            goto done;
        }
    }

    pg = timeout ? PQconnectdbParams(keywords, values, 0)
                 : PQconnectStartParams(keywords, values, 0);

done:

    while (i--) {
        free(lists[i]);
    }

    free(keywords);

    return pg;
}


static char *
ngx_http_hype_conninfo_rotate(const char *list, ngx_uint_t n)
{
    char        *rotated;
    size_t       len;
    const char  *start;

    len = ngx_strlen(list);

    rotated = malloc(len + 1);
    if (rotated == NULL) {
        return NULL;
    }

    n %= ngx_http_hype_conninfo_count(list);

    for (start = list; n; start++) {
        if (*start == ',') {
            n--;
        }
    }

    if (start == list) {
        ngx_memcpy(rotated, list, len + 1);

    } else {
        ngx_sprintf((u_char *) rotated, "%s,%*s%Z", start,
                    (size_t) (start - 1 - list), list);
    }

    return rotated;
}
