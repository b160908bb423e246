
/*
 * The directives that say where hits go, and where they are looked at:
 * database, zone, spool, status.
 */


#ifndef _NGX_HTTP_HYPE_CONF_DATABASE_H_INCLUDED_
#define _NGX_HTTP_HYPE_CONF_DATABASE_H_INCLUDED_


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
char *ngx_http_hype_conf_status(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/* The zone of that name and size, or the default one. */

char *ngx_http_hype_conf_add_zone(ngx_conf_t *cf,
    ngx_http_hype_main_conf_t *hmcf, ngx_str_t *name, size_t size);

/* The spool's folder, for nginx to make. */

char *ngx_http_hype_conf_set_spool_path(ngx_conf_t *cf,
    ngx_http_hype_main_conf_t *hmcf, ngx_str_t *name);


#endif /* _NGX_HTTP_HYPE_CONF_DATABASE_H_INCLUDED_ */
