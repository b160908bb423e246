
/*
 * The test for a "next" that can't leave the site.
 *
 * No function here looks at a request or allocates memory.
 */


#ifndef _NGX_HTTP_HYPE_NEXT_H_INCLUDED_
#define _NGX_HTTP_HYPE_NEXT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/*
 * Whether a browser that follows "next" (already percent-decoded) from a page
 * of this site stays on the site, or goes by http or https to one of "hosts":
 * exact names, or ".example.com" for a domain and all below it, in lower
 * case, with a port ("example.com:8443") if only that one is meant.
 *
 * Stricter than a browser where that costs nothing: an absolute path or an
 * absolute URL only, no control character, nothing whose dot segments or
 * further escapes turn into "//host" (WHATWG URL Standard, 4.4 and 4.5;
 * RFC 3986, 5.2.4).  A value that passes is a valid header value.
 *
 * Returns 1 or 0.
 */

ngx_uint_t ngx_http_hype_next_safe(ngx_str_t *next, ngx_str_t *hosts,
    ngx_uint_t nhosts);


#endif /* _NGX_HTTP_HYPE_NEXT_H_INCLUDED_ */
