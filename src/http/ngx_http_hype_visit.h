
/*
 * A visit by a referral link, in whichever form the request has it: finds
 * the link, decides what becomes of the visit, records the hit.
 */


#ifndef _NGX_HTTP_HYPE_VISIT_H_INCLUDED_
#define _NGX_HTTP_HYPE_VISIT_H_INCLUDED_


#include "ngx_http_hype.h"


/* The context that an internal redirect has cleared, or NULL: for get_ctx(). */

ngx_http_hype_ctx_t *ngx_http_hype_restore_ctx(ngx_http_request_t *r);

/*
 * The request's context, also after an internal redirect; NULL if it has
 * none.
 */

static ngx_inline ngx_http_hype_ctx_t *
ngx_http_hype_get_ctx(ngx_http_request_t *r)
{
    ngx_http_hype_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_hype_module);

    return (ctx || !(r->internal || r->filter_finalize))
           ? ctx : ngx_http_hype_restore_ctx(r);
}

/* Makes it, in the request's pool; NULL if memory ran out. */

ngx_http_hype_ctx_t *ngx_http_hype_create_ctx(ngx_http_request_t *r);

/*
 * Finds the link of ctx->identifier, which need not be valid, and becomes the
 * one that the link was found by.  Refuses who comes before the visit.
 *
 * NGX_OK: ctx->outcome is unknown, disabled or expired, or it is none: the
 *     link is good, or nothing can be known about it now.
 * NGX_AGAIN: the request is parked; to be called again when the phase's
 *     handler is.
 * NGX_DONE: it came too early, see ngx_http_hype_purpose_refuse().
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

/* Whether a hit was made, which may be in the spool yet.  Returns 1 or 0. */

ngx_uint_t ngx_http_hype_visit_made(ngx_http_hype_ctx_t *ctx);

/*
 * Cuts a column's text, so that a record has an end, whatever
 * large_client_header_buffers allows.
 */

void ngx_http_hype_cut(ngx_str_t *text);

/*
 * A directive's value.  A "map" with regular expressions in it leaves the $1 of
 * the location as it is.  NGX_ERROR if memory ran out.
 */

ngx_int_t ngx_http_hype_value(ngx_http_request_t *r,
    ngx_http_complex_value_t *cv, ngx_str_t *value);

/*
 * ngx_http_test_predicates(), with the same care: NGX_OK if all are empty or
 * "0", else NGX_DECLINED, or NGX_ERROR if memory ran out.
 */

ngx_int_t ngx_http_hype_predicates(ngx_http_request_t *r,
    ngx_array_t *predicates);

/*
 * A value, such as the user, as far as it is known now: the application may not
 * have answered yet, or have answered to another one, if the page comes from a
 * cache.  NGX_ERROR if memory ran out.
 */

ngx_int_t ngx_http_hype_said(ngx_http_request_t *r,
    ngx_http_complex_value_t *cv, ngx_str_t *value);

/*
 * After an internal redirect by an application's answer, as with
 * X-Accel-Redirect: keeps the user whom that answer named, as another
 * application may answer in the end.  NGX_ERROR if memory ran out.
 */

ngx_int_t ngx_http_hype_keep_user(ngx_http_request_t *r,
    ngx_http_hype_loc_conf_t *hlcf);

/*
 * The visitor in the request's cookies of that name, in all header lines.
 *
 * NGX_OK: the first that is a UUID is in "uuid".
 * NGX_ERROR: there are some, but none is a UUID.
 * NGX_DECLINED: there is none.
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

/*
 * Adds a response header.  Name and value are not copied, and have to live as
 * long as the request.  NGX_ERROR if memory ran out.
 */

ngx_int_t ngx_http_hype_add_header(ngx_http_request_t *r, const char *key,
    ngx_str_t *value);


/* Whether the request has any cookies.  Returns 1 or 0. */

static ngx_inline ngx_uint_t
ngx_http_hype_cookies(ngx_http_request_t *r)
{
#if (nginx_version < 1023000)
    return r->headers_in.cookies.nelts != 0;
#else
    return r->headers_in.cookie != NULL;
#endif
}

/*
 * Whether the location has all answers say who the user is, or what the user
 * has done; a user without a cookie has no visitor to be claimed.  Returns 1 or
 * 0.
 */

static ngx_inline ngx_uint_t
ngx_http_hype_answers_all(ngx_http_request_t *r)
{
    ngx_http_hype_loc_conf_t  *hlcf;

    hlcf = ngx_http_get_module_loc_conf(r, ngx_http_hype_module);

    return hlcf->confirm || hlcf->code
           || (hlcf->user && ngx_http_hype_cookies(r));
}

/* The same, or the request may have a context: without a call, as for most. */

static ngx_inline ngx_uint_t
ngx_http_hype_answers(ngx_http_request_t *r)
{
    return ngx_http_get_module_ctx(r, ngx_http_hype_module)
           || r->internal || r->filter_finalize
           || ngx_http_hype_answers_all(r);
}


/*
 * The hit of a visit: whether there is one, and what it has, for the visit.
 */

/*
 * Makes the hit and hands it to the store, unless nothing is to be recorded:
 * ctx->outcome says so then.
 *
 * NGX_OK: nothing is to be waited for, and ctx->wait.status says what became
 * of it.
 * NGX_AGAIN: the request waits for the store.
 * NGX_ERROR: no memory.
 */

ngx_int_t ngx_http_hype_visit_make(ngx_http_request_t *r,
    ngx_http_hype_ctx_t *ctx, ngx_http_hype_loc_conf_t *hlcf);

/*
 * What any hit has of its request: sets the row's time, id, address and so on.
 * "addr" has room for 16 bytes, and has to live as long as the row.  NGX_ERROR
 * if memory ran out.
 */

ngx_int_t ngx_http_hype_visit_row(ngx_http_request_t *r,
    ngx_http_hype_loc_conf_t *hlcf, ngx_http_hype_row_t *row, u_char *addr);

/* When the request came, in milliseconds since the Unix epoch. */

uint64_t ngx_http_hype_visit_time(ngx_http_request_t *r);


/* ngx_http_hype_code.c: identifiers as people type them, and typed codes */

/*
 * The identifier as people type it, where "hype_identifier loose" is on.
 * "folded" may be "identifier".
 *
 * NGX_OK: it is another one, and valid.
 * NGX_DECLINED: "folded" is untouched.
 * NGX_ERROR: no memory.
 */

ngx_int_t ngx_http_hype_visit_fold(ngx_http_request_t *r,
    ngx_str_t *identifier, ngx_str_t *folded);

/*
 * What the link of an identifier is looked up by later: as it is written and,
 * after a space, as people type it, if that is another one; only what is valid.
 * No other names may get into a record.
 *
 * NGX_DECLINED: neither is valid, and "names" is untouched.
 * NGX_ERROR: no memory.
 */

ngx_int_t ngx_http_hype_visit_names(ngx_http_request_t *r,
    ngx_str_t *identifier, ngx_str_t *names);

/*
 * Records a hit for a code that was typed, by the user or, if that is empty, by
 * the visitor; nobody waits for it.  A code that can't be an identifier makes
 * none.  NGX_ERROR if memory ran out.
 */

ngx_int_t ngx_http_hype_visit_code(ngx_http_request_t *r,
    ngx_http_hype_loc_conf_t *hlcf, ngx_str_t *code, ngx_str_t *user,
    u_char *visitor);


/*
 * What a browser says that it asks for a page for: to go there, to have it
 * before anybody may go there, or to have it in another page.
 */

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
 * NGX_OK: the request is none of those; ctx->purpose says what it is.
 */

ngx_int_t ngx_http_hype_purpose_refuse(ngx_http_request_t *r,
    ngx_http_hype_ctx_t *ctx);


/*
 * Where a redirect leads, as far as nginx's configuration tells: one visit
 * must not become a second one, nor go round in circles.
 */

/*
 * The target of a visit by a location with "hype_ref", with the id of the hit
 * if another host is to get it.
 *
 * NGX_OK: it is in "target", escaped.
 * NGX_DECLINED: all that there is leads to a referral link again.
 * NGX_ERROR: no memory.
 */

ngx_int_t ngx_http_hype_ref_target(ngx_http_request_t *r,
    ngx_http_hype_ctx_t *ctx, ngx_http_hype_loc_conf_t *hlcf,
    ngx_str_t *target);

/*
 * Finds the location that answers "target", a URI reference, if it leads to
 * this host or to one of "server_name".  What "rewrite" or an application make
 * of it is not known here.
 *
 * NGX_OK: "target" may be followed.  Arguments by which "hype_ref_param" of
 *     that location would make another hit are taken out, in a copy.
 * NGX_DECLINED: it leads to a location with "hype_ref".  "next" is the
 *     decoded argument of where that link would lead, or empty.
 * NGX_ERROR: no memory.
 */

ngx_int_t ngx_http_hype_target(ngx_http_request_t *r, ngx_str_t *target,
    ngx_str_t *next);

/*
 * Whether "target" leads to another host than the request's, or to an app.
 * Returns 1 or 0.
 */

ngx_uint_t ngx_http_hype_target_foreign(ngx_http_request_t *r,
    ngx_str_t *target);

/*
 * The path of "target", decoded as by nginx.
 *
 * NGX_OK: it is in "path".
 * NGX_DECLINED: it is not on this host, or nginx would refuse it.
 * NGX_ERROR: no memory.
 */

ngx_int_t ngx_http_hype_target_path(ngx_http_request_t *r,
    ngx_str_t *target, ngx_str_t *path);

/*
 * The configuration of the location that answers "target", if it has
 * "hype_ref"; else, or without memory, NULL.
 */

ngx_http_hype_loc_conf_t *ngx_http_hype_target_ref(ngx_http_request_t *r,
    ngx_str_t *target);

/*
 * Keeps the names of all servers, which nginx forgets when it has read its
 * configuration.  NGX_ERROR if memory ran out.
 */

ngx_int_t ngx_http_hype_target_init(ngx_conf_t *cf,
    ngx_http_hype_main_conf_t *hmcf);


#endif /* _NGX_HTTP_HYPE_VISIT_H_INCLUDED_ */
