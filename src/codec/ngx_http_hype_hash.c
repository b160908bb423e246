
#include <ngx_config.h>
#include <ngx_core.h>
#include <uuid/uuid.h>
#include "ngx_http_hype_hash.h"


typedef struct {
    uint64_t  v0;
    uint64_t  v1;
    uint64_t  v2;
    uint64_t  v3;
} ngx_http_hype_siphash_t;


static uint64_t ngx_http_hype_hash_word(u_char *p);
static uint64_t ngx_http_hype_hash_rest(u_char *p, size_t len);
static uint64_t ngx_http_hype_hash_rotate(uint64_t n, ngx_uint_t bits);
static void ngx_http_hype_hash_rounds(ngx_http_hype_siphash_t *s,
    ngx_uint_t n);


void
ngx_http_hype_hash_key(u_char *key)
{
    uuid_t  uuid;

    /* 122 of its bits are random */

    uuid_generate_random(uuid);

    ngx_memcpy(key, uuid, NGX_HTTP_HYPE_HASH_KEY);
}


uint64_t
ngx_http_hype_siphash(u_char *key, u_char *p, size_t len)
{
    u_char                   *last;
    uint64_t                  k0, k1, word;
    ngx_http_hype_siphash_t   s;

    k0 = ngx_http_hype_hash_word(key);
    k1 = ngx_http_hype_hash_word(key + 8);

    s.v0 = k0 ^ 0x736f6d6570736575ULL;
    s.v1 = k1 ^ 0x646f72616e646f6dULL;
    s.v2 = k0 ^ 0x6c7967656e657261ULL;
    s.v3 = k1 ^ 0x7465646279746573ULL;

    last = p + len - len % 8;

    for ( /* void */ ; p < last; p += 8) {
        word = ngx_http_hype_hash_word(p);

        s.v3 ^= word;
        ngx_http_hype_hash_rounds(&s, 2);
        s.v0 ^= word;
    }

    word = ngx_http_hype_hash_rest(p, len % 8) | (uint64_t) len << 56;

    s.v3 ^= word;
    ngx_http_hype_hash_rounds(&s, 2);
    s.v0 ^= word;

    s.v2 ^= 0xff;
    ngx_http_hype_hash_rounds(&s, 4);

    return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}


/* eight bytes, the first one the lowest: compilers know it as one load */

static uint64_t
ngx_http_hype_hash_word(u_char *p)
{
    return (uint64_t) p[0]
           | (uint64_t) p[1] << 8
           | (uint64_t) p[2] << 16
           | (uint64_t) p[3] << 24
           | (uint64_t) p[4] << 32
           | (uint64_t) p[5] << 40
           | (uint64_t) p[6] << 48
           | (uint64_t) p[7] << 56;
}


/* fewer than eight */

static uint64_t
ngx_http_hype_hash_rest(u_char *p, size_t len)
{
    uint64_t  word;

    word = 0;

    while (len--) {
        word = word << 8 | p[len];
    }

    return word;
}


static uint64_t
ngx_http_hype_hash_rotate(uint64_t n, ngx_uint_t bits)
{
    return n << bits | n >> (64 - bits);
}


static void
ngx_http_hype_hash_rounds(ngx_http_hype_siphash_t *s, ngx_uint_t n)
{
    while (n--) {
        s->v0 += s->v1;
        s->v1 = ngx_http_hype_hash_rotate(s->v1, 13) ^ s->v0;
        s->v0 = ngx_http_hype_hash_rotate(s->v0, 32);

        s->v2 += s->v3;
        s->v3 = ngx_http_hype_hash_rotate(s->v3, 16) ^ s->v2;

        s->v0 += s->v3;
        s->v3 = ngx_http_hype_hash_rotate(s->v3, 21) ^ s->v0;

        s->v2 += s->v1;
        s->v1 = ngx_http_hype_hash_rotate(s->v1, 17) ^ s->v2;
        s->v2 = ngx_http_hype_hash_rotate(s->v2, 32);
    }
}
