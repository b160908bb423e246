
#include <ngx_config.h>
#include <ngx_core.h>
#include <netdb.h>
#include "ngx_http_hype_conninfo.h"


static ngx_int_t ngx_http_hype_conninfo_add(
    ngx_http_hype_conninfo_addrs_t *addrs, const char *host,
    const char *hostaddr, const char *port);
static ngx_int_t ngx_http_hype_conninfo_append(char **list,
    const char *value, ngx_uint_t first);
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
            if (ngx_http_hype_conninfo_add(addrs, info->hosts[i], "",
                                           info->ports[i])
                != NGX_OK)
            {
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
                && ngx_http_hype_conninfo_add(addrs, info->hosts[i], text,
                                              info->ports[i])
                   != NGX_OK)
            {
                freeaddrinfo(res);
                goto failed;
            }
        }

        freeaddrinfo(res);
    }

    return addrs->host ? NGX_OK : NGX_ERROR;

failed:

    ngx_http_hype_conninfo_free(addrs);
    addrs->error = 0;

    return NGX_ERROR;
}


static ngx_int_t
ngx_http_hype_conninfo_add(ngx_http_hype_conninfo_addrs_t *addrs,
    const char *host, const char *hostaddr, const char *port)
{
    ngx_uint_t  first;

    first = (addrs->host == NULL);

    if (ngx_http_hype_conninfo_append(&addrs->host, host, first) != NGX_OK
        || ngx_http_hype_conninfo_append(&addrs->hostaddr, hostaddr, first)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_hype_conninfo_append(&addrs->port, port ? port : "",
                                         first);
}


static ngx_int_t
ngx_http_hype_conninfo_append(char **list, const char *value,
    ngx_uint_t first)
{
    char    *p;
    size_t   used, len;

    used = first ? 0 : ngx_strlen(*list);
    len = ngx_strlen(value) + 1;

    p = realloc(*list, used + 1 + len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    *list = p;
    p += used;

    if (!first) {
        *p++ = ',';
    }

    ngx_memcpy(p, value, len);

    return NGX_OK;
}


void
ngx_http_hype_conninfo_free(ngx_http_hype_conninfo_addrs_t *addrs)
{
    free(addrs->host);
    free(addrs->hostaddr);
    free(addrs->port);

    addrs->host = NULL;
    addrs->hostaddr = NULL;
    addrs->port = NULL;
}


PGconn *
ngx_http_hype_conninfo_connect(ngx_http_hype_conninfo_t *info,
    ngx_http_hype_conninfo_addrs_t *addrs, ngx_uint_t first,
    ngx_uint_t timeout)
{
    char         *lists[3];
    u_char        seconds[NGX_INT_T_LEN + 1];
    PGconn       *pg;
    ngx_uint_t    i, n;
    const char  **keywords, **values;

    /* the first three are always there */

    for (n = 3; info->keywords[n]; n++) { /* void */ }

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

    if (addrs) {
        values[info->host] = addrs->host;
        values[info->hostaddr] = addrs->hostaddr;
        values[info->port] = addrs->port;
    }

    pg = NULL;

    for (i = 0; i < 3; i++) {
        lists[i] = NULL;

        if (values[i] == NULL) {
            continue;
        }

        lists[i] = ngx_http_hype_conninfo_rotate(values[i], first);

        if (lists[i] == NULL) {
            goto done;
        }

        values[i] = lists[i];
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
