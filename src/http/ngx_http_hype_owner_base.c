
#include "ngx_http_hype_owner.h"
#include "ngx_http_hype_visit.h"


static ngx_int_t ngx_http_hype_owner_host(ngx_http_request_t *r,
    ngx_http_core_loc_conf_t *clcf, ngx_str_t *host);
static in_port_t ngx_http_hype_owner_port(ngx_http_request_t *r,
    ngx_http_core_loc_conf_t *clcf);


/* as ngx_http_header_filter() makes "Location" absolute */

ngx_int_t
ngx_http_hype_owner_base(ngx_http_request_t *r,
    ngx_http_hype_loc_conf_t *hlcf, ngx_str_t *base)
{
    u_char                     *p;
    in_port_t                   port;
    ngx_str_t                   to, host;
    ngx_http_core_loc_conf_t   *clcf;

    if (ngx_http_hype_param_to(r, hlcf->links_to, "hype_links", &to)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    if (!clcf->absolute_redirect) {
        return ngx_http_hype_escape(r, &to, base);
    }

    if (ngx_http_hype_owner_host(r, clcf, &host) != NGX_OK) {
        return NGX_ERROR;
    }

    base->data = ngx_pnalloc(r->pool, sizeof("https://:65535") - 1 + host.len
                                      + to.len);
    if (base->data == NULL) {
        return NGX_ERROR;
    }

    p = ngx_sprintf(base->data, "%s://%V",
                    ngx_http_hype_is_tls(r) ? "https" : "http", &host);

    port = ngx_http_hype_owner_port(r, clcf);

    if (port) {
        p = ngx_sprintf(p, ":%ui", (ngx_uint_t) port);
    }

    p = ngx_cpymem(p, to.data, to.len);
    base->len = p - base->data;

    /* a client names the host as it likes: what it may not have is encoded */

    return ngx_http_hype_escape(r, base, base);
}


static ngx_int_t
ngx_http_hype_owner_host(ngx_http_request_t *r,
    ngx_http_core_loc_conf_t *clcf, ngx_str_t *host)
{
    ngx_http_core_srv_conf_t  *cscf;

    if (clcf->server_name_in_redirect) {
        cscf = ngx_http_get_module_srv_conf(r, ngx_http_core_module);
        *host = cscf->server_name;
        return NGX_OK;
    }

    if (r->headers_in.server.len) {
        *host = r->headers_in.server;
        return NGX_OK;
    }

    host->len = NGX_SOCKADDR_STRLEN;
    host->data = ngx_pnalloc(r->pool, NGX_SOCKADDR_STRLEN);

    if (host->data == NULL) {
        return NGX_ERROR;
    }

    return ngx_connection_local_sockaddr(r->connection, host, 0);
}


/* 0: none is to be named */

static in_port_t
ngx_http_hype_owner_port(ngx_http_request_t *r,
    ngx_http_core_loc_conf_t *clcf)
{
    in_port_t  port, usual;

    if (!clcf->port_in_redirect) {
        return 0;
    }

    usual = ngx_http_hype_is_tls(r) ? 443 : 80;
    port = ngx_inet_get_port(r->connection->local_sockaddr);

    return (port == usual) ? 0 : port;
}
