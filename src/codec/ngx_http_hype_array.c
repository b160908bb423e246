
#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_http_hype_array.h"
#include "ngx_http_hype_column.h"


static ngx_uint_t  ngx_http_hype_array_elements[][2] = {
    { NGX_HTTP_HYPE_ARRAY_BOOL, 16 },
    { NGX_HTTP_HYPE_ARRAY_SMALLINT, 21 },
    { NGX_HTTP_HYPE_ARRAY_TEXT, 25 },
    { NGX_HTTP_HYPE_ARRAY_BIGINT, 20 },
    { NGX_HTTP_HYPE_ARRAY_INET, 869 },
    { NGX_HTTP_HYPE_ARRAY_TIMESTAMPTZ, 1184 },
    { NGX_HTTP_HYPE_ARRAY_UUID, 2950 },
    { 0, 0 }
};


u_char *
ngx_http_hype_array_header(u_char *p, ngx_uint_t type, ngx_uint_t n)
{
    ngx_uint_t  i;

    for (i = 0; ngx_http_hype_array_elements[i][0] != type; i++) {
        /* void */
    }

    p = ngx_http_hype_put32(p, 1);     /* dimensions */
    p = ngx_http_hype_put32(p, 1);     /* there may be NULLs */
    p = ngx_http_hype_put32(p, ngx_http_hype_array_elements[i][1]);
    p = ngx_http_hype_put32(p, n);

    return ngx_http_hype_put32(p, 1);  /* the lower bound */
}
