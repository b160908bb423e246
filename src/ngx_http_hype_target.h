
/*
 * Where a redirect leads, as far as nginx's configuration tells: one visit
 * must not become a second one, nor go round in circles.
 */


#ifndef _NGX_HTTP_HYPE_TARGET_H_INCLUDED_
#define _NGX_HTTP_HYPE_TARGET_H_INCLUDED_


#include "ngx_http_hype.h"


/*
 * Finds the location that answers "target", a URI reference, if it leads to
 * this host or to one of "server_name".  What "rewrite" or an application make
 * of it is not known here.
 *
 * NGX_OK: "target" may be followed.  Arguments by which "hype_ref_param" of
 *     that location would make another hit are taken out, in a copy.
 * NGX_DECLINED: it leads to a location with "hype_ref".  "next" is the
 *     decoded argument of where that link would lead, or empty.
 * NGX_ERROR: no memory.
 */

ngx_int_t ngx_http_hype_target(ngx_http_request_t *r, ngx_str_t *target,
    ngx_str_t *next);

/*
 * The configuration of the location that answers "target", if it has
 * "hype_ref"; else, or without memory, NULL.
 */

ngx_http_hype_loc_conf_t *ngx_http_hype_target_ref(ngx_http_request_t *r,
    ngx_str_t *target);

/*
 * Keeps the names of all servers, which nginx forgets when it has read its
 * configuration.  NGX_ERROR if memory ran out.
 */

ngx_int_t ngx_http_hype_target_init(ngx_conf_t *cf,
    ngx_http_hype_main_conf_t *hmcf);


#endif /* _NGX_HTTP_HYPE_TARGET_H_INCLUDED_ */
