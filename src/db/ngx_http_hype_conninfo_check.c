
#include <ngx_config.h>
#include <ngx_core.h>
#include <netdb.h>
#include "ngx_http_hype_conninfo.h"


static ngx_uint_t ngx_http_hype_conninfo_each(ngx_pool_t *pool,
    const char *list, ngx_uint_t (*is)(const char *value));
static ngx_uint_t ngx_http_hype_conninfo_is_port(const char *value);
static ngx_uint_t ngx_http_hype_conninfo_is_addr(const char *value);
static ngx_uint_t ngx_http_hype_conninfo_value(const char *keyword,
    const char *value);


/* "Parameter Key Words" in libpq's manual */

static ngx_http_hype_conninfo_pair_t  ngx_http_hype_conninfo_allowed[] = {
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


ngx_int_t
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
    ngx_uint_t                       valid;
    const char                     **number;
    ngx_http_hype_conninfo_pair_t   *allowed;

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
