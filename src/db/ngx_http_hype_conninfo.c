
#include <ngx_config.h>
#include <ngx_core.h>
#include <netdb.h>
#include "ngx_http_hype_conninfo.h"


typedef struct {
    const char                      *keyword;
    const char                      *value;
} ngx_http_hype_conninfo_preset_t;


static ngx_int_t ngx_http_hype_conninfo_copy(ngx_conf_t *cf,
    PQconninfoOption *options, ngx_http_hype_conninfo_t *info,
    ngx_uint_t uri);
static PQconninfoOption *ngx_http_hype_conninfo_option(
    PQconninfoOption *options, const char *keyword);
static void ngx_http_hype_conninfo_environment(PQconninfoOption *options);
static ngx_int_t ngx_http_hype_conninfo_check(ngx_conf_t *cf,
    const char *keyword, const char *value, ngx_uint_t uri);
static ngx_uint_t ngx_http_hype_conninfo_each(ngx_pool_t *pool,
    const char *list, ngx_uint_t (*is)(const char *value));
static ngx_uint_t ngx_http_hype_conninfo_is_port(const char *value);
static ngx_uint_t ngx_http_hype_conninfo_is_addr(const char *value);
static ngx_uint_t ngx_http_hype_conninfo_value(const char *keyword,
    const char *value);
static ngx_int_t ngx_http_hype_conninfo_hosts(ngx_conf_t *cf,
    ngx_http_hype_conninfo_t *info);
static ngx_int_t ngx_http_hype_conninfo_hostaddr(ngx_conf_t *cf,
    ngx_http_hype_conninfo_t *info);
static ngx_int_t ngx_http_hype_conninfo_counts(ngx_conf_t *cf,
    ngx_http_hype_conninfo_t *info);
static char *ngx_http_hype_conninfo_dup(ngx_pool_t *pool, const char *s);
static char **ngx_http_hype_conninfo_split(ngx_pool_t *pool,
    const char *list, ngx_uint_t *n);
static void ngx_http_hype_conninfo_log(ngx_conf_t *cf, ngx_str_t *text,
    char *reason);


/*
 * The module's own parameters, before and behind those of the user: the last
 * one counts.  With these keepalives, a host that has disappeared is noticed
 * in 20 seconds.  With a Kerberos ticket libpq would ask the KDC for another
 * one, and block, although the connection is asynchronous.
 */

static ngx_http_hype_conninfo_preset_t  ngx_http_hype_conninfo_defaults[] = {
    { "fallback_application_name", "nginx hype" },
    { "keepalives_idle", "10" },
    { "keepalives_interval", "5" },
    { "keepalives_count", "2" },
    { "gssencmode", "disable" },
    { NULL, NULL }
};

static ngx_http_hype_conninfo_preset_t  ngx_http_hype_conninfo_forced[] = {
    { "client_encoding", "UTF8" },
    { NULL, NULL }
};


/* "Parameter Key Words" in libpq's manual */

static ngx_http_hype_conninfo_preset_t  ngx_http_hype_conninfo_allowed[] = {
    { "sslmode", "disable" },
    { "sslmode", "allow" },
    { "sslmode", "prefer" },
    { "sslmode", "require" },
    { "sslmode", "verify-ca" },
    { "sslmode", "verify-full" },
    { "target_session_attrs", "any" },
    { "target_session_attrs", "read-write" },
    { "target_session_attrs", "read-only" },
    { "target_session_attrs", "primary" },
    { "target_session_attrs", "standby" },
    { "target_session_attrs", "prefer-standby" },
    { "channel_binding", "disable" },
    { "channel_binding", "prefer" },
    { "channel_binding", "require" },
    { "gssencmode", "disable" },
    { "gssencmode", "prefer" },
    { "gssencmode", "require" },
    { NULL, NULL }
};

static const char  *ngx_http_hype_conninfo_numbers[] = {
    "connect_timeout",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_count",
    "tcp_user_timeout",
    NULL
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
    ngx_uint_t                        n;
    PQconninfoOption                 *o;
    ngx_http_hype_conninfo_preset_t  *preset;

    for (n = 0, o = options; o->keyword; o++) {
        n++;
    }

    /* the presets with their ends, host, hostaddr, and port */

    n += (sizeof(ngx_http_hype_conninfo_defaults)
          + sizeof(ngx_http_hype_conninfo_forced))
         / sizeof(ngx_http_hype_conninfo_preset_t) + 3;

    info->keywords = ngx_pcalloc(cf->pool, n * sizeof(char *));
    info->values = ngx_pcalloc(cf->pool, n * sizeof(char *));
    if (info->keywords == NULL || info->values == NULL) {
        return NGX_ERROR;
    }

    info->host = 0;
    info->hostaddr = 1;
    info->port = 2;
    info->keywords[0] = "host";
    info->keywords[1] = "hostaddr";
    info->keywords[2] = "port";
    n = 3;

    ngx_http_hype_conninfo_environment(options);

    for (preset = ngx_http_hype_conninfo_defaults; preset->keyword; preset++)
    {
        if (ngx_http_hype_conninfo_option(options, preset->keyword) == NULL) {

            /* an older libpq */

            continue;
        }

        info->keywords[n] = preset->keyword;
        info->values[n++] = preset->value;
    }

    for (o = options; o->keyword; o++) {

        if (o->val == NULL) {
            continue;
        }

        if (ngx_strcmp(o->keyword, "service") == 0) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"hype_database\" does not support "
                               "\"service\" in a conninfo, as the names in "
                               "a service file can't be resolved without "
                               "blocking: name the host");
            return NGX_ERROR;
        }

        if (ngx_http_hype_conninfo_check(cf, o->keyword, o->val, uri)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        info->keywords[n] = ngx_http_hype_conninfo_dup(cf->pool, o->keyword);
        info->values[n] = ngx_http_hype_conninfo_dup(cf->pool, o->val);

        if (info->keywords[n] == NULL || info->values[n] == NULL) {
            return NGX_ERROR;
        }

        if (ngx_strcmp(o->keyword, "gssencmode") == 0) {
            info->blocking = (ngx_strcmp(o->val, "disable") != 0);
        }

        if (ngx_strcmp(o->keyword, "host") == 0) {
            info->values[info->host] = info->values[n];

        } else if (ngx_strcmp(o->keyword, "hostaddr") == 0) {
            info->values[info->hostaddr] = info->values[n];

        } else if (ngx_strcmp(o->keyword, "port") == 0) {
            info->values[info->port] = info->values[n];

        } else {
            n++;
        }
    }

    for (preset = ngx_http_hype_conninfo_forced; preset->keyword; preset++) {
        info->keywords[n] = preset->keyword;
        info->values[n++] = preset->value;
    }

    info->keywords[n] = NULL;
    info->values[n] = NULL;

    return ngx_http_hype_conninfo_hosts(cf, info);
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


/*
 * PQconninfoParse() checks names, but libpq checks values only when it
 * connects
 */

static ngx_int_t
ngx_http_hype_conninfo_check(ngx_conf_t *cf, const char *keyword,
    const char *value, ngx_uint_t uri)
{
    ngx_uint_t  valid, secret;

    if (ngx_strcmp(keyword, "port") == 0) {
        valid = ngx_http_hype_conninfo_each(cf->temp_pool, value,
                                            ngx_http_hype_conninfo_is_port);

    } else if (ngx_strcmp(keyword, "hostaddr") == 0) {
        valid = ngx_http_hype_conninfo_each(cf->temp_pool, value,
                                            ngx_http_hype_conninfo_is_addr);

    } else {
        valid = ngx_http_hype_conninfo_value(keyword, value);
    }

    /* "dbname= password=secret": it is what follows the space */

    secret = (ngx_strstr(keyword, "password") == NULL
              && (ngx_strstr(value, "password=") || ngx_strstr(value, "://")));

    if (valid && !secret) {
        return NGX_OK;
    }

    if (uri || secret) {

        /* "user:p/w@host" has a host "user" and a port "p" */

        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid value of \"%s\" in the conninfo of "
                           "\"hype_database\"", keyword);

    } else {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid value \"%s\" of \"%s\" in the conninfo "
                           "of \"hype_database\"", value, keyword);
    }

    return NGX_ERROR;
}


/*
 * whether all items of a list are valid; an empty item stands for the default
 */

static ngx_uint_t
ngx_http_hype_conninfo_each(ngx_pool_t *pool, const char *list,
    ngx_uint_t (*is)(const char *value))
{
    char        **values;
    ngx_uint_t    i, n;

    values = ngx_http_hype_conninfo_split(pool, list, &n);
    if (values == NULL) {
        return 0;
    }

    for (i = 0; i < n; i++) {
        if (*values[i] && !is(values[i])) {
            return 0;
        }
    }

    return 1;
}


static ngx_uint_t
ngx_http_hype_conninfo_is_port(const char *value)
{
    ngx_int_t  port;

    port = ngx_atoi((u_char *) value, ngx_strlen(value));

    return port >= 1 && port <= 65535;
}


static ngx_uint_t
ngx_http_hype_conninfo_is_addr(const char *value)
{
    struct addrinfo  hints, *res;

    ngx_memzero(&hints, sizeof(struct addrinfo));

    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_NUMERICHOST;

    if (getaddrinfo(value, NULL, &hints, &res) != 0) {
        return 0;
    }

    freeaddrinfo(res);

    return 1;
}


static ngx_uint_t
ngx_http_hype_conninfo_value(const char *keyword, const char *value)
{
    ngx_uint_t                         valid;
    const char                       **number;
    ngx_http_hype_conninfo_preset_t   *allowed;

    for (number = ngx_http_hype_conninfo_numbers; *number; number++) {
        if (ngx_strcmp(keyword, *number) == 0) {
            value += (*value == '-');

            return ngx_atoi((u_char *) value, ngx_strlen(value)) != NGX_ERROR;
        }
    }

    valid = 1;

    for (allowed = ngx_http_hype_conninfo_allowed;
         allowed->keyword;
         allowed++)
    {
        if (ngx_strcmp(keyword, allowed->keyword) != 0) {
            continue;
        }

        if (ngx_strcmp(value, allowed->value) == 0) {
            return 1;
        }

        valid = 0;
    }

    return valid;
}


static ngx_int_t
ngx_http_hype_conninfo_hosts(ngx_conf_t *cf, ngx_http_hype_conninfo_t *info)
{
    char        **ports;
    ngx_uint_t    i, nports;

    /* host, hostaddr and port */

    for (i = 0; i < 3; i++) {
        if (info->values[i] && *info->values[i] == '\0') {
            info->values[i] = NULL;
        }
    }

    if (ngx_http_hype_conninfo_counts(cf, info) != NGX_OK) {
        return NGX_ERROR;
    }

    if (info->values[info->host] == NULL) {

        /* a Unix domain socket, or addresses: nothing to resolve */

        return NGX_OK;
    }

    info->hosts = ngx_http_hype_conninfo_split(cf->pool,
                                               info->values[info->host],
                                               &info->nhosts);
    if (info->hosts == NULL) {
        return NGX_ERROR;
    }

    if (info->values[info->hostaddr]) {
        return ngx_http_hype_conninfo_hostaddr(cf, info);
    }

    for (i = 0; i < info->nhosts; i++) {
        if (!ngx_http_hype_conninfo_literal(info->hosts[i])) {
            info->resolve = 1;
        }
    }

    info->ports = ngx_pcalloc(cf->pool, info->nhosts * sizeof(char *));
    if (info->ports == NULL) {
        return NGX_ERROR;
    }

    if (info->values[info->port] == NULL) {
        return NGX_OK;
    }

    ports = ngx_http_hype_conninfo_split(cf->pool, info->values[info->port],
                                         &nports);
    if (ports == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < info->nhosts; i++) {
        info->ports[i] = ports[nports == 1 ? 0 : i];

        if (*info->ports[i] == '\0') {
            info->ports[i] = NULL;
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
                                         info->values[info->hostaddr], &n);
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
    ngx_uint_t  hosts, addrs, ports;

    hosts = ngx_http_hype_conninfo_count(info->values[info->host]);
    addrs = ngx_http_hype_conninfo_count(info->values[info->hostaddr]);
    ports = ngx_http_hype_conninfo_count(info->values[info->port]);

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


static char **
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


/* an address, a Unix domain socket (a path or "@"), or libpq's default */

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
