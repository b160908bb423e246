
/*
 * hype-spool: what is in spool files, as JSON or SQL.  See hype-spool.1.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <getopt.h>
#include "hype_sql.h"
#include "ngx_http_hype_record.h"
#include "ngx_http_hype_version.h"


#define HYPE_SPOOL_DAMAGED  1
#define HYPE_SPOOL_TROUBLE  2


typedef struct {
    const char              *name;
    u_char                  *data;
    size_t                   size;
    size_t                   records[NGX_HTTP_HYPE_RECORD_CONFIRM + 1];
    size_t                   lost;      /* bytes that are in no record */
} hype_spool_file_t;


static int hype_spool_path(const char *path);
static int hype_spool_is_spool(const struct dirent *entry);
static int hype_spool_folder(const char *path);
static int hype_spool_file(const char *path, ngx_uint_t listed);
static int hype_spool_read(hype_spool_file_t *file, int fd);
static int hype_spool_records(hype_spool_file_t *file);
static size_t hype_spool_damage(hype_spool_file_t *file, size_t offset,
    ngx_int_t rc, size_t len);
static void hype_spool_record(hype_spool_file_t *file, u_char *record);
static void hype_spool_note(hype_spool_file_t *file, u_char *record);
static void hype_spool_json(hype_spool_file_t *file, u_char *record);
static void hype_spool_json_value(const char *name, u_char *column,
    ngx_http_hype_column_e type);
static void hype_spool_json_text(u_char *p, size_t len);
static u_char *hype_spool_json_char(u_char *p);
static void hype_spool_summary(hype_spool_file_t *file);
static void *hype_spool_alloc(void *p, size_t size);
static int hype_spool_error(const char *path);


static const char  hype_spool_usage[] =
    "Usage: hype-spool [option ...] file|directory|- ...\n"
    "\n"
    "Shows the records of spool files of nginx's module hype, or of all\n"
    "*.spool files in a directory, as lines of JSON.\n"
    "\n"
    "  -s, --sql      print SQL that writes the records to the database\n"
    "  -c, --check    print a summary of each file instead of the records\n"
    "  -r, --resume   continue behind a damaged record\n"
    "  -h, --help     print this text\n"
    "  -V, --version  print the version of the module\n"
    "\n"
    "Exit status: 0 if all records are whole, 1 if a record is damaged or cut\n"
    "short, 2 if a file can't be read.\n";


static struct option  hype_spool_options[] = {
    { "sql", no_argument, NULL, 's' },
    { "check", no_argument, NULL, 'c' },
    { "resume", no_argument, NULL, 'r' },
    { "help", no_argument, NULL, 'h' },
    { "version", no_argument, NULL, 'V' },
    { NULL, 0, NULL, 0 }
};


static const char  *hype_spool_types[] = { NULL, "hit", "claim", "confirm" };


static const char  *hype_spool_hit[] = {
    "id", "referral_link_id", "created", "authenticated", "bot", "visitor",
    "user_id", "ip", "user_agent", "http_referer", "next", "source", "args"
};

static const char  *hype_spool_event[] = {
    "visitor", "user_id", "created", "event", "value"
};


static ngx_uint_t  hype_spool_as_sql;
static ngx_uint_t  hype_spool_check_only;
static ngx_uint_t  hype_spool_resume;


int
main(int argc, char *const *argv)
{
    int  c, rc, status;

    while ((c = getopt_long(argc, argv, "scrhV", hype_spool_options, NULL))
           != -1)
    {
        switch (c) {

        case 's':
            hype_spool_as_sql = 1;
            break;

        case 'c':
            hype_spool_check_only = 1;
            break;

        case 'r':
            hype_spool_resume = 1;
            break;

        case 'h':
            fputs(hype_spool_usage, stdout);
            return 0;

        case 'V':
            puts("hype-spool " NGX_HTTP_HYPE_VERSION);
            return 0;

        default:
            fputs("Try \"hype-spool --help\".\n", stderr);
            return HYPE_SPOOL_TROUBLE;
        }
    }

    if (optind == argc) {
        fputs(hype_spool_usage, stderr);
        return HYPE_SPOOL_TROUBLE;
    }

    status = 0;

    for ( /* void */ ; optind < argc; optind++) {
        rc = hype_spool_path(argv[optind]);
        status = ngx_max(status, rc);
    }

    if (fflush(stdout) != 0 || ferror(stdout)) {
        return hype_spool_error("standard output");
    }

    return status;
}


static int
hype_spool_path(const char *path)
{
    struct stat  st;

    if (strcmp(path, "-") != 0 && stat(path, &st) == 0
        && S_ISDIR(st.st_mode))
    {
        return hype_spool_folder(path);
    }

    return hype_spool_file(path, 0);
}


static int
hype_spool_is_spool(const struct dirent *entry)
{
    size_t  len;

    len = strlen(entry->d_name);

    return len > 6 && strcmp(entry->d_name + len - 6, ".spool") == 0;
}


/* names begin with the time, so that the oldest file comes first */

static int
hype_spool_folder(const char *path)
{
    int              i, n, rc, status;
    char            *name;
    size_t           len;
    struct dirent  **entries;

    n = scandir(path, &entries, hype_spool_is_spool, alphasort);
    if (n == -1) {
        return hype_spool_error(path);
    }

    status = 0;

    for (i = 0; i < n; i++) {
        len = strlen(path) + strlen(entries[i]->d_name) + sizeof("/");
        name = hype_spool_alloc(NULL, len);
        (void) snprintf(name, len, "%s/%s", path, entries[i]->d_name);

        rc = hype_spool_file(name, 1);
        status = ngx_max(status, rc);

        free(name);
        free(entries[i]);
    }

    free(entries);

    return status;
}


static int
hype_spool_file(const char *path, ngx_uint_t listed)
{
    int                fd, rc;
    hype_spool_file_t  file;

    ngx_memzero(&file, sizeof(hype_spool_file_t));

    file.name = path;

    fd = (strcmp(path, "-") == 0) ? STDIN_FILENO : open(path, O_RDONLY);

    if (fd == -1) {

        /* its records may be in the database by now */

        if (listed && errno == ENOENT) {
            return 0;
        }

        return hype_spool_error(path);
    }

    rc = hype_spool_read(&file, fd);

    if (fd != STDIN_FILENO) {
        (void) close(fd);
    }

    if (rc == 0) {
        rc = hype_spool_records(&file);

        if (hype_spool_check_only) {
            hype_spool_summary(&file);
        }
    }

    free(file.data);

    return rc;
}


static int
hype_spool_read(hype_spool_file_t *file, int fd)
{
    size_t   room;
    ssize_t  n;

    room = 0;

    for ( ;; ) {

        if (file->size == room) {
            room = room ? room * 2 : 1024 * 1024;
            file->data = hype_spool_alloc(file->data, room);
        }

        n = read(fd, file->data + file->size, room - file->size);

        if (n == -1) {
            return hype_spool_error(file->name);
        }

        if (n == 0) {
            return 0;
        }

        file->size += n;
    }
}


static int
hype_spool_records(hype_spool_file_t *file)
{
    int        status;
    size_t     offset, len;
    ngx_int_t  rc;

    status = 0;

    for (offset = 0; offset < file->size; offset += len) {

        rc = ngx_http_hype_record_check(file->data + offset,
                                        file->data + file->size, &len);

        if (rc == NGX_OK) {
            hype_spool_record(file, file->data + offset);
            continue;
        }

        if (rc == NGX_DECLINED
            && ngx_http_hype_record_is_note(file->data + offset))
        {
            hype_spool_note(file, file->data + offset);
            continue;
        }

        status = HYPE_SPOOL_DAMAGED;
        len = hype_spool_damage(file, offset, rc, len);
        file->lost += len;
    }

    return status;
}


/* says what is wrong, returns how many bytes to leave out */

static size_t
hype_spool_damage(hype_spool_file_t *file, size_t offset, ngx_int_t rc,
    size_t len)
{
    size_t       left, n, ignored;
    const char  *what;

    left = file->size - offset;

    what = (rc == NGX_DECLINED) ? "a record of a version that is not known"
           : (rc == NGX_AGAIN) ? "a record is cut short" : "damaged";

    if (rc != NGX_DECLINED) {
        len = left;
    }

    if (rc != NGX_DECLINED && hype_spool_resume) {

        for (n = 1; n < left; n++) {
            if (ngx_http_hype_record_check(file->data + offset + n,
                                           file->data + file->size, &ignored)
                == NGX_OK)
            {
                len = n;
                break;
            }
        }
    }

    fflush(stdout);
    fprintf(stderr, "hype-spool: %s: %s at byte %lu of %lu, %lu bytes are left"
            " out\n", file->name, what, (unsigned long) offset,
            (unsigned long) file->size, (unsigned long) len);

    return len;
}


static void
hype_spool_record(hype_spool_file_t *file, u_char *record)
{
    file->records[ngx_http_hype_record_type(record)]++;

    if (hype_spool_check_only) {
        return;
    }

    if (hype_spool_as_sql) {
        hype_sql_record(stdout, record);
        printf(";\n");

    } else {
        hype_spool_json(file, record);
    }
}


/* why and when the next record was set aside: a comment, in SQL */

static void
hype_spool_note(hype_spool_file_t *file, u_char *record)
{
    u_char  *column;

    if (hype_spool_check_only) {
        return;
    }

    if (hype_spool_as_sql) {
        printf("-- {");

    } else {
        printf("{\"file\": ");
        hype_spool_json_text((u_char *) file->name, strlen(file->name));
        printf(", \"offset\": %lu, ", (unsigned long) (record - file->data));
    }

    printf("\"type\": \"note\"");

    (void) ngx_http_hype_record_field(record, NGX_HTTP_HYPE_RECORD_CREATED,
                                      &column);
    hype_spool_json_value("created", column, NGX_HTTP_HYPE_COLUMN_TIME);

    (void) ngx_http_hype_record_field(record, NGX_HTTP_HYPE_RECORD_VALUE,
                                      &column);
    hype_spool_json_value("reason", column, NGX_HTTP_HYPE_COLUMN_TEXT);

    printf("}\n");
}


static void
hype_spool_json(hype_spool_file_t *file, u_char *record)
{
    u_char                       *tuple, *column;
    ngx_str_t                     identifier;
    ngx_uint_t                    n;
    ngx_http_hype_record_type_e   type;

    type = ngx_http_hype_record_type(record);

    printf("{\"file\": ");
    hype_spool_json_text((u_char *) file->name, strlen(file->name));
    printf(", \"offset\": %lu, \"type\": \"%s\"",
           (unsigned long) (record - file->data), hype_spool_types[type]);

    if (type == NGX_HTTP_HYPE_RECORD_HIT) {
        tuple = ngx_http_hype_record_tuple(record, &identifier);

        printf(", \"identifier\": ");

        if (identifier.len) {
            hype_spool_json_text(identifier.data, identifier.len);

        } else {
            printf("null");
        }

        for (n = 0; n < NGX_HTTP_HYPE_ROW_NCOLUMNS; n++) {
            (void) ngx_http_hype_row_column(tuple, n, &column);
            hype_spool_json_value(hype_spool_hit[n], column,
                                  ngx_http_hype_row_format[n].type);
        }

    } else {

        for (n = 0; n < NGX_HTTP_HYPE_RECORD_FIELDS; n++) {
            (void) ngx_http_hype_record_field(record, n, &column);
            hype_spool_json_value(hype_spool_event[n], column,
                                  ngx_http_hype_record_format[n].type);
        }
    }

    printf("}\n");
}


static void
hype_spool_json_value(const char *name, u_char *column,
    ngx_http_hype_column_e type)
{
    const char  *quote;

    printf(", \"%s\": ", name);

    if (ngx_http_hype_get32(column) == NGX_HTTP_HYPE_NULL) {
        printf("null");

    } else if (type == NGX_HTTP_HYPE_COLUMN_TEXT) {
        hype_spool_json_text(column + 4, ngx_http_hype_get32(column));

    } else {
        quote = hype_sql_quoted(type) ? "\"" : "";

        printf("%s", quote);
        hype_sql_value(stdout, column, type);
        printf("%s", quote);
    }
}


/* printable ASCII characters only, which no terminal changes */

static void
hype_spool_json_text(u_char *p, size_t len)
{
    u_char     *last, *copy;
    ngx_str_t   text;

    text.data = p;
    text.len = len;

    copy = hype_spool_alloc(NULL, ngx_http_hype_utf8_length(&text) + 1);
    last = ngx_http_hype_utf8_copy(copy, &text);

    putchar('"');

    for (p = copy; p < last; /* void */ ) {
        p = hype_spool_json_char(p);
    }

    putchar('"');

    free(copy);
}


static u_char *
hype_spool_json_char(u_char *p)
{
    uint32_t  c;

    if (*p >= 0x20 && *p < 0x7f) {

        if (*p == '"' || *p == '\\') {
            putchar('\\');
        }

        putchar(*p);

        return p + 1;
    }

    c = ngx_http_hype_utf8_decode(&p);

    if (c > 0xffff) {
        c -= 0x10000;
        printf("\\u%04x", (unsigned) (0xd800 | c >> 10));
        c = 0xdc00 | (c & 0x3ff);
    }

    printf("\\u%04x", (unsigned) c);

    return p;
}


static void
hype_spool_summary(hype_spool_file_t *file)
{
    printf("%s: %lu bytes, hits: %lu, claims: %lu, confirms: %lu", file->name,
           (unsigned long) file->size,
           (unsigned long) file->records[NGX_HTTP_HYPE_RECORD_HIT],
           (unsigned long) file->records[NGX_HTTP_HYPE_RECORD_CLAIM],
           (unsigned long) file->records[NGX_HTTP_HYPE_RECORD_CONFIRM]);

    if (file->lost) {
        printf(", left out: %lu bytes", (unsigned long) file->lost);
    }

    printf("\n");
}


static void *
hype_spool_alloc(void *p, size_t size)
{
    p = realloc(p, size);

    if (p == NULL) {
        perror("hype-spool");
        exit(HYPE_SPOOL_TROUBLE);
    }

    return p;
}


static int
hype_spool_error(const char *path)
{
    fflush(stdout);
    fprintf(stderr, "hype-spool: %s: %s\n", path, strerror(errno));

    return HYPE_SPOOL_TROUBLE;
}
