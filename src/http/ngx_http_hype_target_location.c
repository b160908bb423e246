
#include "ngx_http_hype_target.h"


static ngx_uint_t ngx_http_hype_target_matches(ngx_http_server_name_t *name,
    ngx_str_t *host);
static ngx_int_t ngx_http_hype_target_location(ngx_http_request_t *r,
    ngx_http_core_srv_conf_t *cscf, ngx_str_t *path,
    ngx_http_hype_loc_conf_t **hlcf);
static ngx_int_t ngx_http_hype_target_find(ngx_http_core_loc_conf_t *clcf,
    ngx_str_t *uri, ngx_http_core_loc_conf_t **found);
static ngx_int_t ngx_http_hype_target_static(
    ngx_http_location_tree_node_t *node, ngx_str_t *uri,
    ngx_http_core_loc_conf_t **found);


ngx_int_t
ngx_http_hype_target_conf(ngx_http_request_t *r, ngx_http_hype_target_t *t,
    ngx_http_hype_loc_conf_t **hlcf)
{
    ngx_int_t                   rc;
    ngx_uint_t                  i;
    ngx_http_server_name_t     *name;
    ngx_http_core_srv_conf_t   *cscf;
    ngx_http_hype_main_conf_t  *hmcf;

    *hlcf = NULL;

    if (t->host.len == 0 || ngx_http_hype_target_own(r, &t->host)) {
        cscf = ngx_http_get_module_srv_conf(r, ngx_http_core_module);
        return ngx_http_hype_target_location(r, cscf, &t->path, hlcf);
    }

    hmcf = ngx_http_get_module_main_conf(r, ngx_http_hype_module);
    name = hmcf->server_names->elts;

    for (i = 0; i < hmcf->server_names->nelts; i++) {

        if (!ngx_http_hype_target_matches(&name[i], &t->host)) {
            continue;
        }

        rc = ngx_http_hype_target_location(r, name[i].server, &t->path, hlcf);

        if (rc != NGX_OK) {
            return rc;
        }

        /* there may be another one of that name, for another port */

        if ((*hlcf)->ref || (*hlcf)->params) {
            return NGX_OK;
        }
    }

    *hlcf = NULL;

    return NGX_OK;
}


ngx_uint_t
ngx_http_hype_target_own(ngx_http_request_t *r, ngx_str_t *host)
{
    ngx_str_t  *server;

    server = &r->headers_in.server;

    return host->len == server->len
           && ngx_strncasecmp(host->data, server->data, server->len) == 0;
}


static ngx_uint_t
ngx_http_hype_target_matches(ngx_http_server_name_t *name, ngx_str_t *host)
{
    size_t   len;
    u_char  *p;

#if (NGX_PCRE)
    if (name->regex) {
        return ngx_regex_exec(name->regex->regex, host, NULL, 0) >= 0;
    }
#endif

    p = name->name.data;
    len = name->name.len;

    if (len == host->len) {
        return ngx_strncasecmp(host->data, p, len) == 0;
    }

    if (len < 3) {
        return 0;
    }

    if (p[len - 1] == '*') {
        return host->len >= len
               && ngx_strncasecmp(host->data, p, len - 1) == 0;
    }

    /* ".example.com" is also for "example.com" */

    if (p[0] == '.' && host->len == len - 1) {
        return ngx_strncasecmp(host->data, p + 1, host->len) == 0;
    }

    if (p[0] == '*') {
        p++;
        len--;
    }

    return p[0] == '.'
           && host->len > len
           && ngx_strncasecmp(host->data + host->len - len, p, len) == 0;
}


static ngx_int_t
ngx_http_hype_target_location(ngx_http_request_t *r,
    ngx_http_core_srv_conf_t *cscf, ngx_str_t *path,
    ngx_http_hype_loc_conf_t **hlcf)
{
    ngx_int_t                  rc;
    void                     **loc_conf;
    ngx_str_t                  uri;
    ngx_http_core_loc_conf_t  *clcf, *found;

    rc = ngx_http_hype_target_uri(r, cscf, path, &uri);

    if (rc != NGX_OK) {
        return rc;
    }

    clcf = cscf->ctx->loc_conf[ngx_http_core_module.ctx_index];
    found = clcf;

    (void) ngx_http_hype_target_find(clcf, &uri, &found);

    /* a server's own has none */

    loc_conf = found->loc_conf ? found->loc_conf : cscf->ctx->loc_conf;

    *hlcf = loc_conf[ngx_http_hype_module.ctx_index];

    return NGX_OK;
}


/*
 * The path is what a client makes of it, without its query, and is decoded by
 * nginx itself, which looks at one byte behind it.
 */

ngx_int_t
ngx_http_hype_target_uri(ngx_http_request_t *r,
    ngx_http_core_srv_conf_t *cscf, ngx_str_t *path, ngx_str_t *uri)
{
    u_char              *p, *end;
    ngx_str_t            s;
    ngx_http_request_t   parsed;

    end = ngx_strlchr(path->data, path->data + path->len, '?');

    s.data = path->data;
    s.len = (end ? end : path->data + path->len) - path->data;

    p = ngx_pnalloc(r->pool, 2 * s.len + 2);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ngx_memzero(&parsed, sizeof(ngx_http_request_t));

    parsed.connection = r->connection;
    parsed.uri.data = p + s.len + 1;
    parsed.uri_start = p;
    parsed.uri_end = p + ngx_http_hype_path_resolve(p, &s);
    *parsed.uri_end = LF;

    if (ngx_http_parse_complex_uri(&parsed, cscf->merge_slashes) != NGX_OK) {
        return NGX_DECLINED;
    }

    *uri = parsed.uri;

    return NGX_OK;
}


/* ngx_http_core_find_location(), which changes its request */

static ngx_int_t
ngx_http_hype_target_find(ngx_http_core_loc_conf_t *clcf, ngx_str_t *uri,
    ngx_http_core_loc_conf_t **found)
{
    ngx_int_t                   rc;
    ngx_uint_t                  noregex;
#if (NGX_PCRE)
    ngx_http_core_loc_conf_t  **regex;
#endif

    noregex = 0;

    rc = ngx_http_hype_target_static(clcf->static_locations, uri, found);

    if (rc == NGX_AGAIN) {
        noregex = (*found)->noregex;

        rc = ngx_http_hype_target_find(*found, uri, found);
    }

    if (rc == NGX_OK || noregex) {
        return rc;
    }

#if (NGX_PCRE)

    for (regex = clcf->regex_locations; regex && *regex; regex++) {

        if (ngx_regex_exec((*regex)->regex->regex, uri, NULL, 0) < 0) {
            continue;
        }

        *found = *regex;

        (void) ngx_http_hype_target_find(*regex, uri, found);

        return NGX_OK;
    }

#endif

    return rc;
}


/* ngx_http_core_find_static_location() */

static ngx_int_t
ngx_http_hype_target_static(ngx_http_location_tree_node_t *node,
    ngx_str_t *uri, ngx_http_core_loc_conf_t **found)
{
    size_t      len, n;
    u_char     *p;
    ngx_int_t   rc, rv;

    rv = NGX_DECLINED;

    p = uri->data;
    len = uri->len;

    while (node) {

        n = ngx_min(len, (size_t) node->len);

        rc = ngx_filename_cmp(p, node->name, n);

        if (rc != 0) {
            node = (rc < 0) ? node->left : node->right;

        } else if (len < (size_t) node->len) {
            node = node->left;

        } else if (len == (size_t) node->len && node->exact) {
            *found = node->exact;
            return NGX_OK;

        } else if (len == (size_t) node->len) {
            *found = node->inclusive;
            return NGX_AGAIN;

        } else if (node->inclusive) {
            *found = node->inclusive;
            rv = NGX_AGAIN;

            node = node->tree;
            p += n;
            len -= n;

        } else {
            node = node->right;
        }
    }

    return rv;
}


ngx_int_t
ngx_http_hype_target_init(ngx_conf_t *cf, ngx_http_hype_main_conf_t *hmcf)
{
    ngx_uint_t                   i;
    ngx_array_t                 *names;
    ngx_http_server_name_t      *name;
    ngx_http_core_srv_conf_t   **cscfp;
    ngx_http_core_main_conf_t   *cmcf;

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    hmcf->server_names = ngx_array_create(cf->pool, 4,
                                          sizeof(ngx_http_server_name_t));
    if (hmcf->server_names == NULL) {
        return NGX_ERROR;
    }

    cscfp = cmcf->servers.elts;

    for (i = 0; i < cmcf->servers.nelts; i++) {

        names = &cscfp[i]->server_names;

        if (names->nelts == 0) {
            continue;
        }

        name = ngx_array_push_n(hmcf->server_names, names->nelts);
        if (name == NULL) {
            return NGX_ERROR;
        }

        ngx_memcpy(name, names->elts,
                   names->nelts * sizeof(ngx_http_server_name_t));
    }

    return NGX_OK;
}
