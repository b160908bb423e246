
/* next_filter [host ...]: prints for each value 1 if it is a safe "next" */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_http_hype_next.h"
#include "filter.h"


int
main(int argc, char *const *argv)
{
    ngx_str_t   *hosts, next;
    ngx_uint_t   i, nhosts, safe;

    nhosts = (ngx_uint_t) argc - 1;

    hosts = calloc(nhosts + 1, sizeof(ngx_str_t));
    if (hosts == NULL) {
        return 2;
    }

    for (i = 0; i < nhosts; i++) {
        hosts[i].len = strlen(argv[i + 1]);
        hosts[i].data = (u_char *) argv[i + 1];
    }

    for ( ;; ) {
        next = filter_read();
        if (next.data == NULL) {
            break;
        }

        safe = ngx_http_hype_next_safe(&next, hosts, nhosts);
        putchar(safe ? '1' : '0');

        free(next.data);
    }

    free(hosts);

    return 0;
}
