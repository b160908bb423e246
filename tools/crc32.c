
/* The table that nginx's core/ngx_crc32.c has, for programs without it. */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_crc32.h>


uint32_t  ngx_crc32_table256[256];


static void __attribute__((constructor))
crc32_init(void)
{
    uint32_t    crc;
    ngx_uint_t  n, i;

    for (n = 0; n < 256; n++) {
        crc = (uint32_t) n;

        for (i = 0; i < 8; i++) {
            crc = (crc & 1) ? (crc >> 1) ^ 0xedb88320 : crc >> 1;
        }

        ngx_crc32_table256[n] = crc;
    }
}
