
/*
 * What can only be judged when all of the configuration has been read, and what
 * is worth a warning.
 */


#ifndef _NGX_HTTP_HYPE_CONF_CHECK_H_INCLUDED_
#define _NGX_HTTP_HYPE_CONF_CHECK_H_INCLUDED_


#include "ngx_http_hype.h"


/* Notes the variables of the directive's arguments, with file and line. */

ngx_int_t ngx_http_hype_conf_note_variables(ngx_conf_t *cf);

/* NGX_ERROR once it has logged the first one that does not exist. */

ngx_int_t ngx_http_hype_conf_check_variables(ngx_conf_t *cf);

/* ngx_http_set_complex_value_slot() and ngx_http_set_predicate_slot() */

char *ngx_http_hype_conf_value(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_hype_conf_predicate(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/* The former, and warns of a user whom the request names. */

char *ngx_http_hype_conf_user(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);

/* Warns of a database on another machine without "sslmode". */

void ngx_http_hype_conf_check_ssl(ngx_conf_t *cf,
    ngx_http_hype_conninfo_t *info);

/*
 * Called for each location and server, when it has been merged; then once at
 * the end, for what leads nowhere.
 */

ngx_int_t ngx_http_hype_conf_check_location(ngx_conf_t *cf,
    ngx_http_hype_loc_conf_t *hlcf);
void ngx_http_hype_conf_check_refs(ngx_conf_t *cf);


#endif /* _NGX_HTTP_HYPE_CONF_CHECK_H_INCLUDED_ */
