
/*
 * "?report" of hype_status: reads the arguments, waits for the report, and
 * says what to do where there is none.
 */


#ifndef _NGX_HTTP_HYPE_STATUS_REPORT_H_INCLUDED_
#define _NGX_HTTP_HYPE_STATUS_REPORT_H_INCLUDED_


#include "ngx_http_hype.h"


/* Answers, now or later. */

ngx_int_t ngx_http_hype_status_report(ngx_http_request_t *r);


#endif /* _NGX_HTTP_HYPE_STATUS_REPORT_H_INCLUDED_ */
