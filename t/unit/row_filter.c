
/*
 * row_filter copy | sql: reads hits, each as the values identifier, id, link
 * (decimal), created (decimal milliseconds), flags ("a" for authenticated,
 * "b" for bot), visitor, user_id, ip, user_agent, http_referer, next; and
 * prints their rows as a binary COPY, or their records as SQL, one a line.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_http_hype_record.h"
#include "filter.h"


#define NVALUES  11


static ngx_uint_t read_row(ngx_str_t *values, ngx_http_hype_row_t *row);
static void print_copy(ngx_http_hype_row_t *row);
static void print_sql(ngx_str_t *identifier, ngx_http_hype_row_t *row);
static void *allocate(size_t size);


int
main(int argc, char *const *argv)
{
    ngx_str_t             values[NVALUES];
    ngx_uint_t            i, copy;
    ngx_http_hype_row_t   row;

    copy = (argc == 2 && strcmp(argv[1], "copy") == 0);

    if (copy) {
        fwrite(ngx_http_hype_row_header.data, 1, ngx_http_hype_row_header.len,
               stdout);
    }

    while (read_row(values, &row)) {

        if (copy) {
            print_copy(&row);

        } else {
            print_sql(&values[0], &row);
        }

        for (i = 0; i < NVALUES; i++) {
            free(values[i].data);
        }
    }

    if (copy) {
        fwrite(ngx_http_hype_row_trailer.data, 1,
               ngx_http_hype_row_trailer.len, stdout);
    }

    return 0;
}


static ngx_uint_t
read_row(ngx_str_t *values, ngx_http_hype_row_t *row)
{
    char        number[32];
    ngx_uint_t  i;

    for (i = 0; i < NVALUES; i++) {
        values[i] = filter_read();
        if (values[i].data == NULL) {
            return 0;
        }
    }

    ngx_memzero(row, sizeof(ngx_http_hype_row_t));

    if (values[1].len != 16) {
        exit(2);
    }

    ngx_memcpy(row->id, values[1].data, 16);

    snprintf(number, sizeof(number), "%.*s", (int) values[2].len,
             values[2].data);
    row->link = strtoll(number, NULL, 10);

    snprintf(number, sizeof(number), "%.*s", (int) values[3].len,
             values[3].data);
    row->created = strtoull(number, NULL, 10);

    row->authenticated = memchr(values[4].data, 'a', values[4].len) != NULL;
    row->bot = memchr(values[4].data, 'b', values[4].len) != NULL;

    row->visitor = values[5].len ? values[5].data : NULL;
    row->user_id = values[6];

    row->ip = values[7].len ? values[7].data : NULL;
    row->ip_len = values[7].len;

    row->user_agent = values[8];
    row->referer = values[9];
    row->next = values[10];

    return 1;
}


static void
print_copy(ngx_http_hype_row_t *row)
{
    size_t   len;
    u_char  *buf;

    len = ngx_http_hype_row_length(row);
    buf = allocate(len);

    if (ngx_http_hype_row_write(buf, row) != buf + len
        || ngx_http_hype_row_check(buf, buf + len) != len)
    {
        fprintf(stderr, "a row is not well-formed\n");
        exit(2);
    }

    fwrite(buf, 1, len, stdout);
    free(buf);
}


static void
print_sql(ngx_str_t *identifier, ngx_http_hype_row_t *row)
{
    size_t   len, checked;
    u_char  *buf, *sql, *last;

    len = ngx_http_hype_record_hit_length(identifier, row);
    buf = allocate(len);

    last = ngx_http_hype_record_hit(buf, identifier, row);
    ngx_http_hype_record_seal(buf);

    if (ngx_http_hype_record_check(buf, last, &checked) != NGX_OK
        || checked != len)
    {
        fprintf(stderr, "a record is not well-formed\n");
        exit(2);
    }

    sql = allocate(ngx_http_hype_record_sql_length(buf));
    last = ngx_http_hype_record_sql(sql, buf);

    fwrite(sql, 1, last - sql, stdout);
    printf(";\n");

    free(sql);
    free(buf);
}


static void *
allocate(size_t size)
{
    void  *p;

    p = malloc(size);
    if (p == NULL) {
        exit(2);
    }

    return p;
}
