
/*
 * UUIDs (RFC 9562) as 16 bytes in network order, and the cookie's value,
 * which is one in its text form.
 */


#ifndef _NGX_HTTP_HYPE_UUID_H_INCLUDED_
#define _NGX_HTTP_HYPE_UUID_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


#define NGX_HTTP_HYPE_UUID_LEN       16
#define NGX_HTTP_HYPE_UUID_TEXT_LEN  36


/*
 * Random bytes from the kernel, fetched for some UUIDs at a time: libuuid's
 * own generator makes six system calls for each, a sixth of what a whole
 * redirect costs.  A zeroed pool is an empty one.  Not to be shared by two
 * processes.
 */

#define NGX_HTTP_HYPE_UUID_POOL      16

typedef struct {
    size_t   left;      /* UUIDs */
    u_char   bytes[NGX_HTTP_HYPE_UUID_POOL][NGX_HTTP_HYPE_UUID_LEN];
} ngx_http_hype_uuid_pool_t;


/*
 * A UUID ordered by time (version 7): "ms" is in milliseconds since the
 * Unix epoch, the other 74 bits are random.
 */

void ngx_http_hype_uuid_time(ngx_http_hype_uuid_pool_t *pool, u_char *uuid,
    uint64_t ms);

/*
 * Reads 8-4-4-4-12 hexadecimal digits of either case, nothing around them.
 * NGX_OK, or NGX_ERROR with "uuid" undefined.
 */

ngx_int_t ngx_http_hype_uuid_parse(u_char *uuid, ngx_str_t *text);

/* Writes 36 bytes in lower case, returns the end; no terminating zero. */

u_char *ngx_http_hype_uuid_format(u_char *p, u_char *uuid);

/*
 * Looks for the next cookie called "name" (case-sensitive, RFC 6265, 5.4) in
 * "rest" of a Cookie header line, which becomes what is behind it.
 *
 * NGX_OK: it is a UUID.  NGX_ERROR: it is none, "uuid" is undefined.
 * NGX_DECLINED: there is no further one.
 */

ngx_int_t ngx_http_hype_cookie_next(ngx_str_t *rest, ngx_str_t *name,
    u_char *uuid);


#endif /* _NGX_HTTP_HYPE_UUID_H_INCLUDED_ */
