
/*
 * The directives of referral links: where they are found in a URL, and where
 * they lead.
 */


#ifndef _NGX_HTTP_HYPE_CONF_REF_H_INCLUDED_
#define _NGX_HTTP_HYPE_CONF_REF_H_INCLUDED_


#include "ngx_http_hype.h"


/*
 * Setters, for the module's commands.  Like those of nginx they return
 * NGX_CONF_OK, or what is wrong, or NGX_CONF_ERROR once they have logged it
 * with the directive and the value.
 */

char *ngx_http_hype_conf_ref(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_hype_conf_ref_param(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_hype_conf_next_param(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_hype_conf_next_hosts(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_hype_conf_fallback(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);


#endif /* _NGX_HTTP_HYPE_CONF_REF_H_INCLUDED_ */
