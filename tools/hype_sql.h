
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
 * Writes a statement that does what a well-formed record asks for, on one line
 * without its end: a hit's INSERT, or the call that the module itself sends for
 * a claim, a confirm, or a hit that was sent to a node of Citus.
 */

void hype_sql_record(FILE *out, u_char *record);

/*
 * Writes a statement that inserts a well-formed tuple's row: INSERT INTO
 * hype.referral_hit (...) VALUES (...) ON CONFLICT DO NOTHING.  Where the link
 * is NULL, the value is a sub-select of the link that "identifier" led to at
 * the time, if that is not empty.
 */

void hype_sql_row(FILE *out, u_char *tuple, ngx_str_t *identifier);

/* Writes a well-formed column as a literal. */

void hype_sql_column(FILE *out, u_char *column, ngx_http_hype_column_e type);

/*
 * The same without quotes, of a column that is neither a text nor NULL; and
 * whether it has quotes.  Returns 1 or 0.
 */

void hype_sql_value(FILE *out, u_char *column, ngx_http_hype_column_e type);
ngx_uint_t hype_sql_quoted(ngx_http_hype_column_e type);


#endif /* _HYPE_SQL_H_INCLUDED_ */
