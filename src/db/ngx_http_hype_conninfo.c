
#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_http_hype_conninfo.h"


static ngx_int_t ngx_http_hype_conninfo_copy(ngx_conf_t *cf,
    PQconninfoOption *options, ngx_http_hype_conninfo_t *info,
    ngx_uint_t uri);
static ngx_uint_t ngx_http_hype_conninfo_presets(
    ngx_http_hype_conninfo_t *info, ngx_uint_t n, PQconninfoOption *options,
    ngx_http_hype_conninfo_pair_t *preset);
static ngx_int_t ngx_http_hype_conninfo_set(ngx_conf_t *cf,
    PQconninfoOption *o, ngx_http_hype_conninfo_t *info, ngx_uint_t n,
    ngx_uint_t uri);
static PQconninfoOption *ngx_http_hype_conninfo_option(
    PQconninfoOption *options, const char *keyword);
static void ngx_http_hype_conninfo_environment(PQconninfoOption *options);
static ngx_int_t ngx_http_hype_conninfo_hosts(ngx_conf_t *cf,
    ngx_http_hype_conninfo_t *info);
static ngx_int_t ngx_http_hype_conninfo_hostaddr(ngx_conf_t *cf,
    ngx_http_hype_conninfo_t *info);
static ngx_int_t ngx_http_hype_conninfo_counts(ngx_conf_t *cf,
    ngx_http_hype_conninfo_t *info);
static char *ngx_http_hype_conninfo_dup(ngx_pool_t *pool, const char *s);
static void ngx_http_hype_conninfo_log(ngx_conf_t *cf, ngx_str_t *text,
    char *reason);


/*
 * The module's own parameters, before and behind those of the user: the last
 * one counts.  With these keepalives, a host that has disappeared is noticed
 * in 20 seconds.  With a Kerberos ticket libpq would ask the KDC for another
 * one, and block, although the connection is asynchronous.
 */

static ngx_http_hype_conninfo_pair_t  ngx_http_hype_conninfo_defaults[] = {
    { "fallback_application_name", "nginx hype" },
    { "keepalives_idle", "10" },
    { "keepalives_interval", "5" },
    { "keepalives_count", "2" },
    { "gssencmode", "disable" },
    { NULL, NULL }
};

static ngx_http_hype_conninfo_pair_t  ngx_http_hype_conninfo_forced[] = {
    { "client_encoding", "UTF8" },
    { NULL, NULL }
};


char *
ngx_http_hype_conninfo_parse(ngx_conf_t *cf, ngx_str_t *text,
    ngx_http_hype_conninfo_t *info)
{
    char              *error;
    ngx_int_t          rc;
    PQconninfoOption  *options;

    error = NULL;

    /* a directive's value ends with a zero */
    options = PQconninfoParse((char *) text->data, &error);

    if (options == NULL) {
        ngx_http_hype_conninfo_log(cf, text, error);
        PQfreemem(error);
        return NGX_CONF_ERROR;
    }

    rc = ngx_http_hype_conninfo_copy(cf, options, info,
                               ngx_strnstr(text->data, "://", text->len)
                               != NULL);

    PQconninfoFree(options);

    return (rc == NGX_OK) ? NGX_CONF_OK : NGX_CONF_ERROR;
}


static ngx_int_t
ngx_http_hype_conninfo_copy(ngx_conf_t *cf, PQconninfoOption *options,
    ngx_http_hype_conninfo_t *info, ngx_uint_t uri)
{
    ngx_uint_t         n;
    PQconninfoOption  *o;

    for (n = 0, o = options; o->keyword; o++) {
        n++;
    }

    /* the presets with their ends, and the lists */

    n += (sizeof(ngx_http_hype_conninfo_defaults)
          + sizeof(ngx_http_hype_conninfo_forced))
         / sizeof(ngx_http_hype_conninfo_pair_t)
         + NGX_HTTP_HYPE_CONNINFO_LISTS;

    info->keywords = ngx_pcalloc(cf->pool, n * sizeof(char *));
    info->values = ngx_pcalloc(cf->pool, n * sizeof(char *));
    if (info->keywords == NULL || info->values == NULL) {
        return NGX_ERROR;
    }

    info->keywords[NGX_HTTP_HYPE_CONNINFO_HOST] = "host";
    info->keywords[NGX_HTTP_HYPE_CONNINFO_HOSTADDR] = "hostaddr";
    info->keywords[NGX_HTTP_HYPE_CONNINFO_PORT] = "port";

    ngx_http_hype_conninfo_environment(options);

    n = ngx_http_hype_conninfo_presets(info, NGX_HTTP_HYPE_CONNINFO_LISTS,
                                       options,
                                       ngx_http_hype_conninfo_defaults);

    for (o = options; o->keyword; o++) {

        if (o->val == NULL) {
            continue;
        }

        if (ngx_http_hype_conninfo_set(cf, o, info, n, uri) != NGX_OK) {
            return NGX_ERROR;
        }

        n += (info->keywords[n] != NULL);
    }

    (void) ngx_http_hype_conninfo_presets(info, n, options,
                                          ngx_http_hype_conninfo_forced);

    return ngx_http_hype_conninfo_hosts(cf, info);
}


/* adds them as number "n" and so on; returns the next number */

static ngx_uint_t
ngx_http_hype_conninfo_presets(ngx_http_hype_conninfo_t *info, ngx_uint_t n,
    PQconninfoOption *options, ngx_http_hype_conninfo_pair_t *preset)
{
    for ( /* void */ ; preset->keyword; preset++) {

        /* an older libpq may lack it */

        if (ngx_http_hype_conninfo_option(options, preset->keyword)) {
            info->keywords[n] = preset->keyword;
            info->values[n++] = preset->value;
        }
    }

    return n;
}


/* adds a parameter of the user's as number "n", or in the place of its list */

static ngx_int_t
ngx_http_hype_conninfo_set(ngx_conf_t *cf, PQconninfoOption *o,
    ngx_http_hype_conninfo_t *info, ngx_uint_t n, ngx_uint_t uri)
{
    char        *value;
    ngx_uint_t   i;

    if (ngx_strcmp(o->keyword, "service") == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"hype_database\" does not support \"service\" "
                           "in a conninfo, as the names in a service file "
                           "can't be resolved without blocking: name the "
                           "host");
        return NGX_ERROR;
    }

    if (ngx_http_hype_conninfo_check(cf, o->keyword, o->val, uri) != NGX_OK) {
        return NGX_ERROR;
    }

    if (ngx_strcmp(o->keyword, "gssencmode") == 0) {
        info->blocking = (ngx_strcmp(o->val, "disable") != 0);
    }

    value = ngx_http_hype_conninfo_dup(cf->pool, o->val);
    if (value == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < NGX_HTTP_HYPE_CONNINFO_LISTS; i++) {
        if (ngx_strcmp(o->keyword, info->keywords[i]) == 0) {
            info->values[i] = value;
            return NGX_OK;
        }
    }

    info->keywords[n] = ngx_http_hype_conninfo_dup(cf->pool, o->keyword);
    info->values[n] = value;

    return info->keywords[n] ? NGX_OK : NGX_ERROR;
}


static PQconninfoOption *
ngx_http_hype_conninfo_option(PQconninfoOption *options, const char *keyword)
{
    PQconninfoOption  *o;

    for (o = options; o->keyword; o++) {
        if (ngx_strcmp(o->keyword, keyword) == 0) {
            return o;
        }
    }

    return NULL;
}


/*
 * libpq takes from the environment what is not in the conninfo.  This
 * parameter has to be known here, and the module's default must not hide it.
 */

static void
ngx_http_hype_conninfo_environment(PQconninfoOption *options)
{
    char              *value;
    PQconninfoOption  *o;

    o = ngx_http_hype_conninfo_option(options, "gssencmode");

    if (o == NULL || o->val || o->envvar == NULL) {
        return;
    }

    value = getenv(o->envvar);

    if (value && *value) {
        o->val = strdup(value);    /* PQconninfoFree() frees it */
    }
}


static ngx_int_t
ngx_http_hype_conninfo_hosts(ngx_conf_t *cf, ngx_http_hype_conninfo_t *info)
{
    char        **ports;
    ngx_uint_t    i, n;
    const char   *list;

    for (i = 0; i < NGX_HTTP_HYPE_CONNINFO_LISTS; i++) {
        if (info->values[i] && *info->values[i] == '\0') {
            info->values[i] = NULL;
        }
    }

    if (ngx_http_hype_conninfo_counts(cf, info) != NGX_OK) {
        return NGX_ERROR;
    }

    list = info->values[NGX_HTTP_HYPE_CONNINFO_HOST];

    if (list == NULL) {

        /* a Unix domain socket, or addresses: nothing to resolve */

        return NGX_OK;
    }

    info->hosts = ngx_http_hype_conninfo_split(cf->pool, list, &info->nhosts);
    if (info->hosts == NULL) {
        return NGX_ERROR;
    }

    if (info->values[NGX_HTTP_HYPE_CONNINFO_HOSTADDR]) {
        return ngx_http_hype_conninfo_hostaddr(cf, info);
    }

    list = info->values[NGX_HTTP_HYPE_CONNINFO_PORT];

    ports = ngx_http_hype_conninfo_split(cf->pool, list ? list : "", &n);
    info->ports = ngx_palloc(cf->pool, info->nhosts * sizeof(char *));

    if (ports == NULL || info->ports == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < info->nhosts; i++) {
        info->ports[i] = ports[n == 1 ? 0 : i];

        if (!ngx_http_hype_conninfo_literal(info->hosts[i])) {
            info->resolve = 1;
        }
    }

    return NGX_OK;
}


/* libpq would resolve the name of a host without an address itself */

static ngx_int_t
ngx_http_hype_conninfo_hostaddr(ngx_conf_t *cf,
    ngx_http_hype_conninfo_t *info)
{
    char        **addrs;
    ngx_uint_t    i, n;

    addrs = ngx_http_hype_conninfo_split(cf->temp_pool,
                            info->values[NGX_HTTP_HYPE_CONNINFO_HOSTADDR], &n);
    if (addrs == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < n; i++) {
        if (*addrs[i] == '\0'
            && !ngx_http_hype_conninfo_literal(info->hosts[i]))
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"hype_database\" has no address for host "
                               "\"%s\"", info->hosts[i]);
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/* either one port for all hosts, or one for each */

static ngx_int_t
ngx_http_hype_conninfo_counts(ngx_conf_t *cf, ngx_http_hype_conninfo_t *info)
{
    ngx_uint_t  i, hosts, addrs, ports, n[NGX_HTTP_HYPE_CONNINFO_LISTS];

    for (i = 0; i < NGX_HTTP_HYPE_CONNINFO_LISTS; i++) {
        n[i] = ngx_http_hype_conninfo_count(info->values[i]);
    }

    hosts = n[NGX_HTTP_HYPE_CONNINFO_HOST];
    addrs = n[NGX_HTTP_HYPE_CONNINFO_HOSTADDR];
    ports = n[NGX_HTTP_HYPE_CONNINFO_PORT];

    if (hosts && addrs && hosts != addrs) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"hype_database\" has %ui addresses for %ui "
                           "hosts", addrs, hosts);
        return NGX_ERROR;
    }

    hosts = ngx_max(ngx_max(hosts, addrs), 1);

    if (ports > 1 && ports != hosts) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"hype_database\" has %ui ports for %ui hosts",
                           ports, hosts);
        return NGX_ERROR;
    }

    return NGX_OK;
}


ngx_uint_t
ngx_http_hype_conninfo_count(const char *list)
{
    ngx_uint_t  n;

    if (list == NULL) {
        return 0;
    }

    for (n = 1; *list; list++) {
        n += (*list == ',');
    }

    return n;
}


static char *
ngx_http_hype_conninfo_dup(ngx_pool_t *pool, const char *s)
{
    char    *p;
    size_t   len;

    len = ngx_strlen(s) + 1;

    p = ngx_pnalloc(pool, len);
    if (p == NULL) {
        return NULL;
    }

    ngx_memcpy(p, s, len);

    return p;
}


char **
ngx_http_hype_conninfo_split(ngx_pool_t *pool, const char *list,
    ngx_uint_t *n)
{
    char        *p, **items;
    ngx_uint_t   i;

    p = ngx_http_hype_conninfo_dup(pool, list);
    if (p == NULL) {
        return NULL;
    }

    for (*n = 1, i = 0; p[i]; i++) {
        if (p[i] == ',') {
            p[i] = '\0';
            (*n)++;
        }
    }

    items = ngx_palloc(pool, *n * sizeof(char *));
    if (items == NULL) {
        return NULL;
    }

    for (i = 0; i < *n; i++) {
        items[i] = p;
        p += ngx_strlen(p) + 1;
    }

    return items;
}


ngx_uint_t
ngx_http_hype_conninfo_literal(const char *host)
{
    u_char            ipv6[16];
    struct in_addr    addr;

    if (host[0] == '/' || host[0] == '@' || host[0] == '\0') {
        return 1;
    }

    return inet_aton(host, &addr)
           || ngx_inet6_addr((u_char *) host, ngx_strlen(host), ipv6)
              == NGX_OK;
}


static void
ngx_http_hype_conninfo_log(ngx_conf_t *cf, ngx_str_t *text, char *reason)
{
    u_char  *p;
    size_t   len;

    /*
     * The text is never shown, as it may hold a password, maybe by a mistyped
     * name.  libpq quotes the word that it did not understand, and that may be
     * the rest of a password, too.
     */

    if (reason == NULL
        || ngx_strlcasestrn(text->data, text->data + text->len,
                            (u_char *) "pass", 4 - 1)
        || ngx_strnstr(text->data, "://", text->len))
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid conninfo in \"hype_database\" (not shown, "
                           "as it may contain a password); check it with psql");
        return;
    }

    len = ngx_strlen(reason);

    for (p = (u_char *) reason + len; len && *(p - 1) == LF; p--) {
        len--;
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "invalid conninfo in \"hype_database\": %*s",
                       len, reason);
}
