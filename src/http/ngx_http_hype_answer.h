
/*
 * What an answer says and does besides: the cookie, who may store it, and,
 * once the application has answered, claims and confirms.
 */


#ifndef _NGX_HTTP_HYPE_ANSWER_H_INCLUDED_
#define _NGX_HTTP_HYPE_ANSWER_H_INCLUDED_


#include "ngx_http_hype.h"


/*
 * For the header filter, on main requests.  "ctx" may be NULL.  NGX_OK, or
 * NGX_ERROR if memory ran out.
 */

ngx_int_t ngx_http_hype_answer(ngx_http_request_t *r,
    ngx_http_hype_ctx_t *ctx, ngx_http_hype_loc_conf_t *hlcf);

/*
 * Whether "value" can be that of a cookie's attribute: RFC 6265, 4.1.1.
 * Returns 1 or 0.
 */

ngx_uint_t ngx_http_hype_answer_attribute(ngx_str_t *value);


#endif /* _NGX_HTTP_HYPE_ANSWER_H_INCLUDED_ */
