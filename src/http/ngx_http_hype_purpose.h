
/*
 * What a browser says that it asks for a page for: to go there, to have it
 * before anybody may go there, or to have it in another page.
 */


#ifndef _NGX_HTTP_HYPE_PURPOSE_H_INCLUDED_
#define _NGX_HTTP_HYPE_PURPOSE_H_INCLUDED_


#include "ngx_http_hype.h"


/* a prefetch, after which the browser asks again when the link is followed */
#define NGX_HTTP_HYPE_PREFETCH     0x01

/* a prefetch that may be shown later without another request */
#define NGX_HTTP_HYPE_SPECULATIVE  0x02

/* no navigation: an image, a frame, a script's fetch() */
#define NGX_HTTP_HYPE_EMBEDDED     0x04

/* TLS early data, which anybody may replay (RFC 8470) */
#define NGX_HTTP_HYPE_EARLY        0x08


/* A bit mask of the above; 0 for an ordinary visit. */

ngx_uint_t ngx_http_hype_purpose(ngx_http_request_t *r);

/*
 * Answers a request that comes too early with 503 or 425, so that the browser
 * asks again when the link is followed, or when TLS is established.  No
 * "error_page" applies, as it might turn the answer into a page to be shown.
 *
 * NGX_DONE: it is answered; for the phase's handler to return.
 * NGX_DECLINED: the request is none of those; ctx->purpose says what it is.
 */

ngx_int_t ngx_http_hype_purpose_refuse(ngx_http_request_t *r,
    ngx_http_hype_ctx_t *ctx);


#endif /* _NGX_HTTP_HYPE_PURPOSE_H_INCLUDED_ */
