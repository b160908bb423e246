
#include <ngx_config.h>
#include <ngx_core.h>
#include <time.h>
#include "ngx_http_hype_hash.h"
#include "tap.h"


/* as many buckets as a zone of 8 MB has */
#define BUCKETS    32768

#define COLLIDING  1000


static void test_vectors(void);
static void test_keys(void);
static void test_colliding(void);
static uint32_t murmur(u_char *data, size_t len);


/* of the reference implementation: key 00 01 ..., text of n bytes 00 01 ... */

static uint64_t  vectors[] = {
    0x726fdb47dd0e0e31ULL, 0x74f839c593dc67fdULL, 0x0d6c8009d9a94f5aULL,
    0x85676696d7fb7e2dULL, 0xcf2794e0277187b7ULL, 0x18765564cd99a68dULL,
    0xcbc9466e58fee3ceULL, 0xab0200f58b01d137ULL, 0x93f5f5799a932462ULL
};


int
main(void)
{
    test_vectors();
    test_keys();
    test_colliding();

    return tap_done();
}


static void
test_vectors(void)
{
    u_char      text[16], key[NGX_HTTP_HYPE_HASH_KEY];
    ngx_uint_t  i;

    for (i = 0; i < 16; i++) {
        text[i] = key[i] = (u_char) i;
    }

    for (i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        tap_ok(ngx_http_hype_siphash(key, text, i) == vectors[i],
               "SipHash-2-4");
    }
}


static void
test_keys(void)
{
    u_char     key[NGX_HTTP_HYPE_HASH_KEY], other[NGX_HTTP_HYPE_HASH_KEY];
    ngx_str_t  text;

    ngx_http_hype_hash_key(key);
    ngx_http_hype_hash_key(other);
    text = tap_str("abc123");

    tap_ok(ngx_http_hype_hash(key, &text) != ngx_http_hype_hash(other, &text),
           "another key, another hash");
}


/* identifiers that are in one bucket by nginx's hash, whose seed is known */

static void
test_colliding(void)
{
    u_char           key[NGX_HTTP_HYPE_HASH_KEY], name[32];
    ngx_str_t        text;
    ngx_uint_t       i, n, most;
    static u_short   buckets[BUCKETS];

    ngx_http_hype_hash_key(key);

    text.data = name;

    for (i = 0, n = 0, most = 0; n < COLLIDING; i++) {
        text.len = snprintf((char *) name, sizeof(name), "x%lu",
                            (unsigned long) i);

        if (murmur(text.data, text.len) % BUCKETS != 0) {
            continue;
        }

        n++;
        most = ngx_max(most,
                       ++buckets[ngx_http_hype_hash(key, &text) % BUCKETS]);
    }

    printf("# the longest bucket has %lu of %u\n", (unsigned long) most,
           COLLIDING);

    tap_ok(most < 8, "identifiers that collide by murmur do not");
}


static uint32_t
murmur(u_char *data, size_t len)
{
    uint32_t  h, k;

    h = 0 ^ (uint32_t) len;

    while (len >= 4) {
        k = data[0] | data[1] << 8 | data[2] << 16 | (uint32_t) data[3] << 24;

        k *= 0x5bd1e995;
        k ^= k >> 24;
        k *= 0x5bd1e995;

        h *= 0x5bd1e995;
        h ^= k;

        data += 4;
        len -= 4;
    }

    switch (len) {
    case 3:
        h ^= data[2] << 16;
        /* fall through */
    case 2:
        h ^= data[1] << 8;
        /* fall through */
    case 1:
        h ^= data[0];
        h *= 0x5bd1e995;
    }

    h ^= h >> 13;
    h *= 0x5bd1e995;
    h ^= h >> 15;

    return h;
}
