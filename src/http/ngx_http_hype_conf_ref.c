
#include "ngx_http_hype_conf.h"


#define NGX_HTTP_HYPE_CONF_NO_ARGUMENT  "it can't be an argument's name"


static char *ngx_http_hype_conf_names(ngx_conf_t *cf, ngx_array_t **names,
    ngx_http_hype_conf_param_t *params, void *conf);
static ngx_uint_t ngx_http_hype_conf_is_host(ngx_conf_t *cf,
    ngx_str_t *value);


static ngx_conf_enum_t  ngx_http_hype_mode[] = {
    { ngx_string("redirect"), NGX_HTTP_HYPE_REDIRECT },
    { ngx_string("direct"), NGX_HTTP_HYPE_DIRECT },
    { ngx_string("inline"), NGX_HTTP_HYPE_INLINE },
    { ngx_null_string, 0 }
};


static ngx_http_hype_conf_param_t  ngx_http_hype_ref_params[] = {

    { ngx_string("mode="),
      ngx_http_hype_conf_param_enum,
      offsetof(ngx_http_hype_loc_conf_t, mode),
      ngx_http_hype_mode },

    { ngx_string("to="),
      ngx_http_hype_conf_param_path,
      offsetof(ngx_http_hype_loc_conf_t, to), NULL },

    { ngx_null_string, NULL, 0, NULL }
};


char *
ngx_http_hype_conf_ref(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_hype_loc_conf_t *hlcf = conf;

    ngx_str_t                 *value;
    ngx_http_core_loc_conf_t  *clcf;

    if (hlcf->ref != NGX_CONF_UNSET) {
        return "is duplicate";
    }

    hlcf->ref = 1;

    ngx_http_hype_conf_needs_database(cf);

    value = cf->args->elts;

    if (cf->args->nelts == 2) {

        if (value[1].len == 0) {
            return ngx_http_hype_conf_invalid(cf, &value[1],
                                              "an identifier is expected");
        }

        hlcf->identifier = ngx_http_hype_conf_compile(cf, &value[1]);
        return hlcf->identifier ? NGX_CONF_OK : NGX_CONF_ERROR;
    }

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (clcf->noname || clcf->named || clcf->exact_match
#if (NGX_PCRE)
        || clcf->regex
#endif
        )
    {
        return "needs an identifier, such as \"$1\", in a location that is "
               "not a prefix";
    }

    hlcf->prefix = clcf->name;

    return NGX_CONF_OK;
}


char *
ngx_http_hype_conf_ref_param(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_hype_loc_conf_t *hlcf = conf;

    char  *rc;

    rc = ngx_http_hype_conf_names(cf, &hlcf->params, ngx_http_hype_ref_params,
                                  hlcf);

    if (rc != NGX_CONF_OK || hlcf->params == NULL) {
        return rc;
    }

    ngx_http_hype_conf_needs_database(cf);

    if (hlcf->params->nelts == 0) {
        return "needs the name of an argument";
    }

    if (hlcf->mode == NGX_CONF_UNSET_UINT) {
        hlcf->mode = NGX_HTTP_HYPE_REDIRECT;
    }

    if (hlcf->to && hlcf->mode == NGX_HTTP_HYPE_INLINE) {
        return "with \"mode=inline\" does not redirect, and can't have "
               "\"to=\"";
    }

    return NGX_CONF_OK;
}


/* "off", or names of arguments, and parameters between them */

static char *
ngx_http_hype_conf_names(ngx_conf_t *cf, ngx_array_t **names,
    ngx_http_hype_conf_param_t *params, void *conf)
{
    char                        *rc;
    ngx_str_t                   *value, *name;
    ngx_uint_t                   i, seen;
    ngx_http_hype_conf_param_t  *param;

    if (*names != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ngx_strcmp(value[1].data, "off") == 0) {
        *names = NULL;

        return (cf->args->nelts == 2) ? NGX_CONF_OK
               : ngx_http_hype_conf_invalid(cf, &value[2],
                                            "\"off\" has no parameters");
    }

    *names = ngx_array_create(cf->pool, cf->args->nelts - 1,
                              sizeof(ngx_str_t));
    if (*names == NULL) {
        return NGX_CONF_ERROR;
    }

    seen = 0;

    for (i = 1; i < cf->args->nelts; i++) {

        param = ngx_http_hype_conf_find_param(params, &value[i]);

        if (param->name.len) {
            rc = ngx_http_hype_conf_param(cf, &value[i], params, param, conf,
                                          &seen);
            if (rc != NGX_CONF_OK) {
                return rc;
            }

            continue;
        }

        if (!ngx_http_hype_conf_is_token(&value[i])) {
            return ngx_http_hype_conf_invalid(cf, &value[i],
                                              NGX_HTTP_HYPE_CONF_NO_ARGUMENT);
        }

        name = ngx_array_push(*names);
        if (name == NULL) {
            return NGX_CONF_ERROR;
        }

        *name = value[i];
    }

    return NGX_CONF_OK;
}


char *
ngx_http_hype_conf_param_path(ngx_conf_t *cf, ngx_str_t *value, void *field,
    void *post)
{
    if (!ngx_http_hype_param_to_valid(value)
        || strpbrk((char *) value->data, " ?#"))
    {
        return "a path that begins and ends with \"/\" is expected";
    }

    return ngx_http_hype_conf_param_value(cf, value, field, post);
}


char *
ngx_http_hype_conf_keep_args(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_hype_loc_conf_t *hlcf = conf;

    ngx_str_t   *value;
    ngx_uint_t   i, n;

    static ngx_http_hype_conf_param_t  none[] = {
        { ngx_null_string, NULL, 0, NULL }
    };

    value = cf->args->elts;

    for (i = 2; i < cf->args->nelts; i++) {
        for (n = 1; n < i; n++) {
            if (ngx_strcmp(value[n].data, value[i].data) == 0) {
                return ngx_http_hype_conf_invalid(cf, &value[i],
                                                  "duplicate parameter");
            }
        }
    }

    return ngx_http_hype_conf_names(cf, &hlcf->keep_args, none, hlcf);
}


char *
ngx_http_hype_conf_next_param(ngx_conf_t *cf, void *post, void *data)
{
    ngx_str_t *name = data;

    return ngx_http_hype_conf_is_token(name) ? NGX_CONF_OK
           : ngx_http_hype_conf_invalid(cf, name,
                                        NGX_HTTP_HYPE_CONF_NO_ARGUMENT);
}


char *
ngx_http_hype_conf_hit_param(ngx_conf_t *cf, void *post, void *data)
{
    ngx_str_t *name = data;

    if (ngx_strcmp(name->data, "off") == 0) {
        name->len = 0;
        return NGX_CONF_OK;
    }

    /* what need not be encoded in a query */

    return ngx_http_hype_identifier_valid(name) ? NGX_CONF_OK
           : ngx_http_hype_conf_invalid(cf, name,
                                        NGX_HTTP_HYPE_CONF_NO_ARGUMENT);
}


char *
ngx_http_hype_conf_next_hosts(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_hype_loc_conf_t *hlcf = conf;

    ngx_str_t                 *value;
    ngx_uint_t                 i;
    ngx_http_complex_value_t  *cv, *compiled;

    if (hlcf->next_hosts != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    value = cf->args->elts;

    hlcf->next_hosts = ngx_array_create(cf->pool, cf->args->nelts - 1,
                                        sizeof(ngx_http_complex_value_t));
    if (hlcf->next_hosts == NULL) {
        return NGX_CONF_ERROR;
    }

    for (i = 1; i < cf->args->nelts; i++) {

        if (ngx_http_script_variables_count(&value[i]) == 0) {

            ngx_strlow(value[i].data, value[i].data, value[i].len);

            if (ngx_strncmp(value[i].data, "*.", 2) == 0) {
                return ngx_http_hype_conf_invalid(cf, &value[i],
                                                  "a host name is expected; "
                                                  "\".example.com\" stands "
                                                  "for a domain and its "
                                                  "subdomains");
            }

            if (!ngx_http_hype_conf_is_host(cf, &value[i])) {
                return ngx_http_hype_conf_invalid(cf, &value[i],
                                                  "a host name is expected");
            }
        }

        cv = ngx_array_push(hlcf->next_hosts);
        compiled = ngx_http_hype_conf_compile(cf, &value[i]);

        if (cv == NULL || compiled == NULL) {
            return NGX_CONF_ERROR;
        }

        *cv = *compiled;
    }

    return NGX_CONF_OK;
}


char *
ngx_http_hype_conf_destination(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_hype_loc_conf_t *hlcf = conf;

    ngx_str_t  *value;

    if (hlcf->destination != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (value[1].len == 0 || ngx_strcmp(value[1].data, "off") == 0) {
        hlcf->destination = NULL;
        return NGX_CONF_OK;
    }

    if ((value[1].data[0] != '/' && value[1].data[0] != '$'
         && ngx_strstr(value[1].data, "://") == NULL)
        || ngx_http_hype_has_control(&value[1]))
    {
        return ngx_http_hype_conf_invalid(cf, &value[1],
                                          "a path, a URL, a variable or "
                                          "\"off\" is expected");
    }

    hlcf->destination = ngx_http_hype_conf_compile(cf, &value[1]);

    return hlcf->destination ? NGX_CONF_OK : NGX_CONF_ERROR;
}


char *
ngx_http_hype_conf_fallback(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_hype_loc_conf_t *hlcf = conf;

    ngx_int_t   code;
    ngx_str_t  *value;

    if (hlcf->fallback_code != NGX_CONF_UNSET_UINT) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (value[1].len && value[1].data[0] == '=') {

        code = ngx_atoi(value[1].data + 1, value[1].len - 1);

        if (code < NGX_HTTP_BAD_REQUEST || code > 599 || code == 499) {
            return ngx_http_hype_conf_invalid(cf, &value[1],
                                              "a code from 400 to 599 is "
                                              "expected");
        }

        hlcf->fallback_code = code;

        return NGX_CONF_OK;
    }

    hlcf->fallback_code = 0;

    if (value[1].len == 0
        || (value[1].data[0] != '/' && value[1].data[0] != '$'
            && ngx_strncasecmp(value[1].data, (u_char *) "http://", 7) != 0
            && ngx_strncasecmp(value[1].data, (u_char *) "https://", 8) != 0)
        || ngx_http_hype_has_control(&value[1]))
    {
        return ngx_http_hype_conf_invalid(cf, &value[1],
                                          "a path, a URL, a variable or "
                                          "\"=code\" is expected");
    }

    hlcf->fallback = ngx_http_hype_conf_compile(cf, &value[1]);

    return hlcf->fallback ? NGX_CONF_OK : NGX_CONF_ERROR;
}


/* one that a URL can lead to; none, if it is empty */

static ngx_uint_t
ngx_http_hype_conf_is_host(ngx_conf_t *cf, ngx_str_t *value)
{
    size_t     dot;
    ngx_str_t  url;

    if (value->len == 0) {
        return 1;
    }

    dot = (value->data[0] == '.');

    url.len = sizeof("http://") - 1 + value->len - dot;

    url.data = ngx_pnalloc(cf->temp_pool, url.len);
    if (url.data == NULL) {
        return 0;
    }

    ngx_sprintf(url.data, "http://%*s", value->len - dot, value->data + dot);

    return ngx_http_hype_next_safe(&url, value, 1);
}
