
/*
 * What reads the spool, for the look at whether there is something to read.
 */


#ifndef _NGX_HTTP_HYPE_SPOOL_READ_H_INCLUDED_
#define _NGX_HTTP_HYPE_SPOOL_READ_H_INCLUDED_


#include "ngx_http_hype_spool.h"


/* The first file that has something to read, and can be read; or NULL. */

ngx_http_hype_segment_t *ngx_http_hype_spool_oldest(
    ngx_http_hype_spool_t *spool);


#endif /* _NGX_HTTP_HYPE_SPOOL_READ_H_INCLUDED_ */
