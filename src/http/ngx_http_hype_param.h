
/*
 * Referral codes on any URL: ?ref=<identifier>.
 */


#ifndef _NGX_HTTP_HYPE_PARAM_H_INCLUDED_
#define _NGX_HTTP_HYPE_PARAM_H_INCLUDED_


#include "ngx_http_hype.h"


/* The phase handler where "hype_ref_param" is on. */

ngx_int_t ngx_http_hype_param_handler(ngx_http_request_t *r,
    ngx_http_hype_loc_conf_t *hlcf);

/* Whether identifiers can be appended to that path.  Returns 1 or 0. */

ngx_uint_t ngx_http_hype_param_to_valid(ngx_str_t *to);


#endif /* _NGX_HTTP_HYPE_PARAM_H_INCLUDED_ */
