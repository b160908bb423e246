
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include "ngx_http_hype_trouble.h"


/* milliseconds between two log lines */
#define NGX_HTTP_HYPE_TROUBLE_LOG  10000


ngx_uint_t
ngx_http_hype_trouble_log(ngx_http_hype_trouble_t *trouble)
{
    if (trouble->errors++
        && ngx_current_msec - trouble->logged < NGX_HTTP_HYPE_TROUBLE_LOG)
    {
        return 0;
    }

    trouble->logged = ngx_current_msec;

    return 1;
}


size_t
ngx_http_hype_trouble_line(u_char *dst, size_t size, const char *message,
    size_t len)
{
    size_t  i;

    len = ngx_min(len, size);

    if (len && message[len - 1] == LF) {
        len--;
    }

    for (i = 0; i < len; i++) {
        dst[i] = ((u_char) message[i] < 0x20 || message[i] == 0x7f)
                 ? ' ' : message[i];
    }

    return len;
}


ngx_msec_t
ngx_http_hype_trouble_back_off(ngx_msec_t last, ngx_msec_t min, ngx_msec_t max)
{
    return ngx_min(ngx_max(last * 2, min), max);
}


ngx_msec_t
ngx_http_hype_trouble_spread(ngx_msec_t delay)
{
    return delay - delay / 4 + ngx_random() % (delay / 2 + 1);
}
