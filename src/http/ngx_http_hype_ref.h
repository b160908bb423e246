
/*
 * Referral links as locations: /ref/<identifier>/.
 */


#ifndef _NGX_HTTP_HYPE_REF_H_INCLUDED_
#define _NGX_HTTP_HYPE_REF_H_INCLUDED_


#include "ngx_http_hype.h"


/* The phase handler of a location with "hype_ref". */

ngx_int_t ngx_http_hype_ref_handler(ngx_http_request_t *r,
    ngx_http_hype_loc_conf_t *hlcf);


#endif /* _NGX_HTTP_HYPE_REF_H_INCLUDED_ */
