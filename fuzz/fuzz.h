
#ifndef _FUZZ_H_INCLUDED_
#define _FUZZ_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "hype_sql.h"


#define fuzz_assert(condition)                                                \
    if (!(condition)) {                                                       \
        fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);       \
        abort();                                                              \
    }


/* what is left of an input */

typedef struct {
    u_char  *pos;
    u_char  *last;
} fuzz_t;


int LLVMFuzzerTestOneInput(const u_char *data, size_t size);


/* memory of the very size, for AddressSanitizer to see a byte too far */

static ngx_inline u_char *
fuzz_alloc(size_t size)
{
    u_char  *p;

    p = malloc(size ? size : 1);
    fuzz_assert(p != NULL);

    return p;
}


static ngx_inline ngx_str_t
fuzz_copy(const u_char *data, size_t len)
{
    ngx_str_t  s;

    s.len = len;
    s.data = fuzz_alloc(len);

    if (len) {
        ngx_memcpy(s.data, data, len);
    }

    return s;
}


static ngx_inline ngx_uint_t
fuzz_byte(fuzz_t *in)
{
    return (in->pos < in->last) ? *in->pos++ : 0;
}


static ngx_inline ngx_uint_t
fuzz_short(fuzz_t *in)
{
    ngx_uint_t  n;

    n = fuzz_byte(in) << 8;

    return n | fuzz_byte(in);
}


/* a string that the input has after its length, one byte or two */

static ngx_inline ngx_str_t
fuzz_string(fuzz_t *in)
{
    size_t     len;
    ngx_str_t  s;

    len = fuzz_byte(in);

    if (len == 255) {
        len = fuzz_short(in);
    }

    len = ngx_min(len, (size_t) (in->last - in->pos));

    s = fuzz_copy(in->pos, len);
    in->pos += len;

    return s;
}


static ngx_inline ngx_uint_t
fuzz_same(u_char *data, size_t len, u_char *other, size_t other_len)
{
    return len == other_len
           && (len == 0 || ngx_memcmp(data, other, len) == 0);
}


/* a record as SQL has printable characters only */

static ngx_inline void
fuzz_sql(u_char *record)
{
    char    *sql;
    size_t   i, n;
    FILE    *file;

    file = open_memstream(&sql, &n);
    fuzz_assert(file != NULL);

    hype_sql_record(file, record);
    (void) fclose(file);

    for (i = 0; i < n; i++) {
        fuzz_assert(sql[i] >= 0x20 && sql[i] < 0x7f);
    }

    free(sql);
}


#endif /* _FUZZ_H_INCLUDED_ */
