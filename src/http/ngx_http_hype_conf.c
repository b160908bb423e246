
#include "ngx_http_hype_conf.h"


/* as ngx_conf_set_enum_slot(), but the error names the directive, too */

char *
ngx_http_hype_conf_enum(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    char *p = conf;

    ngx_str_t   *value;
    ngx_uint_t  *np;

    np = (ngx_uint_t *) (p + cmd->offset);

    if (*np != NGX_CONF_UNSET_UINT) {
        return "is duplicate";
    }

    value = cf->args->elts;

    return ngx_http_hype_conf_enum_value(cf, cmd->post, &value[1], &value[1],
                                         np);
}


/* "value" is all or a part of the directive's argument */

char *
ngx_http_hype_conf_enum_value(ngx_conf_t *cf, ngx_conf_enum_t *e,
    ngx_str_t *argument, ngx_str_t *value, ngx_uint_t *result)
{
    u_char            *p, expected[64];
    ngx_conf_enum_t   *start;

    start = e;
    p = expected;

    for ( /* void */ ; e->name.len; e++) {
        if (e->name.len == value->len
            && ngx_strncmp(e->name.data, value->data, value->len) == 0)
        {
            *result = e->value;
            return NGX_CONF_OK;
        }

        p = ngx_slprintf(p, expected + sizeof(expected) - 1, "%s\"%V\"",
                         (e == start) ? "" : (e[1].name.len) ? ", " : " or ",
                         &e->name);
    }

    ngx_slprintf(p, expected + sizeof(expected), " is expected%Z");

    return ngx_http_hype_conf_invalid(cf, argument, (char *) expected);
}


ngx_http_complex_value_t *
ngx_http_hype_conf_compile(ngx_conf_t *cf, ngx_str_t *value)
{
    ngx_http_complex_value_t          *cv;
    ngx_http_compile_complex_value_t   ccv;

    cv = ngx_palloc(cf->pool, sizeof(ngx_http_complex_value_t));
    if (cv == NULL) {
        return NULL;
    }

    ngx_memzero(&ccv, sizeof(ngx_http_compile_complex_value_t));

    ccv.cf = cf;
    ccv.value = value;
    ccv.complex_value = cv;

    if (ngx_http_hype_conf_note_variables(cf) != NGX_OK) {
        return NULL;
    }

    return (ngx_http_compile_complex_value(&ccv) == NGX_OK) ? cv : NULL;
}


char *
ngx_http_hype_conf_invalid(ngx_conf_t *cf, ngx_str_t *value, const char *reason)
{
    ngx_str_t  *name;

    name = cf->args->elts;

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "invalid value \"%V\" in \"%V\": %s", value, name,
                       reason);

    return NGX_CONF_ERROR;
}


/* RFC 9110, 5.6.2; "$" is a variable that can't be there */

ngx_uint_t
ngx_http_hype_conf_is_token(ngx_str_t *value)
{
    size_t  i;
    u_char  c;

    for (i = 0; i < value->len; i++) {
        c = value->data[i];

        if ((c < '0' || c > '9')
            && ((c | 0x20) < 'a' || (c | 0x20) > 'z')
            && !(c && ngx_strchr("!#%'*+-.^_`|~", c)))
        {
            return 0;
        }
    }

    return value->len != 0;
}


ngx_uint_t
ngx_http_hype_conf_has_prefix(ngx_str_t *value, const char *prefix,
    ngx_str_t *rest)
{
    size_t  len;

    len = ngx_strlen(prefix);

    if (ngx_strncmp(value->data, prefix, len) != 0) {
        return 0;
    }

    rest->data = value->data + len;
    rest->len = value->len - len;

    return 1;
}


void
ngx_http_hype_conf_needs_database(ngx_conf_t *cf, const char *name)
{
    ngx_http_hype_main_conf_t  *hmcf;

    hmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_hype_module);

    hmcf->needs = name;
    hmcf->needs_file = cf->conf_file->file.name.data;
    hmcf->needs_line = cf->conf_file->line;
}
