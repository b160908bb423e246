
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


/* the parameters that are lists, with an item for each host, come first */

enum {
    NGX_HTTP_HYPE_CONNINFO_HOST = 0,
    NGX_HTTP_HYPE_CONNINFO_HOSTADDR,
    NGX_HTTP_HYPE_CONNINFO_PORT,
    NGX_HTTP_HYPE_CONNINFO_LISTS
};


typedef struct {
    const char                     **keywords;     /* ending with NULL */
    const char                     **values;
    ngx_uint_t                       nhosts;
    char                           **hosts;
    char                           **ports;        /* empty: the default */
    unsigned                         resolve:1;    /* a host is a name */
    unsigned                         blocking:1;   /* to connect may block */
} ngx_http_hype_conninfo_t;


/*
 * Parses a connection string or URI.  Returns NGX_CONF_OK, or logs what is
 * wrong, without the password, and returns NGX_CONF_ERROR.
 */

char *ngx_http_hype_conninfo_parse(ngx_conf_t *cf, ngx_str_t *text,
    ngx_http_hype_conninfo_t *info);

/*
 * Whether a host is an address, a socket's directory or empty, and so no name
 * to be looked up.  Returns 1 or 0.
 */

ngx_uint_t ngx_http_hype_conninfo_literal(const char *host);

/* The number of items of a list with commas; 0 for NULL, 1 for "". */

ngx_uint_t ngx_http_hype_conninfo_count(const char *list);

/* The "n" items of such a list, in the pool.  NULL if memory ran out. */

char **ngx_http_hype_conninfo_split(ngx_pool_t *pool, const char *list,
    ngx_uint_t *n);


/* ngx_http_hype_conninfo_check.c */

typedef struct {
    const char                      *keyword;
    const char                      *value;
} ngx_http_hype_conninfo_pair_t;


/*
 * Checks a value: PQconninfoParse() checks names, but libpq checks values only
 * when it connects.  "uri" says that the conninfo is one.  NGX_ERROR: it has
 * logged what is wrong, without what may be a password.
 */

ngx_int_t ngx_http_hype_conninfo_check(ngx_conf_t *cf, const char *keyword,
    const char *value, ngx_uint_t uri);


/*
 * ngx_http_hype_conninfo_addrs.c: the addresses of a connection string's hosts:
 * looked up in a thread, and given to libpq, which begins with any of them.
 */

/* the same lists with each address of each name, for one connection */

typedef struct {
    char                            *lists[NGX_HTTP_HYPE_CONNINFO_LISTS];
    int                              error;        /* of getaddrinfo() */
    const char                      *failed;       /* the name, or NULL */
} ngx_http_hype_conninfo_addrs_t;


/*
 * Looks the names up and blocks meanwhile: for a thread.  The lists are from
 * malloc().
 *
 * NGX_OK: there is an address, though "failed" may name a host without one.
 * NGX_ERROR: there is none; "error" is set, or 0 where memory ran out.
 */

ngx_int_t ngx_http_hype_conninfo_resolve(ngx_http_hype_conninfo_t *info,
    ngx_http_hype_conninfo_addrs_t *addrs);

/* Frees the lists, and sets them to NULL. */

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


#endif /* _NGX_HTTP_HYPE_CONNINFO_H_INCLUDED_ */
