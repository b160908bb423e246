
#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_http_hype_report.h"


/* reports that one viewer may wait for at a time */
#define NGX_HTTP_HYPE_REPORT_VIEWER   4

/* bytes of all reports that nobody waits for */
#define NGX_HTTP_HYPE_REPORT_KEPT     (8 * 1024 * 1024)


static ngx_http_hype_report_entry_t *ngx_http_hype_report_entry_oldest(
    ngx_http_hype_report_t *report, ngx_uint_t kept);
static void ngx_http_hype_report_entry_clear(
    ngx_http_hype_report_entry_t *entry);
static void ngx_http_hype_report_entry_free(ngx_str_t *text);


ngx_http_hype_report_entry_t *
ngx_http_hype_report_entry_find(ngx_http_hype_report_t *report,
    ngx_str_t *arguments)
{
    ngx_uint_t                     i;
    ngx_http_hype_report_entry_t  *entry;

    for (i = 0; i < NGX_HTTP_HYPE_REPORT_ENTRIES; i++) {
        entry = &report->entries[i];

        if (entry->arguments.len == arguments->len && arguments->len
            && ngx_memcmp(entry->arguments.data, arguments->data,
                          arguments->len)
               == 0)
        {
            return entry;
        }
    }

    return NULL;
}


/*
 * The unused entry that was not used for the longest time.  "kept": one with a
 * text; else an empty one comes first.
 */

static ngx_http_hype_report_entry_t *
ngx_http_hype_report_entry_oldest(ngx_http_hype_report_t *report,
    ngx_uint_t kept)
{
    ngx_uint_t                     i;
    ngx_http_hype_report_entry_t  *entry, *oldest;

    oldest = NULL;

    for (i = 0; i < NGX_HTTP_HYPE_REPORT_ENTRIES; i++) {
        entry = &report->entries[i];

        if (entry->refs || entry->pending || (kept && entry->text.len == 0)) {
            continue;
        }

        if (entry->arguments.len == 0) {
            return entry;
        }

        if (oldest == NULL
            || (ngx_msec_int_t) (entry->used - oldest->used) < 0)
        {
            oldest = entry;
        }
    }

    return oldest;
}


ngx_http_hype_report_entry_t *
ngx_http_hype_report_entry_create(ngx_http_hype_report_t *report,
    ngx_str_t *arguments)
{
    u_char                        *p;
    ngx_http_hype_report_entry_t  *oldest;

    oldest = ngx_http_hype_report_entry_oldest(report, 0);
    if (oldest == NULL) {
        return NULL;
    }

    p = ngx_alloc(arguments->len, ngx_cycle->log);
    if (p == NULL) {
        return NULL;
    }

    ngx_memcpy(p, arguments->data, arguments->len);

    ngx_http_hype_report_entry_clear(oldest);

    oldest->arguments.data = p;
    oldest->arguments.len = arguments->len;

    return oldest;
}


ngx_uint_t
ngx_http_hype_report_entry_crowded(ngx_http_hype_report_t *report,
    uint32_t viewer)
{
    ngx_uint_t  i, n;

    n = 0;

    for (i = 0; i < NGX_HTTP_HYPE_REPORT_ENTRIES; i++) {
        n += (report->entries[i].pending
              && report->entries[i].viewer == viewer);
    }

    return n >= NGX_HTTP_HYPE_REPORT_VIEWER;
}


/* the viewer who had the last turn comes behind others */

ngx_http_hype_report_entry_t *
ngx_http_hype_report_entry_next(ngx_http_hype_report_t *report)
{
    ngx_int_t                      before;
    ngx_uint_t                     i;
    ngx_http_hype_report_entry_t  *entry, *next;

    next = NULL;

    for (i = 0; i < NGX_HTTP_HYPE_REPORT_ENTRIES; i++) {
        entry = &report->entries[i];

        if (!entry->pending) {
            continue;
        }

        if (next == NULL) {
            next = entry;
            continue;
        }

        before = (entry->viewer == report->viewer)
                 - (next->viewer == report->viewer);

        if (before < 0
            || (before == 0 && (ngx_int_t) (entry->turn - next->turn) < 0))
        {
            next = entry;
        }
    }

    return next;
}


ngx_int_t
ngx_http_hype_report_entry_keep(ngx_http_hype_report_t *report,
    ngx_http_hype_report_entry_t *entry, ngx_str_t *text, ngx_uint_t error)
{
    u_char      *p;
    size_t       size;
    ngx_str_t   *kept;
    ngx_uint_t   i;

    p = ngx_alloc(text->len, ngx_cycle->log);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(p, text->data, text->len);

    ngx_http_hype_report_entry_free(&entry->text);
    ngx_http_hype_report_entry_free(&entry->error);

    kept = error ? &entry->error : &entry->text;
    kept->len = text->len;
    kept->data = p;

    entry->made = ngx_current_msec;
    entry->tried = 0;

    size = 0;

    for (i = 0; i < NGX_HTTP_HYPE_REPORT_ENTRIES; i++) {
        size += report->entries[i].text.len;
    }

    while (size > NGX_HTTP_HYPE_REPORT_KEPT) {
        entry = ngx_http_hype_report_entry_oldest(report, 1);
        if (entry == NULL) {
            break;
        }

        size -= entry->text.len;
        ngx_http_hype_report_entry_clear(entry);
    }

    return NGX_OK;
}


void
ngx_http_hype_report_entries_free(ngx_http_hype_report_t *report)
{
    ngx_uint_t  i;

    for (i = 0; i < NGX_HTTP_HYPE_REPORT_ENTRIES; i++) {
        ngx_http_hype_report_entry_clear(&report->entries[i]);
    }
}


static void
ngx_http_hype_report_entry_clear(ngx_http_hype_report_entry_t *entry)
{
    ngx_http_hype_report_entry_free(&entry->arguments);
    ngx_http_hype_report_entry_free(&entry->text);
    ngx_http_hype_report_entry_free(&entry->error);

    entry->tried = 0;
}


static void
ngx_http_hype_report_entry_free(ngx_str_t *text)
{
    if (text->data) {
        ngx_free(text->data);
        ngx_str_null(text);
    }
}
