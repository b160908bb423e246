
/*
 * hype_status: a location that shows how the module is doing, to people and
 * to programs.
 */


#ifndef _NGX_HTTP_HYPE_STATUS_H_INCLUDED_
#define _NGX_HTTP_HYPE_STATUS_H_INCLUDED_


#include "ngx_http_hype.h"


/* The location's content handler. */

ngx_int_t ngx_http_hype_status_handler(ngx_http_request_t *r);

/* Sends a text that nobody else may store; returns what a handler does. */

ngx_int_t ngx_http_hype_status_answer(ngx_http_request_t *r,
    ngx_uint_t status, const char *type, ngx_str_t *text);


#endif /* _NGX_HTTP_HYPE_STATUS_H_INCLUDED_ */
