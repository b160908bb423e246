
/*
 * A column of a row, on its way: 4 bytes length and the value in PostgreSQL's
 * binary format, as in a tuple of a binary COPY or an element of an array; a
 * NULL is the length -1 alone.  Numbers are in network byte order.
 */


#ifndef _NGX_HTTP_HYPE_COLUMN_H_INCLUDED_
#define _NGX_HTTP_HYPE_COLUMN_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* what the binary format of inet has before the address, */

#define NGX_HTTP_HYPE_INET_LEN  4

/* and the first byte of that: PGSQL_AF_INET... of PostgreSQL's utils/inet.h */

#define NGX_HTTP_HYPE_AF_INET    2
#define NGX_HTTP_HYPE_AF_INET6   3

/* seconds from the Unix epoch to PostgreSQL's, 2000-01-01 */

#define NGX_HTTP_HYPE_EPOCH      946684800

/* the length of a NULL */

#define NGX_HTTP_HYPE_NULL       0xffffffff


typedef enum {
    NGX_HTTP_HYPE_COLUMN_UUID = 0,
    NGX_HTTP_HYPE_COLUMN_BIGINT,
    NGX_HTTP_HYPE_COLUMN_TIME,     /* timestamptz, years 1970 to 9999 */
    NGX_HTTP_HYPE_COLUMN_BOOLEAN,
    NGX_HTTP_HYPE_COLUMN_INET,     /* one address, no network */
    NGX_HTTP_HYPE_COLUMN_TEXT      /* well-formed UTF-8 without NUL */
} ngx_http_hype_column_e;


typedef struct {
    ngx_http_hype_column_e    type;
    ngx_uint_t                nullable;
} ngx_http_hype_column_t;


/* Write or read a number in network byte order; "put" returns its end. */

static ngx_inline u_char *
ngx_http_hype_put32(u_char *p, uint32_t n)
{
    p[0] = (u_char) (n >> 24);
    p[1] = (u_char) (n >> 16);
    p[2] = (u_char) (n >> 8);
    p[3] = (u_char) n;

    return p + 4;
}


static ngx_inline uint32_t
ngx_http_hype_get32(u_char *p)
{
    return (uint32_t) p[0] << 24 | (uint32_t) p[1] << 16
           | (uint32_t) p[2] << 8 | p[3];
}


static ngx_inline u_char *
ngx_http_hype_put64(u_char *p, uint64_t n)
{
    p = ngx_http_hype_put32(p, (uint32_t) (n >> 32));

    return ngx_http_hype_put32(p, (uint32_t) n);
}


static ngx_inline uint64_t
ngx_http_hype_get64(u_char *p)
{
    return (uint64_t) ngx_http_hype_get32(p) << 32
           | ngx_http_hype_get32(p + 4);
}


/*
 * The number of bytes that "src" has once it is text that PostgreSQL takes
 * in a UTF-8 database: each byte that is no part of well-formed UTF-8
 * (Unicode, table 3-7), and each NUL, becomes U+FFFD.
 */

size_t ngx_http_hype_utf8_length(ngx_str_t *src);

/* Cuts "src" behind a character, so that this number is at most "max". */

void ngx_http_hype_utf8_cut(ngx_str_t *src, size_t max);

/* Writes that text to "p", which has room for these bytes; returns its end. */

u_char *ngx_http_hype_utf8_copy(u_char *p, ngx_str_t *src);

/* The character at "pos" in such a text; "pos" is moved behind it. */

uint32_t ngx_http_hype_utf8_decode(u_char **pos);

/*
 * These write a column to "p" and return its end: "len" bytes as they are, or
 * an address of 4 or 16 bytes (a NULL if there are none); a text made
 * acceptable (NULL if it is empty); a time in milliseconds since the Unix
 * epoch, up to the year 9999.
 */

u_char *ngx_http_hype_column_bytes(u_char *p, u_char *data, size_t len);
u_char *ngx_http_hype_column_inet(u_char *p, u_char *ip, size_t len);
u_char *ngx_http_hype_column_text(u_char *p, ngx_str_t *text);
u_char *ngx_http_hype_column_time(u_char *p, uint64_t ms);

/* The size of a text's column in bytes. */

size_t ngx_http_hype_column_text_length(ngx_str_t *text);

/*
 * The end of the well-formed column of this format that "p" begins with, or
 * NULL if there is none before "last".  For bytes that come from a file.
 */

u_char *ngx_http_hype_column_check(u_char *p, u_char *last,
    ngx_http_hype_column_t *format);

/* The size of the well-formed column "p" in bytes. */

size_t ngx_http_hype_column_length(u_char *p);


/*
 * One-dimensional arrays in PostgreSQL's binary format (array_recv() in its
 * src/backend/utils/adt/arrayfuncs.c): this header, then each element, which
 * has the form of a column.
 */

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


#endif /* _NGX_HTTP_HYPE_COLUMN_H_INCLUDED_ */
