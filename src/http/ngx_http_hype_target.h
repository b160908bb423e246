
/*
 * The target of a redirect, taken apart as browsers do, for the two files that
 * find the location that answers it: see ngx_http_hype_visit.h for the others.
 */


#ifndef _NGX_HTTP_HYPE_TARGET_H_INCLUDED_
#define _NGX_HTTP_HYPE_TARGET_H_INCLUDED_


#include "ngx_http_hype_visit.h"


typedef struct {
    ngx_str_t   host;    /* empty: that of the request */
    ngx_str_t   path;    /* with the query; empty: the request's own URL */
    ngx_str_t   query;   /* of the target, in its memory */
} ngx_http_hype_target_t;


/* ngx_http_hype_target_location.c: what nginx's configuration says of it */

/*
 * Finds the location that answers a target with a path.  "hlcf" becomes its
 * configuration, or NULL if there is none, or the host is another's.
 *
 * NGX_DECLINED: nginx would refuse such a path.
 * NGX_ERROR: no memory.
 */

ngx_int_t ngx_http_hype_target_conf(ngx_http_request_t *r,
    ngx_http_hype_target_t *t, ngx_http_hype_loc_conf_t **hlcf);

/* Decodes a path as nginx does.  Returns as the former. */

ngx_int_t ngx_http_hype_target_uri(ngx_http_request_t *r,
    ngx_http_core_srv_conf_t *cscf, ngx_str_t *path, ngx_str_t *uri);

/* Whether "host" is the one that the request names.  Returns 1 or 0. */

ngx_uint_t ngx_http_hype_target_own(ngx_http_request_t *r, ngx_str_t *host);


#endif /* _NGX_HTTP_HYPE_TARGET_H_INCLUDED_ */
