
/*
 * record_filter copy | sql | claim | confirm: reads hits, each as the values
 * identifier, id, link (decimal), created (decimal milliseconds), flags ("a"
 * for authenticated, "b" for bot), visitor, user_id, ip, user_agent,
 * http_referer, next, source, args; or claims or confirms, as visitor, user_id, created,
 * event, value.  An empty value is none.  Prints the rows of hits as a binary
 * COPY, or records as SQL, one a line.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "hype_sql.h"
#include "ngx_http_hype_record.h"
#include "filter.h"


#define NVALUES  13


static ngx_uint_t read_values(ngx_str_t *values, ngx_uint_t n);
static uint64_t read_number(ngx_str_t *value);
static void read_row(ngx_str_t *values, ngx_http_hype_row_t *row);
static void print_copy(ngx_http_hype_row_t *row);
static void print_hit(ngx_str_t *identifier, ngx_http_hype_row_t *row);
static void print_event(ngx_http_hype_record_type_e type, ngx_str_t *values);
static void print_sql(u_char *record, u_char *last);
static void *allocate(size_t size);


int
main(int argc, char *const *argv)
{
    char                 *mode;
    ngx_str_t             values[NVALUES];
    ngx_uint_t            i, n;
    ngx_http_hype_row_t   row;

    if (argc != 2) {
        return 2;
    }

    mode = argv[1];
    n = strcmp(mode, "claim") == 0 || strcmp(mode, "confirm") == 0 ? 5
                                                                   : NVALUES;

    if (strcmp(mode, "copy") == 0) {
        fwrite(ngx_http_hype_row_header.data, 1, ngx_http_hype_row_header.len,
               stdout);
    }

    while (read_values(values, n)) {

        if (strcmp(mode, "claim") == 0) {
            print_event(NGX_HTTP_HYPE_RECORD_CLAIM, values);

        } else if (strcmp(mode, "confirm") == 0) {
            print_event(NGX_HTTP_HYPE_RECORD_CONFIRM, values);

        } else {
            read_row(values, &row);

            if (strcmp(mode, "copy") == 0) {
                print_copy(&row);

            } else {
                print_hit(&values[0], &row);
            }
        }

        for (i = 0; i < n; i++) {
            free(values[i].data);
        }
    }

    if (strcmp(mode, "copy") == 0) {
        fwrite(ngx_http_hype_row_trailer.data, 1,
               ngx_http_hype_row_trailer.len, stdout);
    }

    return 0;
}


static ngx_uint_t
read_values(ngx_str_t *values, ngx_uint_t n)
{
    ngx_uint_t  i;

    for (i = 0; i < n; i++) {
        values[i] = filter_read();
        if (values[i].data == NULL) {
            return 0;
        }
    }

    return 1;
}


static uint64_t
read_number(ngx_str_t *value)
{
    char  number[32];

    snprintf(number, sizeof(number), "%.*s", (int) value->len, value->data);

    return number[0] == '-' ? (uint64_t) strtoll(number, NULL, 10)
                            : strtoull(number, NULL, 10);
}


static void
read_row(ngx_str_t *values, ngx_http_hype_row_t *row)
{
    if (values[1].len != 16) {
        exit(2);
    }

    ngx_memzero(row, sizeof(ngx_http_hype_row_t));

    ngx_memcpy(row->id, values[1].data, 16);

    row->link = (int64_t) read_number(&values[2]);
    row->created = read_number(&values[3]);

    row->authenticated = memchr(values[4].data, 'a', values[4].len) != NULL;
    row->bot = memchr(values[4].data, 'b', values[4].len) != NULL;

    row->visitor = values[5].len ? values[5].data : NULL;
    row->user_id = values[6];

    row->ip = values[7].len ? values[7].data : NULL;
    row->ip_len = values[7].len;

    row->user_agent = values[8];
    row->referer = values[9];
    row->next = values[10];
    row->source = values[11];
    row->args = values[12];
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
print_hit(ngx_str_t *identifier, ngx_http_hype_row_t *row)
{
    size_t   len;
    u_char  *record;

    len = ngx_http_hype_record_hit_length(identifier, row);
    record = allocate(len);

    if (ngx_http_hype_record_hit(record, identifier, row) != record + len) {
        exit(2);
    }

    print_sql(record, record + len);
}


static void
print_event(ngx_http_hype_record_type_e type, ngx_str_t *values)
{
    size_t                  len;
    u_char                 *record;
    ngx_http_hype_event_t   event;

    event.visitor = values[0].len ? values[0].data : NULL;
    event.user_id = values[1];
    event.created = read_number(&values[2]);
    event.event = values[3];
    event.value = values[4];

    len = ngx_http_hype_record_event_length(&event);
    record = allocate(len);

    if (ngx_http_hype_record_event(record, type, &event) != record + len) {
        exit(2);
    }

    print_sql(record, record + len);
}


static void
print_sql(u_char *record, u_char *last)
{
    size_t  len;

    ngx_http_hype_record_seal(record);

    if (ngx_http_hype_record_check(record, last, &len) != NGX_OK
        || len != (size_t) (last - record))
    {
        fprintf(stderr, "a record is not well-formed\n");
        exit(2);
    }

    hype_sql_record(stdout, record);
    printf(";\n");

    free(record);
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
