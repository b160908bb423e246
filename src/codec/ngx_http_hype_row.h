
/*
 * A hit as a row of hype.referral_hit, in the form it keeps from the request
 * to the table: a tuple of PostgreSQL's binary COPY format ("COPY", File
 * Formats, Binary Format in PostgreSQL's manual).
 *
 * A tuple's columns are those of NGX_HTTP_HYPE_ROW_COLUMNS, in that order.  In
 * a file that an older module has left, it may lack the last two.
 */


#ifndef _NGX_HTTP_HYPE_ROW_H_INCLUDED_
#define _NGX_HTTP_HYPE_ROW_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_http_hype_column.h"


#define NGX_HTTP_HYPE_ROW_COLUMNS                                             \
    "id, referral_link_id, created, authenticated, bot, visitor, user_id, "   \
    "ip, user_agent, http_referer, next, source, args"

/* those of a record of version 1: up to "next" */

#define NGX_HTTP_HYPE_ROW_NCOLUMNS_1  11

typedef enum {
    NGX_HTTP_HYPE_ROW_ID = 0,
    NGX_HTTP_HYPE_ROW_LINK,
    NGX_HTTP_HYPE_ROW_CREATED,
    NGX_HTTP_HYPE_ROW_AUTHENTICATED,
    NGX_HTTP_HYPE_ROW_BOT,
    NGX_HTTP_HYPE_ROW_VISITOR,
    NGX_HTTP_HYPE_ROW_USER,
    NGX_HTTP_HYPE_ROW_IP,
    NGX_HTTP_HYPE_ROW_USER_AGENT,
    NGX_HTTP_HYPE_ROW_REFERER,
    NGX_HTTP_HYPE_ROW_NEXT,
    NGX_HTTP_HYPE_ROW_SOURCE,
    NGX_HTTP_HYPE_ROW_ARGS,
    NGX_HTTP_HYPE_ROW_NCOLUMNS
} ngx_http_hype_row_column_e;


typedef struct {
    u_char         id[16];
    int64_t        link;           /* 0: not known yet, NULL in the tuple */
    uint64_t       created;        /* milliseconds since the Unix epoch,
                                      up to the year 9999 */
    u_char        *visitor;        /* 16 bytes, or NULL */
    u_char        *ip;             /* in network order, or NULL */
    ngx_uint_t     ip_len;         /* 4 or 16 */
    ngx_str_t      user_id;        /* an empty string is a NULL: */
    ngx_str_t      user_agent;
    ngx_str_t      referer;
    ngx_str_t      next;
    ngx_str_t      source;
    ngx_str_t      args;
    unsigned       authenticated:1;
    unsigned       bot:1;
} ngx_http_hype_row_t;


/* the header of a binary COPY, 19 bytes, and its trailer, 2 bytes */

extern ngx_str_t  ngx_http_hype_row_header;
extern ngx_str_t  ngx_http_hype_row_trailer;

/* the columns of a tuple, in their order */

extern ngx_http_hype_column_t  ngx_http_hype_row_format[];


/* The size of the row's tuple in bytes. */

size_t ngx_http_hype_row_length(ngx_http_hype_row_t *row);

/*
 * Writes the tuple to "p", which has room for ngx_http_hype_row_length()
 * bytes; returns its end.  Text is made acceptable on the way.
 */

u_char *ngx_http_hype_row_write(u_char *p, ngx_http_hype_row_t *row);

/*
 * The size of the well-formed tuple that "p" begins with, or 0 if there is
 * none before "last".  For bytes that come from a file.
 */

size_t ngx_http_hype_row_check(u_char *p, u_char *last);

/* The number of columns that a well-formed tuple has. */

ngx_uint_t ngx_http_hype_row_columns(u_char *tuple);

/*
 * The size of a column of a well-formed tuple with its leading length, which
 * is the form of an element in PostgreSQL's binary array format; "column"
 * is set to its start.  A NULL is 4 bytes, its length -1, as is a column that
 * the tuple lacks; that one is not in the tuple.
 */

size_t ngx_http_hype_row_column(u_char *tuple,
    ngx_http_hype_row_column_e n, u_char **column);


#endif /* _NGX_HTTP_HYPE_ROW_H_INCLUDED_ */
