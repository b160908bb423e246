
/*
 * The directives of the visitor: the cookie, and what is confirmed of a user.
 */


#ifndef _NGX_HTTP_HYPE_CONF_VISITOR_H_INCLUDED_
#define _NGX_HTTP_HYPE_CONF_VISITOR_H_INCLUDED_


#include "ngx_http_hype.h"


/*
 * Setters, for the module's commands.  Like those of nginx they return
 * NGX_CONF_OK, or what is wrong, or NGX_CONF_ERROR once they have logged it
 * with the directive and the value.
 */

char *ngx_http_hype_conf_cookie(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_hype_conf_confirm(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);


#endif /* _NGX_HTTP_HYPE_CONF_VISITOR_H_INCLUDED_ */
