
/*
 * A record: what the module has to bring into PostgreSQL, as one run of
 * bytes that is the same in memory and in a spool file.
 *
 *     offset  size
 *      0       4    length of the whole record in bytes
 *      4       4    CRC-32 of all that follows
 *      8       1    version: of a hit 2, or 3 with a node, or 1 without its
 *                   last two columns, as older modules write it; of others 1
 *      9       1    type: hit, claim, confirm or note
 *     10       2    of a hit of version 3 the node, not zero, that it may have
 *                   been written to; else zero
 *     12       ..   hit: 4 bytes length of the identifier, the identifier
 *                        (empty once the link is known; or two with a
 *                        space between, of which the second is that of
 *                        the link if no link has the first), the row's
 *                        tuple
 *                   others: NGX_HTTP_HYPE_RECORD_FIELDS fields of
 *                        the form of a column in a tuple (4 bytes length,
 *                        -1 for NULL, then the bytes): visitor (16 bytes),
 *                        user_id, created (8 bytes, microseconds since
 *                        2000-01-01), event, value
 *
 * A note has a time and a text, as the value, and stands before a record that
 * was set aside.  It is in no file that is read back.
 *
 * All numbers are in network byte order.  A file whose last record is cut
 * short, or does not match its CRC, ends before that record.
 */


#ifndef _NGX_HTTP_HYPE_RECORD_H_INCLUDED_
#define _NGX_HTTP_HYPE_RECORD_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_http_hype_row.h"


#define NGX_HTTP_HYPE_RECORD_VERSION       2
#define NGX_HTTP_HYPE_RECORD_VERSION_NODE  3
#define NGX_HTTP_HYPE_RECORD_HEADER        12
#define NGX_HTTP_HYPE_RECORD_MAX           (1024 * 1024)


typedef enum {
    NGX_HTTP_HYPE_RECORD_HIT = 1,
    NGX_HTTP_HYPE_RECORD_CLAIM,
    NGX_HTTP_HYPE_RECORD_CONFIRM,
    NGX_HTTP_HYPE_RECORD_NOTE
} ngx_http_hype_record_type_e;

typedef enum {
    NGX_HTTP_HYPE_RECORD_VISITOR = 0,
    NGX_HTTP_HYPE_RECORD_USER,
    NGX_HTTP_HYPE_RECORD_CREATED,
    NGX_HTTP_HYPE_RECORD_EVENT,
    NGX_HTTP_HYPE_RECORD_VALUE,
    NGX_HTTP_HYPE_RECORD_FIELDS
} ngx_http_hype_record_field_e;


/* a claim (event and value empty) or a confirm */

typedef struct {
    u_char        *visitor;        /* 16 bytes, or NULL */
    ngx_str_t      user_id;        /* an empty string is a NULL: */
    ngx_str_t      event;
    ngx_str_t      value;
    uint64_t       created;        /* milliseconds since the Unix epoch */
} ngx_http_hype_event_t;


/* what a claim, a confirm or a note has, in the order of its fields */

extern ngx_http_hype_column_t  ngx_http_hype_record_format[];


/* The size in bytes of a record of a hit; the identifier may be empty. */

size_t ngx_http_hype_record_hit_length(ngx_str_t *identifier,
    ngx_http_hype_row_t *row);

/*
 * Writes the record without its CRC to "p", which has room for these bytes;
 * returns its end.
 */

u_char *ngx_http_hype_record_hit(u_char *p, ngx_str_t *identifier,
    ngx_http_hype_row_t *row);

/* The same for a claim or a confirm. */

size_t ngx_http_hype_record_event_length(ngx_http_hype_event_t *event);
u_char *ngx_http_hype_record_event(u_char *p,
    ngx_http_hype_record_type_e type, ngx_http_hype_event_t *event);

/* Sets the CRC, which only a record that goes to a file needs. */

void ngx_http_hype_record_seal(u_char *record);

/*
 * Whether "p" begins with a whole record, sealed and well-formed to the last
 * field, before "last".  For bytes that come from a file.
 *
 * NGX_OK: it does, its size is in "len".
 * NGX_AGAIN: it may, but it is cut short; "len" is the size it says it has,
 *     or 0 where even the header is cut.
 * NGX_DECLINED: a sealed record of a version or type that is not known here,
 *     or a note; its size is in "len".
 * NGX_ERROR: it does not.
 */

ngx_int_t ngx_http_hype_record_check(u_char *p, u_char *last, size_t *len);

/* Whether a record that was declined is a well-formed note. */

ngx_uint_t ngx_http_hype_record_is_note(u_char *record);

/* The size of a well-formed record in bytes, and its type. */

size_t ngx_http_hype_record_length(u_char *record);
ngx_http_hype_record_type_e ngx_http_hype_record_type(u_char *record);

/* Returns a hit's tuple; sets "identifier".  Both point into the record. */

u_char *ngx_http_hype_record_tuple(u_char *record, ngx_str_t *identifier);

/*
 * A hit's node, see hype.my_node() in sql/hype.sql; 0: none.  It is only set
 * before the record is sealed, and not in one of version 1.
 */

ngx_uint_t ngx_http_hype_record_node(u_char *record);
void ngx_http_hype_record_set_node(u_char *record, ngx_uint_t node);

/* A claim's, confirm's or note's field, as ngx_http_hype_row_column() does. */

size_t ngx_http_hype_record_field(u_char *record,
    ngx_http_hype_record_field_e n, u_char **field);


#endif /* _NGX_HTTP_HYPE_RECORD_H_INCLUDED_ */
