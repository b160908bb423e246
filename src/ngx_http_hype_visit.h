
/*
 * A visit by a referral link, in whichever form the request has it: finds
 * the link, decides what becomes of the visit, records the hit.
 */


#ifndef _NGX_HTTP_HYPE_VISIT_H_INCLUDED_
#define _NGX_HTTP_HYPE_VISIT_H_INCLUDED_


#include "ngx_http_hype.h"


/*
 * The request's context, also after an internal redirect; NULL if it has
 * none.
 */

ngx_http_hype_ctx_t *ngx_http_hype_get_ctx(ngx_http_request_t *r);

/* Makes it; NULL if memory ran out. */

ngx_http_hype_ctx_t *ngx_http_hype_create_ctx(ngx_http_request_t *r);

/*
 * Finds the link of ctx->identifier, which need not be valid.
 *
 * NGX_OK: ctx->outcome is unknown, disabled or expired, or it is none: the
 *     link is good, or nothing can be known about it now.
 * NGX_AGAIN: the request is parked; to be called again when the phase's
 *     handler is.
 * NGX_ERROR: no memory.
 */

ngx_int_t ngx_http_hype_visit_find(ngx_http_request_t *r,
    ngx_http_hype_ctx_t *ctx);

/*
 * Records the hit, after that, unless nothing is to be recorded.  NGX_OK with
 * the outcome in ctx->outcome, or as above.
 */

ngx_int_t ngx_http_hype_visit_record(ngx_http_request_t *r,
    ngx_http_hype_ctx_t *ctx);

/* Whether a hit was made, which may be in the spool yet. */

ngx_uint_t ngx_http_hype_visit_made(ngx_http_hype_ctx_t *ctx);

/*
 * Cuts a column's text, so that a record has an end, whatever
 * large_client_header_buffers allows.
 */

void ngx_http_hype_cut(ngx_str_t *text);

/*
 * A value as far as it is known now, without what the application said to
 * another one, if the page comes from a cache.  NGX_ERROR if memory ran out.
 */

ngx_int_t ngx_http_hype_said(ngx_http_request_t *r,
    ngx_http_complex_value_t *cv, ngx_str_t *value);

/*
 * The user, as far as it is known now: the application may not have answered
 * yet, or have answered to another one, if the page comes from a cache.
 * NGX_ERROR if memory ran out.
 */

ngx_int_t ngx_http_hype_user(ngx_http_request_t *r,
    ngx_http_hype_loc_conf_t *hlcf, ngx_str_t *user);

/*
 * After an internal redirect by an application's answer, as with
 * X-Accel-Redirect: keeps the user whom that answer named, as another
 * application may answer in the end.  NGX_ERROR if memory ran out.
 */

ngx_int_t ngx_http_hype_keep_user(ngx_http_request_t *r,
    ngx_http_hype_loc_conf_t *hlcf);

/*
 * The visitor in the request's cookie of that name: as
 * ngx_http_hype_cookie_find() says, over all Cookie header lines.
 */

ngx_int_t ngx_http_hype_cookie(ngx_http_request_t *r, ngx_str_t *name,
    u_char *uuid);

/*
 * The same for all visitors in cookies of that name, each once: "uuids" has
 * room for "n" of them, which becomes their number.
 */

ngx_int_t ngx_http_hype_cookie_all(ngx_http_request_t *r, ngx_str_t *name,
    u_char *uuids, ngx_uint_t *n);

/* The same of either name of the cookie: the former one where ours has none. */

ngx_int_t ngx_http_hype_visitor(ngx_http_request_t *r,
    ngx_http_hype_cookie_t *cookie, u_char *uuid);

/*
 * Makes "src" a valid "Location", as ngx_http_hype_uri_escape() says, in a copy
 * if it is none.  "uri" may be "src".  NGX_ERROR if memory ran out.
 */

ngx_int_t ngx_http_hype_escape(ngx_http_request_t *r, ngx_str_t *src,
    ngx_str_t *uri);

/*
 * Answers with a redirect to the location, once it is escaped: sets its header
 * and returns NGX_HTTP_MOVED_TEMPORARILY, for the caller to return.  The
 * header filter adds "no-store".
 */

ngx_int_t ngx_http_hype_redirect(ngx_http_request_t *r,
    ngx_http_hype_ctx_t *ctx, ngx_str_t *location);

/* The answer to a method other than GET and HEAD, for the caller to return. */

ngx_int_t ngx_http_hype_not_allowed(ngx_http_request_t *r);

/* Adds a response header; the value is not copied. */

ngx_int_t ngx_http_hype_add_header(ngx_http_request_t *r, const char *key,
    ngx_str_t *value);


/* Whether the request has any cookies. */

static ngx_inline ngx_uint_t
ngx_http_hype_cookies(ngx_http_request_t *r)
{
#if (nginx_version < 1023000)
    return r->headers_in.cookies.nelts != 0;
#else
    return r->headers_in.cookie != NULL;
#endif
}


#endif /* _NGX_HTTP_HYPE_VISIT_H_INCLUDED_ */
