
/*
 * What the directives' setters have in common: values, and what is wrong with
 * them.
 */


#ifndef _NGX_HTTP_HYPE_CONF_H_INCLUDED_
#define _NGX_HTTP_HYPE_CONF_H_INCLUDED_


#include "ngx_http_hype.h"


/* A setter for a word of the list that the command has in "post". */

char *ngx_http_hype_conf_enum(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);

/*
 * The number of the list's word "value", which is all or a part of the
 * directive's argument.  NGX_CONF_ERROR once it has logged the words that are
 * there.
 */

char *ngx_http_hype_conf_enum_value(ngx_conf_t *cf, ngx_conf_enum_t *e,
    ngx_str_t *argument, ngx_str_t *value, ngx_uint_t *result);

/* A value that may have variables; NULL after an error. */

ngx_http_complex_value_t *ngx_http_hype_conf_compile(ngx_conf_t *cf,
    ngx_str_t *value);

/* Logs why the directive can't have this value; returns NGX_CONF_ERROR. */

char *ngx_http_hype_conf_invalid(ngx_conf_t *cf, ngx_str_t *value,
    const char *reason);

/* May it be the name of a cookie, or of an argument? */

ngx_uint_t ngx_http_hype_conf_is_token(ngx_str_t *value);

/* Does it begin like that?  If so, "rest" is what follows, in its memory. */

ngx_uint_t ngx_http_hype_conf_has_prefix(ngx_str_t *value,
    const char *prefix, ngx_str_t *rest);

/*
 * This directive, whose name must stay there, is of no use without
 * hype_database: that is checked when all has been read.
 */

void ngx_http_hype_conf_needs_database(ngx_conf_t *cf, const char *name);


#endif /* _NGX_HTTP_HYPE_CONF_H_INCLUDED_ */
