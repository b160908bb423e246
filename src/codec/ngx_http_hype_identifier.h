
/*
 * Identifiers of links, as they are and as people type them.
 *
 * No function here looks at a request or allocates memory.
 */


#ifndef _NGX_HTTP_HYPE_IDENTIFIER_H_INCLUDED_
#define _NGX_HTTP_HYPE_IDENTIFIER_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


#define NGX_HTTP_HYPE_IDENTIFIER_MAX  64


/*
 * Whether "identifier" is 1 to 64 bytes of [A-Za-z0-9_.~-].
 * Returns 1 or 0.
 */

ngx_uint_t ngx_http_hype_identifier_valid(ngx_str_t *identifier);

/*
 * Copies "src" to "dst" as people mean what they have typed: in lower case,
 * without white space and U+200B, and without one slash and any of
 * .,;:!?)]}>'" at its end.  "dst" has room for src->len bytes and may be
 * src->data.
 *
 * Returns the number of bytes written.
 */

size_t ngx_http_hype_identifier_fold(u_char *dst, ngx_str_t *src);


#endif /* _NGX_HTTP_HYPE_IDENTIFIER_H_INCLUDED_ */
