
/*
 * Copyright (C) the ngx_http_hype_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_hype.h"
#include "ngx_http_hype_conf.h"
#include "ngx_http_hype_visit.h"


static ngx_int_t ngx_http_hype_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_hype_header_filter(ngx_http_request_t *r);
static ngx_int_t ngx_http_hype_init(ngx_conf_t *cf);
static ngx_int_t ngx_http_hype_init_process(ngx_cycle_t *cycle);
static void ngx_http_hype_exit_process(ngx_cycle_t *cycle);


static ngx_conf_enum_t  ngx_http_hype_durability[] = {
    { ngx_string("commit"), NGX_HTTP_HYPE_COMMIT },
    { ngx_string("spool"), NGX_HTTP_HYPE_SPOOL },
    { ngx_null_string, 0 }
};

static ngx_conf_enum_t  ngx_http_hype_identifier[] = {
    { ngx_string("strict"), NGX_HTTP_HYPE_STRICT },
    { ngx_string("loose"), NGX_HTTP_HYPE_LOOSE },
    { ngx_null_string, 0 }
};

static ngx_conf_enum_t  ngx_http_hype_ip[] = {
    { ngx_string("full"), NGX_HTTP_HYPE_IP_FULL },
    { ngx_string("masked"), NGX_HTTP_HYPE_IP_MASKED },
    { ngx_string("off"), NGX_HTTP_HYPE_IP_OFF },
    { ngx_null_string, 0 }
};

static ngx_conf_post_t  ngx_http_hype_next_param = {
    ngx_http_hype_conf_next_param
};

static ngx_conf_post_t  ngx_http_hype_hit_param = {
    ngx_http_hype_conf_hit_param
};


static ngx_command_t  ngx_http_hype_commands[] = {

    { ngx_string("hype_database"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_1MORE,
      ngx_http_hype_conf_database,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("hype_zone"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE123,
      ngx_http_hype_conf_zone,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("hype_spool"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE123,
      ngx_http_hype_conf_spool,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("hype_durability"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_hype_conf_enum,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_hype_loc_conf_t, durability),
      &ngx_http_hype_durability },

    { ngx_string("hype_ref"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS|NGX_CONF_TAKE1,
      ngx_http_hype_conf_ref,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("hype_identifier"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_hype_conf_enum,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_hype_loc_conf_t, loose),
      &ngx_http_hype_identifier },

    { ngx_string("hype_ref_param"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_http_hype_conf_ref_param,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("hype_next_param"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_str_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_hype_loc_conf_t, next_param),
      &ngx_http_hype_next_param },

    { ngx_string("hype_next_hosts"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_http_hype_conf_next_hosts,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("hype_fallback"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_hype_conf_fallback,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("hype_forward_args"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_hype_loc_conf_t, forward_args),
      NULL },

    { ngx_string("hype_destination"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_hype_conf_destination,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("hype_hit_param"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_str_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_hype_loc_conf_t, hit_param),
      &ngx_http_hype_hit_param },

    { ngx_string("hype_keep_args"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_http_hype_conf_keep_args,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("hype_cookie"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_http_hype_conf_cookie,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("hype_user"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_hype_conf_user,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_hype_loc_conf_t, user),
      NULL },

    { ngx_string("hype_no_hit"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_http_hype_conf_predicate,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_hype_loc_conf_t, no_hit),
      NULL },

    { ngx_string("hype_no_cookie"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_http_hype_conf_predicate,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_hype_loc_conf_t, no_cookie),
      NULL },

    { ngx_string("hype_bot"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_hype_conf_value,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_hype_loc_conf_t, bot),
      NULL },

    { ngx_string("hype_ip"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_hype_conf_enum,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_hype_loc_conf_t, ip),
      &ngx_http_hype_ip },

    { ngx_string("hype_confirm"),
      NGX_HTTP_LOC_CONF|NGX_CONF_TAKE123,
      ngx_http_hype_conf_confirm,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("hype_code"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_hype_conf_code,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("hype_status"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS|NGX_CONF_TAKE12,
      ngx_http_hype_conf_status,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("hype_links"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS|NGX_CONF_TAKE123,
      ngx_http_hype_conf_links,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_hype_module_ctx = {
    ngx_http_hype_variables_add,           /* preconfiguration */
    ngx_http_hype_init,                    /* postconfiguration */

    ngx_http_hype_conf_create_main,        /* create main configuration */
    ngx_http_hype_conf_init_main,          /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    ngx_http_hype_conf_create_location,    /* create location configuration */
    ngx_http_hype_conf_merge_location      /* merge location configuration */
};


ngx_module_t  ngx_http_hype_module = {
    NGX_MODULE_V1,
    &ngx_http_hype_module_ctx,             /* module context */
    ngx_http_hype_commands,                /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    ngx_http_hype_init_process,            /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    ngx_http_hype_exit_process,            /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


static ngx_http_output_header_filter_pt  ngx_http_next_header_filter;


/*
 * Of the precontent phase: it comes right after the access phase, when all
 * that may refuse a request, or find out who the user is, has done so.
 */

static ngx_int_t
ngx_http_hype_handler(ngx_http_request_t *r)
{
    ngx_http_hype_loc_conf_t  *hlcf;

    if (r != r->main) {
        return NGX_DECLINED;
    }

    hlcf = ngx_http_get_module_loc_conf(r, ngx_http_hype_module);

    if (r->internal && r->upstream && hlcf->user
        && ngx_http_hype_keep_user(r, hlcf) != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (hlcf->ref) {
        return ngx_http_hype_ref_handler(r, hlcf);
    }

    if (hlcf->params && ngx_http_hype_has_query(r)) {
        return ngx_http_hype_param_handler(r, hlcf);
    }

    return NGX_DECLINED;
}


static ngx_int_t
ngx_http_hype_header_filter(ngx_http_request_t *r)
{
    if (r == r->main
        && ngx_http_hype_answers(r)
        && ngx_http_hype_answer(r) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_next_header_filter(r);
}


static ngx_int_t
ngx_http_hype_init(ngx_conf_t *cf)
{
    ngx_int_t                   index;
    ngx_http_handler_pt        *h;
    ngx_http_core_main_conf_t  *cmcf;
    ngx_http_hype_main_conf_t  *hmcf;

    static ngx_str_t  request_uri = ngx_string("request_uri");

    hmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_hype_module);

    if (ngx_http_hype_conf_check_variables(cf) != NGX_OK) {
        return NGX_ERROR;
    }

    if (!hmcf->database) {

        if (hmcf->needs) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "\"%s\" needs \"hype_database\" in the \"http\" "
                          "block in %s:%ui",
                          hmcf->needs, hmcf->needs_file, hmcf->needs_line);
            return NGX_ERROR;
        }

        return NGX_OK;
    }

    if (hmcf->needs_spool && hmcf->spool.path == NULL) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"hype_durability spool\" needs a spool, but "
                      "\"hype_spool\" is \"off\"");
        return NGX_ERROR;
    }

    ngx_http_hype_conf_check_refs(cf);

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_PRECONTENT_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = ngx_http_hype_handler;

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_SERVER_REWRITE_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = ngx_http_hype_ask;

    index = ngx_http_hype_variables_asked(cf);
    if (index == NGX_ERROR) {
        return NGX_ERROR;
    }

    hmcf->asked = index;

    index = ngx_http_get_variable_index(cf, &request_uri);
    if (index == NGX_ERROR) {
        return NGX_ERROR;
    }

    hmcf->request_uri = index;

    if (ngx_http_hype_target_init(cf, hmcf) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_http_next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = ngx_http_hype_header_filter;

    return NGX_OK;
}


static ngx_int_t
ngx_http_hype_init_process(ngx_cycle_t *cycle)
{
    ngx_http_hype_main_conf_t  *hmcf;

    if (ngx_process != NGX_PROCESS_WORKER && ngx_process != NGX_PROCESS_SINGLE)
    {
        return NGX_OK;
    }

    hmcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_hype_module);

    if (hmcf == NULL || !hmcf->database) {
        return NGX_OK;
    }

    hmcf->store = ngx_http_hype_store_create(cycle, &hmcf->db, &hmcf->spool,
                                             hmcf->cache);

    return hmcf->store ? NGX_OK : NGX_ERROR;
}


static void
ngx_http_hype_exit_process(ngx_cycle_t *cycle)
{
    ngx_http_hype_main_conf_t  *hmcf;

    hmcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_hype_module);

    if (hmcf && hmcf->store) {
        ngx_http_hype_store_close(hmcf->store);
    }
}
