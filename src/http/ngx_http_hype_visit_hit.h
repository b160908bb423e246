
/*
 * The hit of a visit: whether there is one, and what it has, for the visit.
 */


#ifndef _NGX_HTTP_HYPE_VISIT_HIT_H_INCLUDED_
#define _NGX_HTTP_HYPE_VISIT_HIT_H_INCLUDED_


#include "ngx_http_hype.h"


/*
 * Makes the hit and hands it to the store, unless nothing is to be recorded:
 * ctx->outcome says so then.
 *
 * NGX_OK: nothing is to be waited for, and ctx->wait.status says what became of it.
 * NGX_AGAIN: the request waits for the store.
 * NGX_ERROR: no memory.
 */

ngx_int_t ngx_http_hype_visit_make(ngx_http_request_t *r,
    ngx_http_hype_ctx_t *ctx, ngx_http_hype_loc_conf_t *hlcf);

/* When the request came, in milliseconds since the Unix epoch. */

uint64_t ngx_http_hype_visit_time(ngx_http_request_t *r);


#endif /* _NGX_HTTP_HYPE_VISIT_HIT_H_INCLUDED_ */
