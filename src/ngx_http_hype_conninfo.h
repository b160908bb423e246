
/*
 * A libpq connection string, taken apart once so that host names can be
 * resolved before libpq would do so, blocking ("hostaddr" in section
 * "Parameter Key Words" of libpq's manual).
 */


#ifndef _NGX_HTTP_HYPE_CONNINFO_H_INCLUDED_
#define _NGX_HTTP_HYPE_CONNINFO_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <libpq-fe.h>


typedef struct {
    const char                     **keywords;     /* ending with NULL */
    const char                     **values;
    ngx_uint_t                       nhosts;
    char                           **hosts;
    char                           **ports;        /* NULL: the default */
    unsigned                         resolve:1;    /* a host is a name */

    /* where values[] has the lists, if there are names to resolve */
    ngx_uint_t                       host;
    ngx_uint_t                       hostaddr;
    ngx_uint_t                       port;
} ngx_http_hype_conninfo_t;


/* the same lists with each address of each name, for one connection */

typedef struct {
    char                            *host;
    char                            *hostaddr;
    char                            *port;
    int                              error;        /* of getaddrinfo() */
    const char                      *failed;       /* the name, or NULL */
} ngx_http_hype_conninfo_addrs_t;


/*
 * Parses a connection string or URI.  Returns NGX_CONF_OK, or logs what is
 * wrong, without the password, and returns NGX_CONF_ERROR.
 */

char *ngx_http_hype_conninfo_parse(ngx_conf_t *cf, ngx_str_t *text,
    ngx_http_hype_conninfo_t *info);

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
 */

PGconn *ngx_http_hype_conninfo_connect(ngx_http_hype_conninfo_t *info,
    ngx_http_hype_conninfo_addrs_t *addrs, ngx_uint_t first);


#endif /* _NGX_HTTP_HYPE_CONNINFO_H_INCLUDED_ */
