
/*
 * $hype_identifier, $hype_visitor, $hype_hit, $hype_outcome, $hype_user and
 * $hype_referrer.
 */


#ifndef _NGX_HTTP_HYPE_VARIABLES_H_INCLUDED_
#define _NGX_HTTP_HYPE_VARIABLES_H_INCLUDED_


#include "ngx_http_hype.h"


/* For the module's preconfiguration. */

ngx_int_t ngx_http_hype_variables_add(ngx_conf_t *cf);


#endif /* _NGX_HTTP_HYPE_VARIABLES_H_INCLUDED_ */
