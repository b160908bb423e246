
#include "ngx_http_hype_conf.h"


static ngx_int_t ngx_http_hype_conf_push_name(ngx_conf_t *cf,
    ngx_array_t *names, ngx_str_t *value);
static ngx_uint_t ngx_http_hype_conf_is_host(ngx_conf_t *cf,
    ngx_str_t *value);
static ngx_uint_t ngx_http_hype_conf_has_control(ngx_str_t *value);


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

    ngx_http_hype_conf_needs_database(cf, "hype_ref");

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

    ngx_str_t                   *value;
    ngx_uint_t                   i, seen;
    ngx_http_hype_conf_param_t  *param;

    if (hlcf->params != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ngx_strcmp(value[1].data, "off") == 0) {

        if (cf->args->nelts > 2) {
            return ngx_http_hype_conf_invalid(cf, &value[2],
                                              "\"off\" has no parameters");
        }

        hlcf->params = NULL;
        return NGX_CONF_OK;
    }

    ngx_http_hype_conf_needs_database(cf, "hype_ref_param");

    hlcf->params = ngx_array_create(cf->pool, 2, sizeof(ngx_str_t));
    if (hlcf->params == NULL) {
        return NGX_CONF_ERROR;
    }

    seen = 0;

    for (i = 1; i < cf->args->nelts; i++) {

        param = ngx_http_hype_conf_find_param(ngx_http_hype_ref_params,
                                              &value[i]);

        if (param->name.len) {

            if (ngx_http_hype_conf_param(cf, &value[i],
                                         ngx_http_hype_ref_params, param,
                                         hlcf, &seen)
                != NGX_CONF_OK)
            {
                return NGX_CONF_ERROR;
            }

            continue;
        }

        if (ngx_http_hype_conf_push_name(cf, hlcf->params, &value[i])
            != NGX_OK)
        {
            return NGX_CONF_ERROR;
        }
    }

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

    if (hlcf->keep_args != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ngx_strcmp(value[1].data, "off") == 0) {

        if (cf->args->nelts > 2) {
            return ngx_http_hype_conf_invalid(cf, &value[2],
                                              "\"off\" has no parameters");
        }

        hlcf->keep_args = NULL;
        return NGX_CONF_OK;
    }

    hlcf->keep_args = ngx_array_create(cf->pool, cf->args->nelts - 1,
                                       sizeof(ngx_str_t));
    if (hlcf->keep_args == NULL) {
        return NGX_CONF_ERROR;
    }

    for (i = 1; i < cf->args->nelts; i++) {

        for (n = 1; n < i; n++) {
            if (value[n].len == value[i].len
                && ngx_strcmp(value[n].data, value[i].data) == 0)
            {
                return ngx_http_hype_conf_invalid(cf, &value[i],
                                                  "it was said before");
            }
        }

        if (ngx_http_hype_conf_push_name(cf, hlcf->keep_args, &value[i])
            != NGX_OK)
        {
            return NGX_CONF_ERROR;
        }
    }

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_hype_conf_push_name(ngx_conf_t *cf, ngx_array_t *names,
    ngx_str_t *value)
{
    ngx_str_t  *name;

    if (!ngx_http_hype_conf_is_token(value)) {
        (void) ngx_http_hype_conf_invalid(cf, value,
                                          "it can't be an argument's name");
        return NGX_ERROR;
    }

    name = ngx_array_push(names);
    if (name == NULL) {
        return NGX_ERROR;
    }

    *name = *value;

    return NGX_OK;
}


char *
ngx_http_hype_conf_next_param(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_hype_loc_conf_t *hlcf = conf;

    ngx_str_t  *value;

    if (hlcf->next_param.data) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (!ngx_http_hype_conf_is_token(&value[1])) {
        return ngx_http_hype_conf_invalid(cf, &value[1],
                                          "it can't be an argument's name");
    }

    hlcf->next_param = value[1];

    return NGX_CONF_OK;
}


char *
ngx_http_hype_conf_next_hosts(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_hype_loc_conf_t *hlcf = conf;

    ngx_str_t                         *value;
    ngx_uint_t                         i;
    ngx_http_complex_value_t          *cv;
    ngx_http_compile_complex_value_t   ccv;

    if (hlcf->next_hosts != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    if (ngx_http_hype_conf_note_variables(cf) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    value = cf->args->elts;

    hlcf->next_hosts = ngx_array_create(cf->pool, cf->args->nelts - 1,
                                        sizeof(ngx_http_complex_value_t));
    if (hlcf->next_hosts == NULL) {
        return NGX_CONF_ERROR;
    }

    for (i = 1; i < cf->args->nelts; i++) {

        cv = ngx_array_push(hlcf->next_hosts);
        if (cv == NULL) {
            return NGX_CONF_ERROR;
        }

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

        ngx_memzero(&ccv, sizeof(ngx_http_compile_complex_value_t));

        ccv.cf = cf;
        ccv.value = &value[i];
        ccv.complex_value = cv;

        if (ngx_http_compile_complex_value(&ccv) != NGX_OK) {
            return NGX_CONF_ERROR;
        }
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
        || ngx_http_hype_conf_has_control(&value[1]))
    {
        return ngx_http_hype_conf_invalid(cf, &value[1],
                                          "a path, a URL, a variable or "
                                          "\"off\" is expected");
    }

    hlcf->destination = ngx_http_hype_conf_compile(cf, &value[1]);

    return hlcf->destination ? NGX_CONF_OK : NGX_CONF_ERROR;
}


char *
ngx_http_hype_conf_hit_param(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_hype_loc_conf_t *hlcf = conf;

    ngx_str_t  *value;

    if (hlcf->hit_param.data) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ngx_strcmp(value[1].data, "off") == 0) {
        ngx_str_set(&hlcf->hit_param, "");
        return NGX_CONF_OK;
    }

    /* what need not be encoded in a query */

    if (!ngx_http_hype_identifier_valid(&value[1])) {
        return ngx_http_hype_conf_invalid(cf, &value[1],
                                          "it can't be an argument's name");
    }

    hlcf->hit_param = value[1];

    return NGX_CONF_OK;
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
        || ngx_http_hype_conf_has_control(&value[1]))
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


static ngx_uint_t
ngx_http_hype_conf_has_control(ngx_str_t *value)
{
    size_t  i;

    for (i = 0; i < value->len; i++) {
        if (value->data[i] < 0x20 || value->data[i] == 0x7f) {
            return 1;
        }
    }

    return 0;
}
