
#include "ngx_http_hype_visit.h"


typedef struct {
    ngx_str_t   host;    /* empty: that of the request */
    ngx_str_t   path;    /* with the query; empty: the request's own URL */
    ngx_str_t   query;   /* of the target, in its memory */
} ngx_http_hype_target_t;


static ngx_int_t ngx_http_hype_target_split(ngx_http_request_t *r,
    ngx_str_t *target, ngx_http_hype_target_t *t);
static ngx_int_t ngx_http_hype_target_relative(ngx_http_request_t *r,
    u_char *p, u_char *last, ngx_http_hype_target_t *t);
static void ngx_http_hype_target_host(u_char *p, u_char *last,
    ngx_str_t *host);
static u_char *ngx_http_hype_target_scheme(u_char *p, u_char *last);
static ngx_uint_t ngx_http_hype_target_own(ngx_http_request_t *r,
    ngx_str_t *host);
static ngx_int_t ngx_http_hype_target_conf(ngx_http_request_t *r,
    ngx_http_hype_target_t *t, ngx_http_hype_loc_conf_t **hlcf);
static ngx_uint_t ngx_http_hype_target_matches(ngx_http_server_name_t *name,
    ngx_str_t *host);
static ngx_int_t ngx_http_hype_target_location(ngx_http_request_t *r,
    ngx_http_core_srv_conf_t *cscf, ngx_str_t *path,
    ngx_http_hype_loc_conf_t **hlcf);
static ngx_int_t ngx_http_hype_target_uri(ngx_http_request_t *r,
    ngx_http_core_srv_conf_t *cscf, ngx_str_t *path, ngx_str_t *uri);
static ngx_int_t ngx_http_hype_target_find(ngx_http_core_loc_conf_t *clcf,
    ngx_str_t *uri, ngx_http_core_loc_conf_t **found);
static ngx_int_t ngx_http_hype_target_static(
    ngx_http_location_tree_node_t *node, ngx_str_t *uri,
    ngx_http_core_loc_conf_t **found);
static ngx_int_t ngx_http_hype_target_strip(ngx_http_request_t *r,
    ngx_str_t *target, ngx_str_t *query, ngx_array_t *params);


ngx_int_t
ngx_http_hype_target(ngx_http_request_t *r, ngx_str_t *target,
    ngx_str_t *next)
{
    ngx_int_t                  rc;
    ngx_str_t                  value;
    ngx_http_hype_target_t     t;
    ngx_http_hype_loc_conf_t  *hlcf;

    ngx_str_null(next);

    rc = ngx_http_hype_target_split(r, target, &t);

    if (rc == NGX_DECLINED) {
        return NGX_OK;
    }

    if (rc != NGX_OK) {
        return NGX_ERROR;
    }

    if (t.path.len == 0) {
        return NGX_DECLINED;
    }

    rc = ngx_http_hype_target_conf(r, &t, &hlcf);

    if (rc != NGX_OK) {
        return rc;
    }

    if (hlcf == NULL) {
        return NGX_OK;
    }

    if (!hlcf->ref) {
        return ngx_http_hype_target_strip(r, target, &t.query, hlcf->params);
    }

    if (ngx_http_hype_args_find(&t.query, &hlcf->next_param, 1, &value)
        == NGX_OK)
    {
        next->data = ngx_pnalloc(r->pool, value.len + 1);
        if (next->data == NULL) {
            return NGX_ERROR;
        }

        next->len = ngx_http_hype_unescape(next->data, &value);
    }

    return NGX_DECLINED;
}


ngx_http_hype_loc_conf_t *
ngx_http_hype_target_ref(ngx_http_request_t *r, ngx_str_t *target)
{
    ngx_http_hype_target_t     t;
    ngx_http_hype_loc_conf_t  *hlcf;

    if (ngx_http_hype_target_split(r, target, &t) != NGX_OK
        || t.path.len == 0)
    {
        return NULL;
    }

    if (ngx_http_hype_target_conf(r, &t, &hlcf) != NGX_OK) {
        return NULL;
    }

    return (hlcf && hlcf->ref) ? hlcf : NULL;
}


ngx_uint_t
ngx_http_hype_target_foreign(ngx_http_request_t *r, ngx_str_t *target)
{
    u_char                  *colon, *last;
    ngx_int_t                rc;
    ngx_http_hype_target_t   t;

    rc = ngx_http_hype_target_split(r, target, &t);

    if (rc == NGX_OK) {
        return t.host.len && !ngx_http_hype_target_own(r, &t.host);
    }

    /* "app://..." may have arguments, "mailto:..." means others by them */

    last = target->data + target->len;
    colon = ngx_strlchr(target->data, last, ':');

    return rc == NGX_DECLINED
           && colon && last - colon > 2
           && colon[1] == '/' && colon[2] == '/';
}


static ngx_uint_t
ngx_http_hype_target_own(ngx_http_request_t *r, ngx_str_t *host)
{
    ngx_str_t  *server;

    server = &r->headers_in.server;

    return host->len == server->len
           && ngx_strncasecmp(host->data, server->data, server->len) == 0;
}


ngx_int_t
ngx_http_hype_target_path(ngx_http_request_t *r, ngx_str_t *target,
    ngx_str_t *path)
{
    ngx_int_t                  rc;
    ngx_http_hype_target_t     t;
    ngx_http_core_srv_conf_t  *cscf;

    rc = ngx_http_hype_target_split(r, target, &t);

    if (rc != NGX_OK) {
        return rc;
    }

    if (t.host.len || t.path.len == 0) {
        return NGX_DECLINED;
    }

    cscf = ngx_http_get_module_srv_conf(r, ngx_http_core_module);

    return ngx_http_hype_target_uri(r, cscf, &t.path, path);
}


/*
 * As browsers do (WHATWG URL Standard, 4.4): two slashes or more are before a
 * host, also without a scheme.  NGX_DECLINED: it is no URL of http or https.
 */

static ngx_int_t
ngx_http_hype_target_split(ngx_http_request_t *r, ngx_str_t *target,
    ngx_http_hype_target_t *t)
{
    u_char      *p, *end, *last;
    ngx_str_t    host;
    ngx_uint_t   slashes;

    ngx_memzero(t, sizeof(ngx_http_hype_target_t));

    p = target->data;
    last = p + target->len;

    end = ngx_strlchr(p, last, '#');
    if (end) {
        last = end;
    }

    p = ngx_http_hype_target_scheme(p, last);
    if (p == NULL) {
        return NGX_DECLINED;
    }

    for (slashes = 0; p < last && *p == '/'; p++) {
        slashes++;
    }

    for (end = p; end < last && *end != '?'; end++) { /* void */ }

    if (end < last) {
        t->query.data = end + 1;
        t->query.len = last - end - 1;
    }

    if (slashes == 0) {
        return ngx_http_hype_target_relative(r, p, last, t);
    }

    if (slashes == 1) {
        t->path.data = p - 1;
        t->path.len = last - p + 1;
        return NGX_OK;
    }

    for (end = p; end < last && *end != '/' && *end != '?'; end++) {
        /* void */
    }

    ngx_http_hype_target_host(p, end, &host);

    /* browsers decode it */

    t->host.data = ngx_pnalloc(r->pool, host.len + 1);
    if (t->host.data == NULL) {
        return NGX_ERROR;
    }

    t->host.len = ngx_http_hype_unescape(t->host.data, &host);

    if (end < last && *end == '/') {
        t->path.data = end;
        t->path.len = last - end;

    } else {
        ngx_str_set(&t->path, "/");
    }

    return (t->host.len) ? NGX_OK : NGX_DECLINED;
}


/* behind "http:" or "https:", or where there is no scheme; else NULL */

static u_char *
ngx_http_hype_target_scheme(u_char *p, u_char *last)
{
    u_char  c, *colon;

    /* RFC 3986, 3.1; what has other characters before ":" is a path */

    for (colon = p; colon < last && *colon != ':'; colon++) {
        c = (u_char) (*colon | 0x20);

        if (c >= 'a' && c <= 'z') {
            continue;
        }

        if (colon > p
            && ((*colon >= '0' && *colon <= '9')
                || *colon == '+' || *colon == '-' || *colon == '.'))
        {
            continue;
        }

        return p;
    }

    if (colon == p || colon == last) {
        return p;
    }

    if ((colon - p == 4 && ngx_strncasecmp(p, (u_char *) "http", 4) == 0)
        || (colon - p == 5 && ngx_strncasecmp(p, (u_char *) "https", 5) == 0))
    {
        return colon + 1;
    }

    return NULL;
}


/* a query or fragment alone is of the URL that redirects there */

static ngx_int_t
ngx_http_hype_target_relative(ngx_http_request_t *r, u_char *p, u_char *last,
    ngx_http_hype_target_t *t)
{
    u_char     *end;
    ngx_str_t   base;

    if (p == last || *p == '?') {
        return NGX_OK;
    }

    /* there is no path in "http://host?args" */

    ngx_str_set(&base, "/");

    for (end = r->unparsed_uri.data;
         end < r->unparsed_uri.data + r->unparsed_uri.len
         && *end != '?' && *end != '#';
         end++)
    {
        if (*end == '/') {
            base.data = r->unparsed_uri.data;
            base.len = end + 1 - base.data;
        }
    }

    t->path.len = base.len + (last - p);

    t->path.data = ngx_pnalloc(r->pool, t->path.len);
    if (t->path.data == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(ngx_cpymem(t->path.data, base.data, base.len), p, last - p);

    return NGX_OK;
}


/* without credentials, port, and the dot at its end */

static void
ngx_http_hype_target_host(u_char *p, u_char *last, ngx_str_t *host)
{
    u_char  *at, *end;

    while ((at = ngx_strlchr(p, last, '@')) != NULL) {
        p = at + 1;
    }

    for (end = last; end > p && end[-1] >= '0' && end[-1] <= '9'; end--) {
        /* void */
    }

    if (end > p && end[-1] == ':') {
        last = end - 1;
    }

    if (last > p && last[-1] == '.') {
        last--;
    }

    host->data = p;
    host->len = last - p;
}


/*
 * "hlcf" is NULL if there is no such location, or the host is another's.
 * NGX_DECLINED: nginx would refuse such a path.
 */

static ngx_int_t
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

static ngx_int_t
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


static ngx_int_t
ngx_http_hype_target_strip(ngx_http_request_t *r, ngx_str_t *target,
    ngx_str_t *query, ngx_array_t *params)
{
    u_char     *p, *url, *last, *start, *end;
    size_t      len;
    ngx_str_t   value;

    if (params == NULL
        || ngx_http_hype_args_find(query, params->elts, params->nelts, &value)
           != NGX_OK)
    {
        return NGX_OK;
    }

    url = ngx_pnalloc(r->pool, target->len);
    if (url == NULL) {
        return NGX_ERROR;
    }

    start = query->data;
    end = start + query->len;
    last = target->data + target->len;

    p = ngx_cpymem(url, target->data, start - target->data);

    len = ngx_http_hype_args_remove(p, query, params->elts, params->nelts);

    /* there is no "?" for no arguments */

    p += len ? (ngx_int_t) len : -1;

    p = ngx_cpymem(p, end, last - end);

    target->data = url;
    target->len = p - url;

    return NGX_OK;
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
