
#include "ngx_http_hype_visit.h"


#define NGX_HTTP_HYPE_TOO_EARLY  425


typedef struct {
    ngx_str_t    name;
    ngx_uint_t   purpose;
    ngx_str_t    navigation;  /* the only value that stands for one */
} ngx_http_hype_purpose_header_t;


static ngx_uint_t ngx_http_hype_purpose_header(ngx_table_elt_t *h);
static ngx_uint_t ngx_http_hype_purpose_prefetch(ngx_str_t *value);
static ngx_uint_t ngx_http_hype_purpose_delimits(u_char c);
static ngx_uint_t ngx_http_hype_purpose_early(ngx_http_request_t *r);


static ngx_http_hype_purpose_header_t  ngx_http_hype_purpose_headers[] = {

    { ngx_string("sec-fetch-dest"), NGX_HTTP_HYPE_EMBEDDED,
      ngx_string("document") },

    { ngx_string("sec-fetch-mode"), NGX_HTTP_HYPE_EMBEDDED,
      ngx_string("navigate") },

    { ngx_string("sec-purpose"), NGX_HTTP_HYPE_SPECULATIVE, ngx_null_string },
    { ngx_string("x-sec-purpose"), NGX_HTTP_HYPE_PREFETCH, ngx_null_string },
    { ngx_string("purpose"), NGX_HTTP_HYPE_PREFETCH, ngx_null_string },
    { ngx_string("x-purpose"), NGX_HTTP_HYPE_PREFETCH, ngx_null_string },
    { ngx_string("x-moz"), NGX_HTTP_HYPE_PREFETCH, ngx_null_string },

    /* RFC 6455, 4.1: a page that opens a WebSocket is not left */

    { ngx_string("sec-websocket-key"), NGX_HTTP_HYPE_EMBEDDED,
      ngx_null_string },

    /* RFC 8470, 5.1: any value of it is as good as "1" */

    { ngx_string("early-data"), NGX_HTTP_HYPE_EARLY, ngx_null_string },

    { ngx_null_string, 0, ngx_null_string }
};


static ngx_str_t  ngx_http_hype_purpose_tokens[] = {
    ngx_string("prefetch"),
    ngx_string("prerender"),
    ngx_string("preview"),
    ngx_null_string
};


ngx_uint_t
ngx_http_hype_purpose(ngx_http_request_t *r)
{
    ngx_uint_t        i, purpose;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    purpose = ngx_http_hype_purpose_early(r);

    for (part = &r->headers_in.headers.part; part; part = part->next) {

        h = part->elts;

        for (i = 0; i < part->nelts; i++) {
            purpose |= ngx_http_hype_purpose_header(&h[i]);
        }
    }

    return purpose;
}


static ngx_uint_t
ngx_http_hype_purpose_header(ngx_table_elt_t *h)
{
    ngx_http_hype_purpose_header_t  *header;

    /* most headers are others, which their first letter tells */

    switch (h->key.len ? h->lowcase_key[0] : '\0') {

    case 'e':
    case 'p':
    case 's':
    case 'x':
        break;

    default:
        return 0;
    }

    for (header = ngx_http_hype_purpose_headers; header->name.len; header++) {
        if (h->key.len == header->name.len
            && ngx_memcmp(h->lowcase_key, header->name.data, h->key.len) == 0)
        {
            break;
        }
    }

    switch (header->purpose) {

    case NGX_HTTP_HYPE_EMBEDDED:

        if (h->value.len == header->navigation.len
            && ngx_memcmp(h->value.data, header->navigation.data, h->value.len)
               == 0)
        {
            return 0;
        }

        break;

    case NGX_HTTP_HYPE_SPECULATIVE:
    case NGX_HTTP_HYPE_PREFETCH:

        if (!ngx_http_hype_purpose_prefetch(&h->value)) {
            return 0;
        }

        break;
    }

    return header->purpose;
}


/* one of the tokens, which may have parameters: "prefetch;prerender" */

static ngx_uint_t
ngx_http_hype_purpose_prefetch(ngx_str_t *value)
{
    u_char     *p, *start, *last;
    ngx_str_t  *token;

    last = value->data + value->len;

    for (p = value->data; p < last; p++) {

        for (start = p; p < last; p++) {
            if (ngx_http_hype_purpose_delimits(*p)) {
                break;
            }
        }

        for (token = ngx_http_hype_purpose_tokens; token->len; token++) {
            if ((size_t) (p - start) == token->len
                && ngx_strncasecmp(start, token->data, token->len) == 0)
            {
                return 1;
            }
        }
    }

    return 0;
}


static ngx_uint_t
ngx_http_hype_purpose_delimits(u_char c)
{
    return c == ' ' || c == '\t' || c == ';' || c == ',' || c == '=';
}


/* nginx may have been built without TLS, or have no such variable */

static ngx_uint_t
ngx_http_hype_purpose_early(ngx_http_request_t *r)
{
    ngx_http_variable_value_t  *vv;

    static ngx_str_t  name = ngx_string("ssl_early_data");

    if (!ngx_http_hype_is_tls(r)) {
        return 0;
    }

    vv = ngx_http_get_variable(r, &name, ngx_hash_key(name.data, name.len));

    if (vv && !vv->not_found && vv->len == 1 && vv->data[0] == '1') {
        return NGX_HTTP_HYPE_EARLY;
    }

    return 0;
}


ngx_int_t
ngx_http_hype_purpose_refuse(ngx_http_request_t *r, ngx_http_hype_ctx_t *ctx)
{
    ngx_int_t                 rc;
    ngx_str_t                 type;
    ngx_uint_t                status;
    ngx_http_complex_value_t  empty;

    ctx->purpose = ngx_http_hype_purpose(r);

    if (ctx->purpose & NGX_HTTP_HYPE_SPECULATIVE) {
        status = NGX_HTTP_SERVICE_UNAVAILABLE;

    } else if (ctx->purpose & NGX_HTTP_HYPE_EARLY) {
        status = NGX_HTTP_HYPE_TOO_EARLY;
        ngx_str_set(&r->headers_out.status_line, "425 Too Early");

    } else {
        return NGX_OK;
    }

    ctx->outcome = NGX_HTTP_HYPE_OUTCOME_SKIPPED;
    ctx->state = NGX_HTTP_HYPE_DONE;
    ctx->refused = 1;

    ngx_http_hype_count(ctx->store->cache, ctx->outcome, 1);

    ngx_memzero(&empty, sizeof(ngx_http_complex_value_t));
    ngx_str_set(&type, "text/plain");

    rc = ngx_http_send_response(r, status, &type, &empty);

    ngx_http_finalize_request(r, rc);

    return NGX_DONE;
}
