
#include "ngx_http_hype_status.h"
#include "ngx_http_hype_await.h"
#include "ngx_http_hype_visit.h"


/* maximum length of the arguments, as they are sent */
#define NGX_HTTP_HYPE_STATUS_ARGS     2048

/* of what is sent besides a report */
#define NGX_HTTP_HYPE_STATUS_PROBLEM  2048


static ngx_int_t ngx_http_hype_status_arguments(ngx_http_request_t *r,
    ngx_str_t *json);
static u_char *ngx_http_hype_status_argument(ngx_http_request_t *r,
    u_char *p, u_char *start, u_char *end);
static ngx_uint_t ngx_http_hype_status_readable(ngx_str_t *text);
static u_char *ngx_http_hype_status_string(u_char *p, ngx_str_t *text);
static ngx_int_t ngx_http_hype_status_send_report(ngx_http_request_t *r,
    ngx_http_hype_report_wait_t *wait);
static ngx_int_t ngx_http_hype_status_send_problem(ngx_http_request_t *r,
    ngx_http_hype_report_wait_t *wait);
static ngx_int_t ngx_http_hype_status_bad(ngx_http_request_t *r,
    ngx_str_t *message);
static u_char *ngx_http_hype_status_problem(u_char *p,
    ngx_http_hype_report_wait_t *wait);
static u_char *ngx_http_hype_status_grant(u_char *p, u_char *user);


static ngx_http_hype_status_problem_t  ngx_http_hype_status_problems[] = {
    { ngx_null_string, ngx_null_string },

    { ngx_string("pending"),
      ngx_string("the report is not ready yet: ask again") },

    { ngx_string("busy"),
      ngx_string("too many reports are asked for: ask again") },

    { ngx_string("away"),
      ngx_string("there is no connection to the database") },

    { ngx_string("grant"),
      ngx_string("nginx may not read reports: the owner of the database has "
                 "to grant it the role hype_report") },

    { ngx_string("schema"),
      ngx_string("the schema in the database is older than this module: run "
                 "sql/hype.sql again") },

    { ngx_string("slow"),
      ngx_string("the report takes more than 10 seconds: choose a shorter "
                 "time") },

    { ngx_string("failed"),
      ngx_string("PostgreSQL can't report: nginx's error log says why") }
};


ngx_int_t
ngx_http_hype_status_report(ngx_http_request_t *r)
{
    uint32_t                     viewer;
    ngx_int_t                    rc;
    ngx_str_t                    arguments;
    ngx_http_hype_store_t       *store;
    ngx_http_hype_loc_conf_t    *hlcf;
    ngx_http_hype_main_conf_t   *hmcf;

    hlcf = ngx_http_get_module_loc_conf(r, ngx_http_hype_module);

    if (!hlcf->reports) {
        return NGX_HTTP_NOT_FOUND;
    }

    rc = ngx_http_hype_status_arguments(r, &arguments);

    if (rc == NGX_DECLINED) {
        return ngx_http_hype_status_bad(r, &arguments);
    }

    hmcf = ngx_http_get_module_main_conf(r, ngx_http_hype_module);
    store = hmcf->store;

    if (rc != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    viewer = ngx_http_hype_hash(store->cache->metrics->key,
                                &r->connection->addr_text);

    return ngx_http_hype_await(r, &store->report, &arguments, viewer,
                               hlcf->reports,
                               ngx_http_hype_status_send_report);
}


/*
 * Makes a JSON object of what follows "report" in the query; an argument
 * without value is left out.  NGX_DECLINED: "json" says what is wrong.
 */

static ngx_int_t
ngx_http_hype_status_arguments(ngx_http_request_t *r, ngx_str_t *json)
{
    u_char  *p, *q, *end, *last;

    static ngx_str_t  unreadable = ngx_string("an argument is neither UTF-8 "
                                              "nor free of control "
                                              "characters");
    static ngx_str_t  too_long = ngx_string("the arguments are too long");

    if (r->args.len > NGX_HTTP_HYPE_STATUS_ARGS) {
        *json = too_long;
        return NGX_DECLINED;
    }

    /* each byte may be escaped, as "\u00xx"; each argument has quotes */

    json->data = ngx_pnalloc(r->pool, r->args.len * 6 + 2);
    if (json->data == NULL) {
        return NGX_ERROR;
    }

    p = json->data;
    *p++ = '{';

    q = r->args.data + sizeof("report") - 1;
    last = r->args.data + r->args.len;

    while (q < last) {
        q++;

        end = ngx_strlchr(q, last, '&');
        if (end == NULL) {
            end = last;
        }

        p = ngx_http_hype_status_argument(r, p, q, end);
        if (p == NULL) {
            *json = unreadable;
            return NGX_DECLINED;
        }

        q = end;
    }

    if (p[-1] == ',') {
        p--;
    }

    *p++ = '}';
    json->len = p - json->data;

    return NGX_OK;
}


/* NULL: it can't be read, or memory ran out */

static u_char *
ngx_http_hype_status_argument(ngx_http_request_t *r, u_char *p,
    u_char *start, u_char *end)
{
    u_char     *equals, *s;
    ngx_str_t   part[2];
    ngx_uint_t  i;

    equals = ngx_strlchr(start, end, '=');

    if (equals == NULL || equals == end - 1) {
        return p;
    }

    part[0].data = start;
    part[0].len = equals - start;
    part[1].data = equals + 1;
    part[1].len = end - part[1].data;

    for (i = 0; i < 2; i++) {
        s = ngx_pnalloc(r->pool, part[i].len);
        if (s == NULL) {
            return NULL;
        }

        part[i].len = ngx_http_hype_unescape_plus(s, &part[i]);
        part[i].data = s;

        if (!ngx_http_hype_status_readable(&part[i])) {
            return NULL;
        }
    }

    p = ngx_http_hype_status_string(p, &part[0]);
    *p++ = ':';
    p = ngx_http_hype_status_string(p, &part[1]);
    *p++ = ',';

    return p;
}


/* as PostgreSQL has it: no surrogates, either */

static ngx_uint_t
ngx_http_hype_status_readable(ngx_str_t *text)
{
    u_char    *p, *last;
    uint32_t   n;

    p = text->data;
    last = p + text->len;

    while (p < last) {
        n = (*p < 0x80) ? *p++ : ngx_utf8_decode(&p, last - p);

        if (n > 0x10ffff || (n >= 0xd800 && n <= 0xdfff) || n < 0x20
            || n == 0x7f)
        {
            return 0;
        }
    }

    return 1;
}


static u_char *
ngx_http_hype_status_string(u_char *p, ngx_str_t *text)
{
    *p++ = '"';
    p = (u_char *) ngx_escape_json(p, text->data, text->len);
    *p++ = '"';

    return p;
}


/* the last one, be it old: its age, and why, are a part of it */

static ngx_int_t
ngx_http_hype_status_send_report(ngx_http_request_t *r,
    ngx_http_hype_report_wait_t *wait)
{
    u_char                        *p;
    ngx_str_t                      text;
    ngx_msec_t                     age;
    ngx_http_hype_main_conf_t     *hmcf;
    ngx_http_hype_report_entry_t  *entry;

    entry = wait->entry;

    if (entry && entry->error.len) {
        return ngx_http_hype_status_bad(r, &entry->error);
    }

    if (entry == NULL || entry->text.len == 0) {
        return ngx_http_hype_status_send_problem(r, wait);
    }

    hmcf = ngx_http_get_module_main_conf(r, ngx_http_hype_module);

    text.data = ngx_pnalloc(r->pool, entry->text.len
                            + 6 * (hmcf->ref_path.len + hmcf->ref_param.len)
                            + NGX_HTTP_HYPE_STATUS_PROBLEM);
    if (text.data == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    age = ngx_current_msec - entry->made;

    /* before its closing brace */

    p = ngx_sprintf(text.data, "%*s, \"age\": %M.%03M, \"path\": ",
                    entry->text.len - 1, entry->text.data,
                    age / 1000, age % 1000);
    p = ngx_http_hype_status_string(p, &hmcf->ref_path);
    p = ngx_sprintf(p, ", \"param\": ");
    p = ngx_http_hype_status_string(p, &hmcf->ref_param);

    if (wait->wait.status != NGX_HTTP_HYPE_REPORT_FINE) {
        *p++ = ',';
        p = ngx_http_hype_status_problem(p, wait);
    }

    p = ngx_sprintf(p, "}\n");
    text.len = p - text.data;

    return ngx_http_hype_status_send(r, NGX_HTTP_OK, "application/json",
                                       &text);
}


static ngx_int_t
ngx_http_hype_status_send_problem(ngx_http_request_t *r,
    ngx_http_hype_report_wait_t *wait)
{
    u_char     *p;
    ngx_str_t   text;

    static ngx_str_t  soon = ngx_string("1");

    if (wait->wait.status == NGX_HTTP_HYPE_REPORT_FINE) {
        wait->wait.status = NGX_HTTP_HYPE_REPORT_PENDING;
    }

    text.data = ngx_pnalloc(r->pool, NGX_HTTP_HYPE_STATUS_PROBLEM);

    if (text.data == NULL
        || ngx_http_hype_add_header(r, "Retry-After", &soon) != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    p = text.data;
    *p++ = '{';
    p = ngx_http_hype_status_problem(p, wait);
    p = ngx_sprintf(p, "}\n");
    text.len = p - text.data;

    return ngx_http_hype_status_send(r, NGX_HTTP_SERVICE_UNAVAILABLE,
                                       "application/json", &text);
}


static u_char *
ngx_http_hype_status_problem(u_char *p, ngx_http_hype_report_wait_t *wait)
{
    ngx_http_hype_status_problem_t  *problem;

    problem = &ngx_http_hype_status_problems[wait->wait.status];

    p = ngx_sprintf(p, " \"problem\": \"%V\", \"message\": \"%V\"",
                    &problem->name, &problem->message);

    if (wait->wait.status == NGX_HTTP_HYPE_REPORT_GRANT) {
        p = ngx_sprintf(p, ", \"statement\": ");
        p = ngx_http_hype_status_grant(p, wait->report->user);
    }

    return p;
}


/* the role in quotes, as it may have any name */

static u_char *
ngx_http_hype_status_grant(u_char *p, u_char *user)
{
    u_char      statement[NGX_HTTP_HYPE_REPORT_NAME * 2 + 64], *q;
    ngx_str_t   text;
    ngx_uint_t  plain;

    plain = 1;

    for (q = user; *q; q++) {
        plain &= ((*q >= 'a' && *q <= 'z') || *q == '_'
                  || (*q >= '0' && *q <= '9' && q > user));
    }

    text.data = statement;
    q = ngx_sprintf(statement, "GRANT hype_report TO %s", plain ? "" : "\"");

    for ( /* void */ ; *user; user++) {
        if (*user == '"') {
            *q++ = '"';
        }

        *q++ = *user;
    }

    q = ngx_sprintf(q, plain ? ";" : "\";");
    text.len = q - statement;

    return ngx_http_hype_status_string(p, &text);
}


static ngx_int_t
ngx_http_hype_status_bad(ngx_http_request_t *r, ngx_str_t *message)
{
    u_char     *p;
    ngx_str_t   text;

    static const char  start[] = "{\"problem\": \"arguments\", \"message\": ";

    text.data = ngx_pnalloc(r->pool, sizeof(start) + 6 * message->len + 4);
    if (text.data == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    p = ngx_cpymem(text.data, start, sizeof(start) - 1);
    p = ngx_http_hype_status_string(p, message);
    p = ngx_cpymem(p, "}\n", 2);
    text.len = p - text.data;

    return ngx_http_hype_status_send(r, NGX_HTTP_BAD_REQUEST,
                                       "application/json", &text);
}
