
/*
 * A keyed hash of short strings, SipHash-2-4 (Aumasson and Bernstein, 2012), of
 * which 32 bits are used: who does not have the key can't find strings that
 * collide.
 */


#ifndef _NGX_HTTP_HYPE_HASH_H_INCLUDED_
#define _NGX_HTTP_HYPE_HASH_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


#define NGX_HTTP_HYPE_HASH_KEY  16


/* Writes a new random key of NGX_HTTP_HYPE_HASH_KEY bytes. */

void ngx_http_hype_hash_key(u_char *key);

/* The hash of "len" bytes by such a key. */

uint64_t ngx_http_hype_siphash(u_char *key, u_char *p, size_t len);

/* The part of it that is used, of a text, which may be empty. */

static ngx_inline uint32_t
ngx_http_hype_hash(u_char *key, ngx_str_t *text)
{
    return (uint32_t) ngx_http_hype_siphash(key, text->data, text->len);
}


#endif /* _NGX_HTTP_HYPE_HASH_H_INCLUDED_ */
