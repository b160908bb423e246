
/*
 * Input of the programs that Perl tests drive: values, each after its length
 * in 4 bytes in network order.
 */


#ifndef _FILTER_H_INCLUDED_
#define _FILTER_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_http_hype_column.h"


/* the next value, to be freed by the caller; "data" is NULL at the end */

static ngx_inline ngx_str_t
filter_read(void)
{
    u_char     len[4];
    ngx_str_t  value;

    ngx_str_null(&value);

    if (fread(len, 1, 4, stdin) != 4) {
        return value;
    }

    value.len = ngx_http_hype_get32(len);
    value.data = malloc(value.len ? value.len : 1);

    if (value.data == NULL
        || fread(value.data, 1, value.len, stdin) != value.len)
    {
        fprintf(stderr, "a value is cut short\n");
        exit(2);
    }

    return value;
}


#endif /* _FILTER_H_INCLUDED_ */
