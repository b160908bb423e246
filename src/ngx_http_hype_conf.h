
/*
 * The directives' values: what they may be, and what is wrong with them.
 */


#ifndef _NGX_HTTP_HYPE_CONF_H_INCLUDED_
#define _NGX_HTTP_HYPE_CONF_H_INCLUDED_


#include "ngx_http_hype.h"


/*
 * Setters, for the module's commands.  Like those of nginx they return
 * NGX_CONF_OK, or what is wrong, or NGX_CONF_ERROR once they have logged it
 * with the directive and the value.
 */

char *ngx_http_hype_conf_database(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_hype_conf_zone(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_hype_conf_spool(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_hype_conf_enum(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_hype_conf_ref(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_hype_conf_ref_param(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_hype_conf_next_param(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_hype_conf_next_hosts(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_hype_conf_fallback(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_hype_conf_cookie(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_hype_conf_confirm(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_hype_conf_status(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/* The zone of that name and size, or the default one. */

char *ngx_http_hype_conf_add_zone(ngx_conf_t *cf,
    ngx_http_hype_main_conf_t *hmcf, ngx_str_t *name, size_t size);

/* The spool's folder, for nginx to make. */

char *ngx_http_hype_conf_set_spool_path(ngx_conf_t *cf,
    ngx_http_hype_main_conf_t *hmcf, ngx_str_t *name);

/* A value that may have variables; NULL after an error. */

ngx_http_complex_value_t *ngx_http_hype_conf_compile(ngx_conf_t *cf,
    ngx_str_t *value);


#endif /* _NGX_HTTP_HYPE_CONF_H_INCLUDED_ */
