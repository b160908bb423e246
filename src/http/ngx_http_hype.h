
/*
 * What the module's configuration and a request's context hold, for the face
 * (../ngx_http_hype_module.c) and for what works on requests.
 */


#ifndef _NGX_HTTP_HYPE_H_INCLUDED_
#define _NGX_HTTP_HYPE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_hype_identifier.h"
#include "ngx_http_hype_next.h"
#include "ngx_http_hype_store.h"
#include "ngx_http_hype_uri.h"
#include "ngx_http_hype_uuid.h"
#include "ngx_http_hype_version.h"


typedef enum {
    NGX_HTTP_HYPE_COMMIT = 0,
    NGX_HTTP_HYPE_SPOOL
} ngx_http_hype_durability_e;

typedef enum {
    NGX_HTTP_HYPE_REDIRECT = 0,
    NGX_HTTP_HYPE_DIRECT,
    NGX_HTTP_HYPE_INLINE
} ngx_http_hype_mode_e;

typedef enum {
    NGX_HTTP_HYPE_STRICT = 0,
    NGX_HTTP_HYPE_LOOSE
} ngx_http_hype_identifier_e;

typedef enum {
    NGX_HTTP_HYPE_STATUS_OFF = 0,
    NGX_HTTP_HYPE_STATUS_JSON,
    NGX_HTTP_HYPE_STATUS_PROMETHEUS,
    NGX_HTTP_HYPE_STATUS_HTML
} ngx_http_hype_status_e;

typedef enum {
    NGX_HTTP_HYPE_LINKS_OFF = 0,
    NGX_HTTP_HYPE_LINKS_JSON,
    NGX_HTTP_HYPE_LINKS_HTML
} ngx_http_hype_links_e;

typedef enum {
    NGX_HTTP_HYPE_IP_FULL = 0,
    NGX_HTTP_HYPE_IP_MASKED,
    NGX_HTTP_HYPE_IP_OFF
} ngx_http_hype_ip_e;


/* $hype_outcome; those up to "dropped" are counters, too */

typedef enum {
    NGX_HTTP_HYPE_OUTCOME_HIT = 0,
    NGX_HTTP_HYPE_OUTCOME_SKIPPED,
    NGX_HTTP_HYPE_OUTCOME_UNKNOWN,
    NGX_HTTP_HYPE_OUTCOME_DISABLED,
    NGX_HTTP_HYPE_OUTCOME_EXPIRED,
    NGX_HTTP_HYPE_OUTCOME_SPOOLED,
    NGX_HTTP_HYPE_OUTCOME_DROPPED,
    NGX_HTTP_HYPE_OUTCOME_NONE
} ngx_http_hype_outcome_e;


typedef struct {
    ngx_http_hype_db_conf_t      db;
    ngx_http_hype_spool_conf_t   spool;
    ngx_http_hype_cache_t       *cache;
    ngx_shm_zone_t              *zone;
    ngx_uint_t                   database;    /* unsigned database:1 */
    u_char                      *needs;       /* a directive that needs it */
    u_char                      *needs_file;
    ngx_uint_t                   needs_line;
    ngx_uint_t                   request_uri; /* the variable's index */
    ngx_uint_t                   asked;       /* of a variable of our own */
    ngx_array_t                 *server_names; /* ngx_http_server_name_t */
    ngx_uint_t                   needs_spool; /* unsigned needs_spool:1 */

    ngx_array_t                 *notes;       /* variables, */
    ngx_array_t                 *places;      /* and locations, to check */

    ngx_str_t                    ref_path;    /* of links, such as "/ref/", */
    ngx_str_t                    ref_param;   /* or "ref"; empty: not known */

    ngx_http_hype_store_t       *store;       /* this worker's */
} ngx_http_hype_main_conf_t;


typedef struct {
    ngx_str_t                    name;
    ngx_str_t                    legacy;      /* the former name, or empty */
    ngx_http_complex_value_t    *domain;
    ngx_http_complex_value_t    *path;
    ngx_str_t                    age;         /* "; Max-Age=31536000" */
    ngx_str_t                    flags;       /* "; SameSite=Lax" etc. */
} ngx_http_hype_cookie_t;


typedef struct {
    ngx_http_complex_value_t    *event;
    ngx_http_complex_value_t    *value;
    ngx_http_complex_value_t    *condition;
} ngx_http_hype_confirm_t;


typedef struct {
    ngx_uint_t                   durability;

    ngx_flag_t                   ref;
    ngx_http_complex_value_t    *identifier;
    ngx_str_t                    prefix;      /* of the location's URIs */
    ngx_uint_t                   loose;       /* ngx_http_hype_identifier_e */

    ngx_array_t                 *params;      /* of ngx_str_t, NULL: off */
    ngx_uint_t                   mode;
    ngx_http_complex_value_t    *to;          /* NULL: "/ref/" */

    ngx_str_t                    next_param;
    ngx_array_t                 *next_hosts;  /* of complex values */
    ngx_http_complex_value_t    *destination; /* NULL: off */
    ngx_http_complex_value_t    *fallback;
    ngx_uint_t                   fallback_code;
    ngx_flag_t                   forward_args;
    ngx_str_t                    hit_param;   /* empty: off */
    ngx_array_t                 *keep_args;   /* of ngx_str_t, NULL: off */

    ngx_http_hype_cookie_t      *cookie;
    ngx_http_complex_value_t    *user;
    ngx_array_t                 *no_hit;      /* predicates */
    ngx_array_t                 *no_cookie;   /* predicates */
    ngx_http_complex_value_t    *bot;
    ngx_uint_t                   ip;
    ngx_array_t                 *confirm;     /* ngx_http_hype_confirm_t */
    ngx_http_complex_value_t    *code;        /* NULL: off */

    ngx_uint_t                   status;
    ngx_msec_t                   reports;     /* kept for so long, 0: off */

    ngx_uint_t                   links;
    ngx_uint_t                   links_create;
    ngx_http_complex_value_t    *links_to;    /* NULL: "/ref/" */
} ngx_http_hype_loc_conf_t;


typedef enum {
    NGX_HTTP_HYPE_START = 0,
    NGX_HTTP_HYPE_FIND,                       /* parked for its link */
    NGX_HTTP_HYPE_FOUND,
    NGX_HTTP_HYPE_STORE,                      /* parked for its hit */
    NGX_HTTP_HYPE_DONE
} ngx_http_hype_state_e;


typedef struct {
    ngx_http_request_t          *request;
    ngx_http_hype_store_t       *store;
    ngx_uint_t                   state;
    ngx_uint_t                   outcome;

    ngx_str_t                    identifier;
    ngx_str_t                    folded;      /* looked up second, or empty */
    ngx_str_t                    next;        /* decoded; may be unsafe */
    ngx_str_t                    user;
    u_char                       visitor[NGX_HTTP_HYPE_UUID_LEN];
    u_char                       hit[NGX_HTTP_HYPE_UUID_LEN];

    ngx_http_hype_wait_t         wait;
    ngx_http_hype_link_t         link;

    ngx_uint_t                   purpose;     /* of the request, a bit mask */

    unsigned                     has_visitor:1;
    unsigned                     has_hit:1;
    unsigned                     set_cookie:1;
    unsigned                     redirected:1;
    unsigned                     refused:1;    /* not to be claimed, either */
} ngx_http_hype_ctx_t;


extern ngx_module_t  ngx_http_hype_module;

/* the words for ngx_http_hype_outcome_e; empty for the last one */

extern ngx_str_t  ngx_http_hype_outcomes[];


/*
 * ngx_http_hype_answer.c: what follows from an answer: the cookie and, once the
 * application has answered, claims, confirms and hits of typed codes.
 */

/* For the header filter, on main requests.  NGX_ERROR if memory ran out. */

ngx_int_t ngx_http_hype_answer(ngx_http_request_t *r);


/* ngx_http_hype_answer_headers.c: the cookie, and who may store an answer */

/*
 * Sets the cookie of that name, ours or its former one, to a visitor, or clears
 * it if that is NULL.  NGX_ERROR if memory ran out.
 */

ngx_int_t ngx_http_hype_answer_set_cookie(ngx_http_request_t *r,
    ngx_http_hype_cookie_t *cookie, ngx_str_t *name, u_char *visitor);

/*
 * Nobody but the client may store an answer with its cookie, whatever the
 * application or "expires" said; what they said of storing it at all stays.
 * A redirect of ours is not stored.  NGX_ERROR if memory ran out.
 */

ngx_int_t ngx_http_hype_answer_cache_control(ngx_http_request_t *r,
    ngx_uint_t redirected);

/*
 * Whether "value" can be that of a cookie's attribute: RFC 6265, 4.1.1.
 * Returns 1 or 0.
 */

ngx_uint_t ngx_http_hype_answer_attribute(ngx_str_t *value);


/* ngx_http_hype_param.c: referral codes on any URL, ?ref=<identifier> */

/*
 * Whether the request may have a query: nginx has looked for it.  Returns 1 or
 * 0.
 */

static ngx_inline ngx_uint_t
ngx_http_hype_has_query(ngx_http_request_t *r)
{
    return r->args_start || r->complex_uri;
}

/*
 * The phase handler of such requests where "hype_ref_param" is on.  Returns
 * NGX_DECLINED if the request is none of ours or goes on, NGX_AGAIN while it is
 * parked, NGX_DONE if it is answered, or a status.
 */

ngx_int_t ngx_http_hype_param_handler(ngx_http_request_t *r,
    ngx_http_hype_loc_conf_t *hlcf);

/* Whether identifiers can be appended to that path.  Returns 1 or 0. */

ngx_uint_t ngx_http_hype_param_to_valid(ngx_str_t *to);

/*
 * The path that identifiers are appended to: the "to=" of that directive, or
 * "/ref/" if it is not set, or has variables that make it no such path, which
 * is logged.  NGX_ERROR: no memory.
 */

ngx_int_t ngx_http_hype_param_to(ngx_http_request_t *r,
    ngx_http_complex_value_t *value, const char *directive, ngx_str_t *to);


/* Whether the client has connected by TLS.  Returns 1 or 0. */

static ngx_inline ngx_uint_t
ngx_http_hype_is_tls(ngx_http_request_t *r)
{
#if (NGX_SSL || NGX_COMPAT)
    return r->connection->ssl != NULL;
#else
    return 0;
#endif
}


/* ngx_http_hype_ref.c: referral links as locations, /ref/<identifier>/ */

/* The phase handler of a location with "hype_ref"; returns as the other. */

ngx_int_t ngx_http_hype_ref_handler(ngx_http_request_t *r,
    ngx_http_hype_loc_conf_t *hlcf);


/* ngx_http_hype_variables.c */

/* For the module's preconfiguration.  NGX_ERROR if memory ran out. */

ngx_int_t ngx_http_hype_variables_add(ngx_conf_t *cf);

/*
 * The index of the variable that keeps what ngx_http_hype_ask() saw.  NGX_ERROR
 * if memory ran out.
 */

ngx_int_t ngx_http_hype_variables_asked(ngx_conf_t *cf);

/*
 * A handler of the first phase that each request comes to.  It keeps the
 * method, which internal redirects may change, and declines.
 */

ngx_int_t ngx_http_hype_ask(ngx_http_request_t *r);

/*
 * The method that the client asked with.  0: nginx refused the request before
 * it came to any phase.  Its line, URI, arguments, host and headers may be
 * missing then, or be of any form, although "error_page" may lead it to a
 * location of ours.
 */

static ngx_inline ngx_uint_t
ngx_http_hype_asked(ngx_http_request_t *r)
{
    ngx_http_hype_main_conf_t  *hmcf;

    hmcf = ngx_http_get_module_main_conf(r, ngx_http_hype_module);

    return (ngx_uint_t) r->variables[hmcf->asked].data;
}


/*
 * Whether that is GET or HEAD; an error page makes each method a GET.  A
 * subrequest has a method of its own.  Returns 1 or 0.
 */

ngx_uint_t ngx_http_hype_is_read(ngx_http_request_t *r);


#endif /* _NGX_HTTP_HYPE_H_INCLUDED_ */
