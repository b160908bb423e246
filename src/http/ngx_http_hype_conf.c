
#include "ngx_http_hype_conf.h"


/* bytes of what lists the words of an ngx_conf_enum_t */
#define NGX_HTTP_HYPE_CONF_WORDS  128


/* as ngx_conf_set_enum_slot(), but the error names the directive, too */

char *
ngx_http_hype_conf_enum(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    char *p = conf;

    char        *reason;
    ngx_str_t   *value;
    ngx_uint_t  *np;

    np = (ngx_uint_t *) (p + cmd->offset);

    if (*np != NGX_CONF_UNSET_UINT) {
        return "is duplicate";
    }

    value = cf->args->elts;

    reason = ngx_http_hype_conf_word(cf, cmd->post, &value[1], np);

    return reason ? ngx_http_hype_conf_invalid(cf, &value[1], reason)
                  : NGX_CONF_OK;
}


char *
ngx_http_hype_conf_word(ngx_conf_t *cf, ngx_conf_enum_t *e, ngx_str_t *value,
    ngx_uint_t *result)
{
    u_char           *p, *expected, *last;
    ngx_conf_enum_t  *start;

    expected = ngx_pnalloc(cf->temp_pool, NGX_HTTP_HYPE_CONF_WORDS);
    if (expected == NULL) {
        return "memory ran out";
    }

    start = e;
    p = expected;
    last = expected + NGX_HTTP_HYPE_CONF_WORDS;

    for ( /* void */ ; e->name.len; e++) {
        if (e->name.len == value->len
            && ngx_strncmp(e->name.data, value->data, value->len) == 0)
        {
            *result = e->value;
            return NULL;
        }

        p = ngx_slprintf(p, last, "%s\"%V\"",
                         (e == start) ? "" : (e[1].name.len) ? ", " : " or ",
                         &e->name);
    }

    ngx_slprintf(p, last, " is expected%Z");

    return (char *) expected;
}


char *
ngx_http_hype_conf_params(ngx_conf_t *cf, ngx_uint_t n,
    ngx_http_hype_conf_param_t *params, void *conf)
{
    char        *rc;
    ngx_str_t   *value;
    ngx_uint_t   seen;

    value = cf->args->elts;
    seen = 0;

    for ( /* void */ ; n < cf->args->nelts; n++) {
        rc = ngx_http_hype_conf_param(cf, &value[n], params,
                           ngx_http_hype_conf_find_param(params, &value[n]),
                           conf, &seen);
        if (rc != NGX_CONF_OK) {
            return rc;
        }
    }

    return NGX_CONF_OK;
}


ngx_http_hype_conf_param_t *
ngx_http_hype_conf_find_param(ngx_http_hype_conf_param_t *params,
    ngx_str_t *argument)
{
    ngx_str_t                   *name;
    ngx_http_hype_conf_param_t  *param;

    for (param = params; param->name.len; param++) {
        name = &param->name;

        if (name->len <= argument->len
            && ngx_strncmp(name->data, argument->data, name->len) == 0
            && (name->len == argument->len
                || name->data[name->len - 1] == '='))
        {
            break;
        }
    }

    return param;
}


char *
ngx_http_hype_conf_param(ngx_conf_t *cf, ngx_str_t *argument,
    ngx_http_hype_conf_param_t *params, ngx_http_hype_conf_param_t *param,
    void *conf, ngx_uint_t *seen)
{
    char                        *rc;
    ngx_str_t                    value;
    ngx_http_hype_conf_param_t  *p;

    if (param->name.len == 0) {
        return ngx_http_hype_conf_invalid(cf, argument, param->post);
    }

    /* a field may have several words, such as "secure" and "nosecure" */

    for (p = params; p->name.len; p++) {
        if (p->offset == param->offset
            && *seen & ((ngx_uint_t) 1 << (p - params)))
        {
            return ngx_http_hype_conf_invalid(cf, argument,
                                              "duplicate parameter");
        }
    }

    *seen |= (ngx_uint_t) 1 << (param - params);

    value.data = argument->data + param->name.len;
    value.len = argument->len - param->name.len;

    rc = param->set(cf, &value, (u_char *) conf + param->offset, param->post);

    if (rc == NGX_CONF_OK) {
        return NGX_CONF_OK;
    }

    if (rc == NGX_CONF_ERROR) {
        return NGX_CONF_ERROR;
    }

    return ngx_http_hype_conf_invalid(cf, argument, rc);
}


char *
ngx_http_hype_conf_param_flag(ngx_conf_t *cf, ngx_str_t *value, void *field,
    void *post)
{
    *(ngx_uint_t *) field = (ngx_uint_t) (uintptr_t) post;

    return NGX_CONF_OK;
}


char *
ngx_http_hype_conf_param_enum(ngx_conf_t *cf, ngx_str_t *value, void *field,
    void *post)
{
    return ngx_http_hype_conf_word(cf, post, value, field);
}


char *
ngx_http_hype_conf_param_msec(ngx_conf_t *cf, ngx_str_t *value, void *field,
    void *post)
{
    ngx_msec_t *msec = field;

    *msec = ngx_parse_time(value, 0);

    if (post) {
        return (*msec == (ngx_msec_t) NGX_ERROR) ? post : NGX_CONF_OK;
    }

    return (*msec == (ngx_msec_t) NGX_ERROR || *msec == 0)
           ? "a time above 0 is expected" : NGX_CONF_OK;
}


char *
ngx_http_hype_conf_param_value(ngx_conf_t *cf, ngx_str_t *value, void *field,
    void *post)
{
    ngx_http_complex_value_t **cv = field;

    *cv = ngx_http_hype_conf_compile(cf, value);

    return *cv ? NGX_CONF_OK : NGX_CONF_ERROR;
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


void
ngx_http_hype_conf_needs_database(ngx_conf_t *cf)
{
    ngx_str_t                  *name;
    ngx_http_hype_main_conf_t  *hmcf;

    name = cf->args->elts;
    hmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_hype_module);

    hmcf->needs = name->data;
    hmcf->needs_file = cf->conf_file->file.name.data;
    hmcf->needs_line = cf->conf_file->line;
}
