
/*
 * Requests that wait for a report: for their clients, the report is there at
 * once or a moment later.
 */


#ifndef _NGX_HTTP_HYPE_AWAIT_H_INCLUDED_
#define _NGX_HTTP_HYPE_AWAIT_H_INCLUDED_


#include "ngx_http_hype.h"


/* Sends what there is, now or later: returns what a content handler returns. */

typedef ngx_int_t (*ngx_http_hype_await_pt)(ngx_http_request_t *r,
    ngx_http_hype_report_wait_t *wait);

/*
 * Gets a report, as ngx_http_hype_report_get() says, and has it sent.  For a
 * content handler, which returns what this returns.
 */

ngx_int_t ngx_http_hype_await(ngx_http_request_t *r,
    ngx_http_hype_report_t *report, ngx_str_t *arguments, uint32_t viewer,
    ngx_msec_t valid, ngx_http_hype_await_pt send);


#endif /* _NGX_HTTP_HYPE_AWAIT_H_INCLUDED_ */
