
#include "ngx_http_hype_visit.h"


ngx_int_t
ngx_http_hype_visit_fold(ngx_http_request_t *r, ngx_str_t *identifier,
    ngx_str_t *folded)
{
    ngx_str_t                  s;
    ngx_http_hype_loc_conf_t  *hlcf;

    hlcf = ngx_http_get_module_loc_conf(r, ngx_http_hype_module);

    if (hlcf->loose != NGX_HTTP_HYPE_LOOSE || identifier->len == 0) {
        return NGX_DECLINED;
    }

    s.data = ngx_pnalloc(r->pool, identifier->len);
    if (s.data == NULL) {
        return NGX_ERROR;
    }

    /* a query, as browsers send that of a form, has "+" for a blank */

    s.len = ngx_http_hype_unescape_plus(s.data, identifier);
    s.len = ngx_http_hype_identifier_fold(s.data, &s);

    if (!ngx_http_hype_identifier_valid(&s)
        || (s.len == identifier->len
            && ngx_memcmp(s.data, identifier->data, s.len) == 0))
    {
        return NGX_DECLINED;
    }

    *folded = s;

    return NGX_OK;
}


ngx_int_t
ngx_http_hype_visit_names(ngx_http_request_t *r, ngx_str_t *identifier,
    ngx_str_t *names)
{
    u_char      *p;
    ngx_int_t    rc;
    ngx_str_t    folded;
    ngx_uint_t   valid;

    valid = ngx_http_hype_identifier_valid(identifier);

    rc = ngx_http_hype_visit_fold(r, identifier, &folded);

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    if (rc == NGX_DECLINED) {

        if (!valid) {
            return NGX_DECLINED;
        }

        *names = *identifier;
        return NGX_OK;
    }

    if (!valid) {
        *names = folded;
        return NGX_OK;
    }

    names->len = identifier->len + 1 + folded.len;

    names->data = ngx_pnalloc(r->pool, names->len);
    if (names->data == NULL) {
        return NGX_ERROR;
    }

    p = ngx_cpymem(names->data, identifier->data, identifier->len);
    *p++ = ' ';
    ngx_memcpy(p, folded.data, folded.len);

    return NGX_OK;
}


ngx_int_t
ngx_http_hype_visit_code(ngx_http_request_t *r,
    ngx_http_hype_loc_conf_t *hlcf, ngx_str_t *code, ngx_str_t *user,
    u_char *visitor)
{
    u_char                      addr[16];
    ngx_int_t                   rc;
    ngx_str_t                   names;
    ngx_http_hype_row_t         row;
    ngx_http_hype_main_conf_t  *hmcf;

    if (ngx_http_hype_predicates(r, hlcf->no_hit) != NGX_OK) {
        return NGX_OK;
    }

    rc = ngx_http_hype_visit_names(r, code, &names);

    if (rc != NGX_OK) {
        return (rc == NGX_DECLINED) ? NGX_OK : NGX_ERROR;
    }

    ngx_memzero(&row, sizeof(ngx_http_hype_row_t));

    ngx_str_set(&row.source, "code");

    if (user->len) {
        row.authenticated = 1;
        row.user_id = *user;

    } else {
        row.visitor = visitor;
    }

    if (ngx_http_hype_visit_row(r, hlcf, &row, addr) != NGX_OK) {
        return NGX_ERROR;
    }

    hmcf = ngx_http_get_module_main_conf(r, ngx_http_hype_module);

    ngx_http_hype_store_keep_hit(hmcf->store, &names, &row);

    return NGX_OK;
}
