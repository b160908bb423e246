
/*
 * hype_status: a location that shows how the module is doing, to people and
 * to programs.
 */


#ifndef _NGX_HTTP_HYPE_STATUS_H_INCLUDED_
#define _NGX_HTTP_HYPE_STATUS_H_INCLUDED_


#include "ngx_http_hype.h"


/* The location's content handler. */

ngx_int_t ngx_http_hype_status_handler(ngx_http_request_t *r);


#endif /* _NGX_HTTP_HYPE_STATUS_H_INCLUDED_ */
