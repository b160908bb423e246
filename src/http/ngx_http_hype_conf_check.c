
#include "ngx_http_hype_conf.h"


typedef struct {
    ngx_str_t     name;          /* of the variable */
    u_char       *file;
    ngx_uint_t    line;
} ngx_http_hype_conf_note_t;


/* a server's location with hype_ref, or where one is needed */

typedef struct {
    void         *server;
    ngx_str_t     path;
    const char   *needed;        /* what leads there, and how; or NULL */
    unsigned      any:1;         /* hype_ref: of more than one prefix */
} ngx_http_hype_conf_place_t;


static ngx_int_t ngx_http_hype_conf_note(ngx_conf_t *cf, ngx_str_t *name);
static ngx_uint_t ngx_http_hype_conf_has_variable(
    ngx_http_core_main_conf_t *cmcf, ngx_str_t *name);
static ngx_int_t ngx_http_hype_conf_check_args(ngx_conf_t *cf,
    ngx_http_hype_loc_conf_t *hlcf);
static ngx_int_t ngx_http_hype_conf_differ(ngx_conf_t *cf,
    const char *first, const char *second, ngx_str_t *a, ngx_str_t *b);
static ngx_uint_t ngx_http_hype_conf_returns(ngx_conf_t *cf,
    ngx_http_core_loc_conf_t *clcf);
static ngx_int_t ngx_http_hype_conf_needs_ref(ngx_conf_t *cf,
    ngx_http_complex_value_t *to, const char *needed);
static ngx_int_t ngx_http_hype_conf_place(ngx_conf_t *cf, ngx_str_t *path,
    ngx_uint_t any, const char *needed);
static ngx_uint_t ngx_http_hype_conf_found(ngx_array_t *places,
    ngx_http_hype_conf_place_t *needed);


static ngx_str_t  ngx_http_hype_conf_forgeable[] = {
    ngx_string("http_"),
    ngx_string("arg_"),
    ngx_string("cookie_"),
    ngx_null_string
};


ngx_int_t
ngx_http_hype_conf_note_variables(ngx_conf_t *cf)
{
    u_char      *p, *last, brace;
    ngx_str_t   *value, name;
    ngx_uint_t   i;

    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {

        p = value[i].data;
        last = p + value[i].len;

        while (p < last) {

            if (*p++ != '$') {
                continue;
            }

            brace = (p < last && *p == '{');
            p += brace;
            name.data = p;

            while (p < last
                   && ((*p >= '0' && *p <= '9')
                       || ((*p | 0x20) >= 'a' && (*p | 0x20) <= 'z')
                       || *p == '_'))
            {
                p++;
            }

            name.len = p - name.data;

            if (name.len && (name.data[0] < '0' || name.data[0] > '9')
                && ngx_http_hype_conf_note(cf, &name) != NGX_OK)
            {
                return NGX_ERROR;
            }
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_hype_conf_note(ngx_conf_t *cf, ngx_str_t *name)
{
    ngx_http_hype_conf_note_t  *note;
    ngx_http_hype_main_conf_t  *hmcf;

    hmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_hype_module);

    if (hmcf->notes == NULL) {
        hmcf->notes = ngx_array_create(cf->pool, 8,
                                       sizeof(ngx_http_hype_conf_note_t));
        if (hmcf->notes == NULL) {
            return NGX_ERROR;
        }
    }

    note = ngx_array_push(hmcf->notes);
    if (note == NULL) {
        return NGX_ERROR;
    }

    note->name.len = name->len;
    note->name.data = ngx_pnalloc(cf->pool, name->len);
    if (note->name.data == NULL) {
        return NGX_ERROR;
    }

    ngx_strlow(note->name.data, name->data, name->len);

    note->file = cf->conf_file->file.name.data;
    note->line = cf->conf_file->line;

    return NGX_OK;
}


/* nginx itself would say this without file and line */

ngx_int_t
ngx_http_hype_conf_check_variables(ngx_conf_t *cf)
{
    ngx_uint_t                  i;
    ngx_http_hype_conf_note_t  *note;
    ngx_http_core_main_conf_t  *cmcf;
    ngx_http_hype_main_conf_t  *hmcf;

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);
    hmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_hype_module);

    if (hmcf->notes == NULL) {
        return NGX_OK;
    }

    note = hmcf->notes->elts;

    for (i = 0; i < hmcf->notes->nelts; i++) {

        if (!ngx_http_hype_conf_has_variable(cmcf, &note[i].name)) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "unknown \"%V\" variable in %s:%ui",
                          &note[i].name, note[i].file, note[i].line);
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_uint_t
ngx_http_hype_conf_has_variable(ngx_http_core_main_conf_t *cmcf,
    ngx_str_t *name)
{
    ngx_uint_t            i;
    ngx_hash_key_t       *key;
    ngx_http_variable_t  *v;

    key = cmcf->variables_keys->keys.elts;

    for (i = 0; i < cmcf->variables_keys->keys.nelts; i++) {
        if (key[i].key.len == name->len
            && ngx_strncmp(key[i].key.data, name->data, name->len) == 0)
        {
            return 1;
        }
    }

    v = cmcf->prefix_variables.elts;

    for (i = 0; i < cmcf->prefix_variables.nelts; i++) {
        if (name->len >= v[i].name.len
            && ngx_strncmp(name->data, v[i].name.data, v[i].name.len) == 0)
        {
            return 1;
        }
    }

    /* modules of others may set a variable's handler themselves */

    v = cmcf->variables.elts;

    for (i = 0; i < cmcf->variables.nelts; i++) {
        if (v[i].get_handler && v[i].name.len == name->len
            && ngx_strncmp(name->data, v[i].name.data, name->len) == 0)
        {
            return 1;
        }
    }

    return 0;
}


char *
ngx_http_hype_conf_value(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    if (ngx_http_hype_conf_note_variables(cf) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    return ngx_http_set_complex_value_slot(cf, cmd, conf);
}


char *
ngx_http_hype_conf_predicate(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    if (ngx_http_hype_conf_note_variables(cf) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    return ngx_http_set_predicate_slot(cf, cmd, conf);
}


char *
ngx_http_hype_conf_user(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    u_char     *p;
    ngx_str_t  *value, *prefix;

    value = cf->args->elts;

    p = (u_char *) ngx_strchr(value[1].data, '$');

    if (p) {
        p += (p[1] == '{') ? 2 : 1;

        for (prefix = ngx_http_hype_conf_forgeable; prefix->len; prefix++) {

            if (ngx_strncasecmp(p, prefix->data, prefix->len) == 0) {
                ngx_conf_log_error(NGX_LOG_WARN, cf, 0,
                                   "\"hype_user %V\" is set by the client, "
                                   "who can pass for any user",
                                   &value[1]);
                break;
            }
        }
    }

    return ngx_http_hype_conf_value(cf, cmd, conf);
}


void
ngx_http_hype_conf_check_ssl(ngx_conf_t *cf, ngx_http_hype_conninfo_t *info)
{
    const char  *host;
    ngx_uint_t   i;

    for (i = 0; info->keywords[i]; i++) {
        if (info->values[i]
            && (ngx_strcmp(info->keywords[i], "sslmode") == 0
                || ngx_strcmp(info->keywords[i], "service") == 0))
        {
            return;
        }
    }

    if (getenv("PGSSLMODE")) {
        return;
    }

    for (i = 0; i < info->nhosts; i++) {
        host = info->hosts[i];

        if (host == NULL || *host == '\0' || *host == '/' || *host == '@'
            || ngx_strcmp(host, "localhost") == 0
            || ngx_strcmp(host, "::1") == 0
            || ngx_strncmp(host, "127.", 4) == 0)
        {
            continue;
        }

        ngx_conf_log_error(NGX_LOG_WARN, cf, 0,
                           "\"hype_database\" has no \"sslmode\" for host "
                           "\"%s\": others on the network may read and "
                           "change what is sent; set \"sslmode=verify-full\", "
                           "or \"sslmode=prefer\" to accept this", host);
        return;
    }
}


ngx_int_t
ngx_http_hype_conf_check_location(ngx_conf_t *cf,
    ngx_http_hype_loc_conf_t *hlcf)
{
    ngx_str_t                  *name;
    ngx_uint_t                  any;
    ngx_http_core_loc_conf_t   *clcf;
    ngx_http_hype_main_conf_t  *hmcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    hmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_hype_module);

    if (ngx_http_hype_conf_check_args(cf, hlcf) != NGX_OK) {
        return NGX_ERROR;
    }

    if (hlcf->params) {
        name = hlcf->params->elts;

        if (hmcf->ref_param.len == 0) {
            hmcf->ref_param = name[0];
        }

        if (hlcf->mode == NGX_HTTP_HYPE_REDIRECT && !hlcf->ref
            && ngx_http_hype_conf_needs_ref(cf, hlcf->to,
                                            "\"hype_ref_param\" redirects")
               != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    if (hlcf->links
        && ngx_http_hype_conf_needs_ref(cf, hlcf->links_to,
                                        "\"hype_links\" shows links that lead")
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (!(hlcf->ref || hlcf->links) || clcf->noname) {
        return NGX_OK;
    }

    if (ngx_http_hype_conf_returns(cf, clcf)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%s\" in location \"%V\" is never reached: "
                           "\"return\" ends the request before it",
                           hlcf->ref ? "hype_ref" : "hype_links",
                           &clcf->name);
        return NGX_ERROR;
    }

    if (!hlcf->ref) {
        return NGX_OK;
    }

    any = clcf->named;

#if (NGX_PCRE)
    any |= (clcf->regex != NULL);
#endif

    if (!any && hlcf->identifier == NULL && hmcf->ref_path.len == 0) {
        hmcf->ref_path = clcf->name;
    }

    return ngx_http_hype_conf_place(cf, &clcf->name, any, NULL);
}


/* an argument has one meaning */

static ngx_int_t
ngx_http_hype_conf_check_args(ngx_conf_t *cf, ngx_http_hype_loc_conf_t *hlcf)
{
    ngx_str_t   *name;
    ngx_uint_t   i;

    if (hlcf->params) {
        name = hlcf->params->elts;

        for (i = 0; i < hlcf->params->nelts; i++) {
            if (ngx_http_hype_conf_differ(cf, "hype_ref_param",
                                          "hype_next_param", &name[i],
                                          &hlcf->next_param)
                != NGX_OK
                || ngx_http_hype_conf_differ(cf, "hype_hit_param",
                                             "hype_ref_param",
                                             &hlcf->hit_param, &name[i])
                   != NGX_OK)
            {
                return NGX_ERROR;
            }
        }
    }

    return ngx_http_hype_conf_differ(cf, "hype_hit_param", "hype_next_param",
                                     &hlcf->hit_param, &hlcf->next_param);
}


static ngx_int_t
ngx_http_hype_conf_differ(ngx_conf_t *cf, const char *first,
    const char *second, ngx_str_t *a, ngx_str_t *b)
{
    if (a->len != b->len || ngx_strncmp(a->data, b->data, a->len) != 0) {
        return NGX_OK;
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "\"%s\" and \"%s\" have the same name, \"%V\"", first,
                       second, a);

    return NGX_ERROR;
}


/* whether a location begins with a "return" that has no condition */

static ngx_uint_t
ngx_http_hype_conf_returns(ngx_conf_t *cf, ngx_http_core_loc_conf_t *clcf)
{
    ngx_uint_t     i;
    ngx_module_t  *module;
    ngx_array_t  **codes;

    for (i = 0; cf->cycle->modules[i]; i++) {
        module = cf->cycle->modules[i];

        if (module->type != NGX_HTTP_MODULE
            || ngx_strcmp(module->name, "ngx_http_rewrite_module") != 0)
        {
            continue;
        }

        /* the first field of its configuration, in all versions */

        codes = clcf->loc_conf[module->ctx_index];

        return codes && *codes && (*codes)->nelts
               && *(ngx_http_script_code_pt *) (*codes)->elts
                  == ngx_http_script_return_code;
    }

    return 0;
}


/* "to" may be NULL; where it has variables, nothing is known */

static ngx_int_t
ngx_http_hype_conf_needs_ref(ngx_conf_t *cf, ngx_http_complex_value_t *to,
    const char *needed)
{
    ngx_str_t  path;

    if (to && to->lengths) {
        return NGX_OK;
    }

    ngx_str_set(&path, "/ref/");

    return ngx_http_hype_conf_place(cf, to ? &to->value : &path, 0, needed);
}


static ngx_int_t
ngx_http_hype_conf_place(ngx_conf_t *cf, ngx_str_t *path, ngx_uint_t any,
    const char *needed)
{
    ngx_http_conf_ctx_t         *ctx;
    ngx_http_hype_main_conf_t   *hmcf;
    ngx_http_hype_conf_place_t  *place;

    hmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_hype_module);

    if (hmcf->places == NULL) {
        hmcf->places = ngx_array_create(cf->temp_pool, 8,
                                        sizeof(ngx_http_hype_conf_place_t));
        if (hmcf->places == NULL) {
            return NGX_ERROR;
        }
    }

    place = ngx_array_push(hmcf->places);
    if (place == NULL) {
        return NGX_ERROR;
    }

    ctx = cf->ctx;

    place->server = ctx->srv_conf;
    place->path = *path;
    place->any = any;
    place->needed = needed;

    return NGX_OK;
}


void
ngx_http_hype_conf_check_refs(ngx_conf_t *cf)
{
    ngx_uint_t                   i;
    ngx_http_core_srv_conf_t    *cscf;
    ngx_http_hype_main_conf_t   *hmcf;
    ngx_http_hype_conf_place_t  *place;

    hmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_hype_module);

    if (hmcf->places == NULL) {
        return;
    }

    place = hmcf->places->elts;

    for (i = 0; i < hmcf->places->nelts; i++) {

        if (!place[i].needed
            || ngx_http_hype_conf_found(hmcf->places, &place[i]))
        {
            continue;
        }

        cscf = ((void **) place[i].server)[ngx_http_core_module.ctx_index];

        ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                      "%s to \"%V\", but the server in %s:%ui has no location "
                      "with \"hype_ref\" for it",
                      place[i].needed, &place[i].path, cscf->file_name,
                      cscf->line);
        return;
    }
}


static ngx_uint_t
ngx_http_hype_conf_found(ngx_array_t *places,
    ngx_http_hype_conf_place_t *needed)
{
    ngx_uint_t                   i;
    ngx_http_hype_conf_place_t  *place;

    place = places->elts;

    for (i = 0; i < places->nelts; i++) {

        if (place[i].needed || place[i].server != needed->server) {
            continue;
        }

        if (place[i].any
            || (place[i].path.len <= needed->path.len
                && ngx_strncmp(place[i].path.data, needed->path.data,
                               place[i].path.len) == 0))
        {
            return 1;
        }
    }

    return 0;
}
