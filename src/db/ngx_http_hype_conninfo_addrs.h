
/*
 * The addresses of a connection string's hosts: looked up in a thread, and
 * given to libpq, which begins with any of them.
 */


#ifndef _NGX_HTTP_HYPE_CONNINFO_ADDRS_H_INCLUDED_
#define _NGX_HTTP_HYPE_CONNINFO_ADDRS_H_INCLUDED_


#include "ngx_http_hype_conninfo.h"


/* the same lists with each address of each name, for one connection */

typedef struct {
    char                            *host;
    char                            *hostaddr;
    char                            *port;
    int                              error;        /* of getaddrinfo() */
    const char                      *failed;       /* the name, or NULL */
} ngx_http_hype_conninfo_addrs_t;


/*
 * Looks the names up and blocks meanwhile: for a thread.  The lists are from
 * malloc(), to be freed by ngx_http_hype_conninfo_free().
 *
 * NGX_OK: there is an address, though "failed" may name a host without one.
 * NGX_ERROR: there is none; "error" is set, or 0 where memory ran out.
 */

ngx_int_t ngx_http_hype_conninfo_resolve(ngx_http_hype_conninfo_t *info,
    ngx_http_hype_conninfo_addrs_t *addrs);

void ngx_http_hype_conninfo_free(ngx_http_hype_conninfo_addrs_t *addrs);

/*
 * PQconnectStartParams() with those addresses, or with none if "addrs" is
 * NULL.  Of several, libpq begins with number "first", counted in a ring.
 * With a "timeout" in seconds for each address it is PQconnectdbParams(), which
 * blocks: for a thread.  NULL if memory ran out.
 */

PGconn *ngx_http_hype_conninfo_connect(ngx_http_hype_conninfo_t *info,
    ngx_http_hype_conninfo_addrs_t *addrs, ngx_uint_t first,
    ngx_uint_t timeout);


#endif /* _NGX_HTTP_HYPE_CONNINFO_ADDRS_H_INCLUDED_ */
