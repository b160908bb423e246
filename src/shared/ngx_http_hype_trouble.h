
/*
 * What fails again and again: how often that is logged, how a message looks in
 * the log, and when to try again.
 */


#ifndef _NGX_HTTP_HYPE_TROUBLE_H_INCLUDED_
#define _NGX_HTTP_HYPE_TROUBLE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>


/* zeroed: nothing has failed; the owner zeroes it when all is well again */

typedef struct {
    ngx_uint_t   errors;      /* since all was well */
    ngx_msec_t   logged;
} ngx_http_hype_trouble_t;


/*
 * Counts an error.  Returns 1 if it is to be logged: the first one, and then
 * one in 10 seconds; else 0.
 */

ngx_uint_t ngx_http_hype_trouble_log(ngx_http_hype_trouble_t *trouble);

/*
 * Copies "len" bytes of a message, but "size" at most, to "dst" as a part of
 * one line: without the line end behind it, and with a space for each control
 * character.  Returns the number of bytes, without a terminating zero.
 */

size_t ngx_http_hype_trouble_line(u_char *dst, size_t size,
    const char *message, size_t len);

/*
 * The next delay, in milliseconds: doubles the last one, from "min" to "max".
 * The other function spreads a delay by a quarter, so that workers do not try
 * at the same time.
 */

ngx_msec_t ngx_http_hype_trouble_back_off(ngx_msec_t last, ngx_msec_t min,
    ngx_msec_t max);
ngx_msec_t ngx_http_hype_trouble_spread(ngx_msec_t delay);


#endif /* _NGX_HTTP_HYPE_TROUBLE_H_INCLUDED_ */
