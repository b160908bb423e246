
/*
 * hype_links: a location that shows users their own links, what became of
 * them, and what the users are owed.
 */


#ifndef _NGX_HTTP_HYPE_OWNER_H_INCLUDED_
#define _NGX_HTTP_HYPE_OWNER_H_INCLUDED_


#include "ngx_http_hype.h"


/* The location's content handler. */

ngx_int_t ngx_http_hype_owner_handler(ngx_http_request_t *r);


/* ngx_http_hype_owner_base.c */

/*
 * What the URLs of links begin with, as a redirect to them would: with scheme
 * and host unless "absolute_redirect" is off, then the path of "to=".
 * NGX_ERROR if memory ran out.
 */

ngx_int_t ngx_http_hype_owner_base(ngx_http_request_t *r,
    ngx_http_hype_loc_conf_t *hlcf, ngx_str_t *base);


#endif /* _NGX_HTTP_HYPE_OWNER_H_INCLUDED_ */
