
/*
 * What a referral link does with a URL: arguments of the query are found and
 * taken out byte by byte, escapes are decoded and made.
 *
 * No function here looks at a request or allocates memory.
 */


#ifndef _NGX_HTTP_HYPE_URI_H_INCLUDED_
#define _NGX_HTTP_HYPE_URI_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/*
 * Finds the last argument of "args" (a query without "?") whose name is, byte
 * for byte, one of "names".  Arguments are separated by "&" alone; the name
 * ends at the first "=", so that one of "names" has none and is not empty.  An
 * argument without "=" has an empty value.
 *
 * NGX_OK: "value" points into "args", still percent-encoded.
 * NGX_DECLINED: there is none, "value" is untouched.
 */

ngx_int_t ngx_http_hype_args_find(ngx_str_t *args, ngx_str_t *names,
    ngx_uint_t nnames, ngx_str_t *value);

/*
 * Copies "args" to "dst" without the arguments of those names, and without
 * one "&" for each; all other bytes stay as they are, in their order.
 * "dst" has room for args->len bytes and may be args->data.
 *
 * Returns the number of bytes written, args->len if there was none.
 */

size_t ngx_http_hype_args_remove(u_char *dst, ngx_str_t *args,
    ngx_str_t *names, ngx_uint_t nnames);

/*
 * Copies the arguments of those names to "dst", byte for byte, in their order,
 * with "&" between them: those that fit into "max" bytes, up to the first one
 * that does not.  "dst" has room for the lesser of args->len and "max".
 *
 * Returns the number of bytes written.
 */

size_t ngx_http_hype_args_keep(u_char *dst, size_t max, ngx_str_t *args,
    ngx_str_t *names, ngx_uint_t nnames);

/*
 * Decodes percent-escapes once ("+" stays "+"; an invalid escape stays as it
 * is).  "dst" has room for src->len bytes and may be src->data.
 *
 * Returns the number of bytes written.
 */

size_t ngx_http_hype_unescape(u_char *dst, ngx_str_t *src);

/* The same; "+" becomes a blank, as in what a form's GET sends. */

size_t ngx_http_hype_unescape_plus(u_char *dst, ngx_str_t *src);

/* The byte of two hexadecimal digits, or NGX_ERROR if they are none. */

ngx_int_t ngx_http_hype_unhex(u_char *p);

/*
 * Takes dot segments out of a path that begins with "/" and has no query, as a
 * client does before it sends one (WHATWG URL Standard, 4.4): ".." stops at
 * the root, an empty segment is one, and "%2e" is a dot.  "dst" has room for
 * path->len bytes and may be path->data.
 *
 * Returns the number of bytes written.
 */

size_t ngx_http_hype_path_resolve(u_char *dst, ngx_str_t *path);

/*
 * Makes "src" a URI reference (RFC 3986, 4.1): percent-encodes the bytes that
 * may not stand in one, a "%" that begins no escape, and each "#" but the
 * first; all others stay as they are.  "dst" has room for what the same call
 * with NULL returns.
 *
 * Returns the number of bytes written, src->len if nothing had to be encoded.
 */

size_t ngx_http_hype_uri_escape(u_char *dst, ngx_str_t *src);

/*
 * Whether "text" has a control character, which no header's value may have, and
 * which would forge a line of the log.  Returns 1 or 0.
 */

ngx_uint_t ngx_http_hype_has_control(ngx_str_t *text);


#endif /* _NGX_HTTP_HYPE_URI_H_INCLUDED_ */
