
/*
 * The directives' setters.  Like those of nginx they return NGX_CONF_OK, or
 * what is wrong, or NGX_CONF_ERROR once they have logged it with the directive
 * and the value.
 */


#ifndef _NGX_HTTP_HYPE_CONF_H_INCLUDED_
#define _NGX_HTTP_HYPE_CONF_H_INCLUDED_


#include "ngx_http_hype.h"


/* Whether a location of Angie has several names; "name" is the first then */

#if (angie_version >= 1003000)
#define ngx_http_hype_conf_combined(clcf)  ((clcf)->combined != NULL)
#else
#define ngx_http_hype_conf_combined(clcf)  0
#endif


/* ngx_http_hype_conf.c: what they have in common */

/* A setter for a word of the list that the command has in "post". */

char *ngx_http_hype_conf_enum(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);

/*
 * Sets "result" to the number of the list's word "value" and returns NULL; or
 * returns which words there are, in the temporary pool.
 */

char *ngx_http_hype_conf_word(ngx_conf_t *cf, ngx_conf_enum_t *e,
    ngx_str_t *value, ngx_uint_t *result);

/*
 * Parameters of a directive, such as "valid=10m" or "secure".  A table of them
 * ends with one without a name, whose "post" says what is expected.
 */

typedef struct {
    ngx_str_t    name;             /* with "=", if it has a value */

    /*
     * Sets "field", as "value" says, or "post" for one without; returns
     * NGX_CONF_OK, or what is wrong, or NGX_CONF_ERROR once it has logged it
     */
    char      *(*set)(ngx_conf_t *cf, ngx_str_t *value, void *field,
                      void *post);

    size_t       offset;           /* of the field, which is said once */
    void        *post;
} ngx_http_hype_conf_param_t;


/*
 * Set fields of "conf": by the directive's arguments from the number "n" on, or
 * by the one argument that is "param", where "seen" has the table's parameters
 * that have been there, as bits, and is 0 at first.  Return NGX_CONF_OK, or
 * NGX_CONF_ERROR once they have logged what is wrong.
 */

char *ngx_http_hype_conf_params(ngx_conf_t *cf, ngx_uint_t n,
    ngx_http_hype_conf_param_t *params, void *conf);
char *ngx_http_hype_conf_param(ngx_conf_t *cf, ngx_str_t *argument,
    ngx_http_hype_conf_param_t *params, ngx_http_hype_conf_param_t *param,
    void *conf, ngx_uint_t *seen);

/* The parameter that the argument is, or the table's end, without a name. */

ngx_http_hype_conf_param_t *ngx_http_hype_conf_find_param(
    ngx_http_hype_conf_param_t *params, ngx_str_t *argument);

/*
 * Setters: of an ngx_uint_t to "post" (a flag) or to the value of its word in a
 * list (ngx_conf_enum_t); of an ngx_msec_t, above 0 unless "post" is the error
 * of an invalid one; of a complex value.
 */

char *ngx_http_hype_conf_param_flag(ngx_conf_t *cf, ngx_str_t *value,
    void *field, void *post);
char *ngx_http_hype_conf_param_enum(ngx_conf_t *cf, ngx_str_t *value,
    void *field, void *post);
char *ngx_http_hype_conf_param_msec(ngx_conf_t *cf, ngx_str_t *value,
    void *field, void *post);
char *ngx_http_hype_conf_param_value(ngx_conf_t *cf, ngx_str_t *value,
    void *field, void *post);

/*
 * Of a complex value that is a path which begins and ends with "/"
 * (ngx_http_hype_conf_ref.c).
 */

char *ngx_http_hype_conf_param_path(ngx_conf_t *cf, ngx_str_t *value,
    void *field, void *post);

/* A value that may have variables, in the pool; NULL after an error. */

ngx_http_complex_value_t *ngx_http_hype_conf_compile(ngx_conf_t *cf,
    ngx_str_t *value);

/* Logs why the directive can't have this value; returns NGX_CONF_ERROR. */

char *ngx_http_hype_conf_invalid(ngx_conf_t *cf, ngx_str_t *value,
    const char *reason);

/* Whether it can be the name of a cookie or an argument.  Returns 1 or 0. */

ngx_uint_t ngx_http_hype_conf_is_token(ngx_str_t *value);

/*
 * The directive that is being read is of no use without hype_database: that is
 * checked when all has been read.
 */

void ngx_http_hype_conf_needs_database(ngx_conf_t *cf);


/* ngx_http_hype_conf_merge.c: defaults, and what is inherited */

/* For the module's context, which says when nginx calls them. */

void *ngx_http_hype_conf_create_main(ngx_conf_t *cf);
char *ngx_http_hype_conf_init_main(ngx_conf_t *cf, void *conf);
void *ngx_http_hype_conf_create_location(ngx_conf_t *cf);
char *ngx_http_hype_conf_merge_location(ngx_conf_t *cf, void *parent,
    void *child);


/*
 * ngx_http_hype_conf_check.c: what can only be judged when all of the
 * configuration has been read, and what is worth a warning.
 */

/*
 * Notes the variables of the directive's arguments, with file and line.
 * NGX_ERROR if memory ran out.
 */

ngx_int_t ngx_http_hype_conf_note_variables(ngx_conf_t *cf);

/* NGX_ERROR: a variable that was noted does not exist, which it has logged. */

ngx_int_t ngx_http_hype_conf_check_variables(ngx_conf_t *cf);

/* After that, ngx_http_set_complex_value_slot() and ..._predicate_slot(). */

char *ngx_http_hype_conf_value(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_hype_conf_predicate(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/* As ngx_http_hype_conf_value(), and warns of a user whom the request names. */

char *ngx_http_hype_conf_user(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);

/* Warns of a database on another machine without "sslmode". */

void ngx_http_hype_conf_check_ssl(ngx_conf_t *cf,
    ngx_http_hype_conninfo_t *info);

/*
 * Called for each location and server, when it has been merged: NGX_ERROR once
 * it has logged what can't be.  Then, once at the end, warns of what leads
 * nowhere.
 */

ngx_int_t ngx_http_hype_conf_check_location(ngx_conf_t *cf,
    ngx_http_hype_loc_conf_t *hlcf);
void ngx_http_hype_conf_check_refs(ngx_conf_t *cf);


/*
 * ngx_http_hype_conf_database.c: where hits go, and where they are looked at:
 * database, zone, spool, status.
 */

char *ngx_http_hype_conf_database(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_hype_conf_zone(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_hype_conf_spool(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_hype_conf_status(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/* Adds the zone of that name and size in bytes, and what keeps links in it. */

char *ngx_http_hype_conf_add_zone(ngx_conf_t *cf,
    ngx_http_hype_main_conf_t *hmcf, ngx_str_t *name, size_t size);

/* Sets the spool's directory, for nginx to make, if it can be one. */

char *ngx_http_hype_conf_set_spool_path(ngx_conf_t *cf,
    ngx_http_hype_main_conf_t *hmcf, ngx_str_t *name);


/*
 * ngx_http_hype_conf_ref.c: referral links, where they are found in a URL, and
 * where they lead.
 */

char *ngx_http_hype_conf_ref(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_hype_conf_ref_param(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_hype_conf_destination(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_hype_conf_keep_args(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_hype_conf_next_hosts(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_hype_conf_fallback(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/* For ngx_conf_set_str_slot(), as its post handlers: check the name. */

char *ngx_http_hype_conf_next_param(ngx_conf_t *cf, void *post, void *data);
char *ngx_http_hype_conf_hit_param(ngx_conf_t *cf, void *post, void *data);


/* ngx_http_hype_conf_owner.c: the page of the owner of links */

char *ngx_http_hype_conf_links(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);

/*
 * Called when hype_ref, hype_status and hype_user have been merged.  NGX_ERROR
 * once it has logged what is wrong.
 */

ngx_int_t ngx_http_hype_conf_merge_links(ngx_conf_t *cf,
    ngx_http_hype_loc_conf_t *prev, ngx_http_hype_loc_conf_t *conf);


/*
 * ngx_http_hype_conf_visitor.c: the cookie, what is confirmed of a user, and
 * the code that a user has typed.
 */

char *ngx_http_hype_conf_cookie(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_hype_conf_confirm(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_hype_conf_code(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);


#endif /* _NGX_HTTP_HYPE_CONF_H_INCLUDED_ */
