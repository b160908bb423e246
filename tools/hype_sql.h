
/*
 * Records as SQL, for a person to look at and psql to run: in printable ASCII
 * characters, which no terminal, log or client_encoding changes.
 */


#ifndef _HYPE_SQL_H_INCLUDED_
#define _HYPE_SQL_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_http_hype_record.h"


/*
 * Each of these writes to "p" and returns the end; the length that belongs to it
 * is an upper bound in bytes.
 */

/*
 * A statement that does what a well-formed record asks for, on one line without
 * its end: a hit's INSERT, or the call that the module itself sends for a claim,
 * a confirm, or a hit that was sent to a node of Citus.
 */

size_t hype_sql_record_length(u_char *record);
u_char *hype_sql_record(u_char *p, u_char *record);

/*
 * A statement that inserts a well-formed tuple's row: INSERT INTO
 * hype.referral_hit (...) VALUES (...) ON CONFLICT DO NOTHING.  Where the link
 * is NULL, the value is a sub-select of the link that "identifier" led to at
 * the time, if that is not empty.
 */

size_t hype_sql_row_length(u_char *tuple, ngx_str_t *identifier);
u_char *hype_sql_row(u_char *p, u_char *tuple, ngx_str_t *identifier);

/* A well-formed column as a literal. */

size_t hype_sql_column_length(u_char *column);
u_char *hype_sql_column(u_char *p, u_char *column,
    ngx_http_hype_column_e type);


#endif /* _HYPE_SQL_H_INCLUDED_ */
