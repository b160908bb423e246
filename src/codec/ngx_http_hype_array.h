
/*
 * One-dimensional arrays in PostgreSQL's binary format (array_recv() in its
 * src/backend/utils/adt/arrayfuncs.c): this header, then each element as 4
 * bytes of length, -1 for NULL, and its bytes.
 */


#ifndef _NGX_HTTP_HYPE_ARRAY_H_INCLUDED_
#define _NGX_HTTP_HYPE_ARRAY_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


#define NGX_HTTP_HYPE_ARRAY_HEADER       20

/* types of arrays, from PostgreSQL's src/include/catalog/pg_type.dat */

#define NGX_HTTP_HYPE_ARRAY_BOOL         1000
#define NGX_HTTP_HYPE_ARRAY_SMALLINT     1005
#define NGX_HTTP_HYPE_ARRAY_TEXT         1009
#define NGX_HTTP_HYPE_ARRAY_BIGINT       1016
#define NGX_HTTP_HYPE_ARRAY_INET         1041
#define NGX_HTTP_HYPE_ARRAY_TIMESTAMPTZ  1185
#define NGX_HTTP_HYPE_ARRAY_UUID         2951


/*
 * Writes the header of an array of that type with "n" elements, at least one;
 * returns its end.
 */

u_char *ngx_http_hype_array_header(u_char *p, ngx_uint_t type, ngx_uint_t n);


#endif /* _NGX_HTTP_HYPE_ARRAY_H_INCLUDED_ */
