
/*
 * rows copy [options] conninfo
 * rows commit [options] conninfo
 *
 * Writes to hype.referral_hit the rows that visits of "load" make, as a plain
 * libpq client, and prints what came of it as JSON: in batches by COPY, or
 * one a transaction by a prepared INSERT.  Stays connected until its input
 * ends, for somebody to see what its backend has used.
 *
 *   -b number    of rows in a batch (1000)
 *   -t seconds   until it ends (3), or
 *   -n number    of rows
 *   -k id        of the link (1)
 */


#define _GNU_SOURCE

#include <arpa/inet.h>
#include <endian.h>
#include <libpq-fe.h>
#include <unistd.h>
#include "visit.h"


#define ROWS_COLUMNS                                                          \
    "id, referral_link_id, created, authenticated, bot, visitor, user_id, "   \
    "ip, user_agent, http_referer, next, source, args"
#define ROWS_NCOLUMNS  13

#define ROWS_EPOCH     946684800000000LL   /* PostgreSQL's, in microseconds */


typedef struct {
    int         len;       /* -1: NULL */
    const void *data;
} rows_value_t;


typedef struct {
    unsigned char   id[16];
    unsigned char   visitor[16];
    uint64_t        link;
    uint64_t        created;
    rows_value_t    values[ROWS_NCOLUMNS];
} rows_row_t;


static struct {
    unsigned        batch;
    double          seconds;
    uint64_t        rows;
    uint64_t        link;
    visit_times_t   times;
} rows;


static void
rows_die(PGconn *pg)
{
    fprintf(stderr, "rows: %s", PQerrorMessage(pg));
    exit(1);
}


static void
rows_options(int argc, char **argv)
{
    int  c;

    rows.batch = 1000;
    rows.seconds = 3;
    rows.link = 1;

    while ((c = getopt(argc, argv, "b:t:n:k:")) != -1) {

        switch (c) {

        case 'b':
            rows.batch = atoi(optarg);
            break;

        case 't':
            rows.seconds = atof(optarg);
            break;

        case 'n':
            rows.rows = strtoull(optarg, NULL, 10);
            break;

        case 'k':
            rows.link = strtoull(optarg, NULL, 10);
            break;

        default:
            exit(2);
        }
    }

    if (optind != argc - 2) {
        fprintf(stderr, "usage: rows [options] copy|commit conninfo\n");
        exit(2);
    }
}


/* version 7: random bits behind the time */

static void
rows_uuid(unsigned char *uuid, uint64_t ms)
{
    uint64_t  n;

    n = htobe64(ms << 16 | 0x7000 | (visit_random() & 0xfff));
    memcpy(uuid, &n, 8);
    n = htobe64((visit_random() >> 2) | 1ULL << 63);
    memcpy(uuid + 8, &n, 8);
}


static void
rows_make(rows_row_t *row)
{
    uint64_t         ms;
    struct timespec  ts;

    static const unsigned char  no[1] = { 0 };
    static const unsigned char  ip[8] = { 2, 32, 0, 4, 127, 0, 0, 1 };

    clock_gettime(CLOCK_REALTIME, &ts);
    ms = (uint64_t) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;

    rows_uuid(row->id, ms);
    rows_uuid(row->visitor, ms);

    row->link = htobe64(rows.link);
    row->created = htobe64(ms * 1000 - ROWS_EPOCH);

    row->values[0] = (rows_value_t) { 16, row->id };
    row->values[1] = (rows_value_t) { 8, &row->link };
    row->values[2] = (rows_value_t) { 8, &row->created };
    row->values[3] = (rows_value_t) { 1, no };
    row->values[4] = (rows_value_t) { 1, no };
    row->values[5] = (rows_value_t) { 16, row->visitor };
    row->values[6] = (rows_value_t) { -1, NULL };
    row->values[7] = (rows_value_t) { 8, ip };
    row->values[8] = (rows_value_t) { sizeof(VISIT_AGENT) - 1, VISIT_AGENT };
    row->values[9] = (rows_value_t) { sizeof(VISIT_REFERER) - 1,
                                      VISIT_REFERER };
    row->values[10] = (rows_value_t) { -1, NULL };
    row->values[11] = (rows_value_t) { -1, NULL };
    row->values[12] = (rows_value_t) { -1, NULL };
}


static char *
rows_tuple(char *p, rows_row_t *row)
{
    int       i;
    uint32_t  len;

    *p++ = 0;
    *p++ = ROWS_NCOLUMNS;

    for (i = 0; i < ROWS_NCOLUMNS; i++) {
        len = htonl(row->values[i].len);
        memcpy(p, &len, 4);
        p += 4;

        if (row->values[i].len > 0) {
            memcpy(p, row->values[i].data, row->values[i].len);
            p += row->values[i].len;
        }
    }

    return p;
}


static void
rows_copy(PGconn *pg, unsigned n)
{
    char       *p, *buf;
    unsigned    i;
    PGresult   *res;
    rows_row_t  row;

    static const char  header[] = "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0";

    buf = malloc(n * 512 + 64);
    p = mempcpy(buf, header, 19);

    for (i = 0; i < n; i++) {
        rows_make(&row);
        p = rows_tuple(p, &row);
    }

    p = mempcpy(p, "\377\377", 2);

    res = PQexec(pg, "COPY hype.referral_hit (" ROWS_COLUMNS ") FROM STDIN "
                     "(FORMAT binary)");

    if (PQresultStatus(res) != PGRES_COPY_IN
        || PQputCopyData(pg, buf, p - buf) != 1
        || PQputCopyEnd(pg, NULL) != 1)
    {
        rows_die(pg);
    }

    PQclear(res);
    free(buf);

    while ((res = PQgetResult(pg)) != NULL) {
        if (PQresultStatus(res) != PGRES_COMMAND_OK) {
            rows_die(pg);
        }

        PQclear(res);
    }
}


static void
rows_prepare(PGconn *pg)
{
    PGresult  *res;

    res = PQprepare(pg, "hit", "INSERT INTO hype.referral_hit (" ROWS_COLUMNS
                    ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, "
                    "$12, $13)",
                    0, NULL);

    if (PQresultStatus(res) != PGRES_COMMAND_OK) {
        rows_die(pg);
    }

    PQclear(res);
}


static void
rows_commit(PGconn *pg)
{
    int          i, lengths[ROWS_NCOLUMNS];
    PGresult    *res;
    rows_row_t   row;
    const char  *values[ROWS_NCOLUMNS];

    static const int  binary[ROWS_NCOLUMNS] = {
        1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1
    };

    rows_make(&row);

    for (i = 0; i < ROWS_NCOLUMNS; i++) {
        values[i] = row.values[i].data;
        lengths[i] = row.values[i].len;
    }

    res = PQexecPrepared(pg, "hit", ROWS_NCOLUMNS, values, lengths, binary,
                         1);

    if (PQresultStatus(res) != PGRES_COMMAND_OK) {
        rows_die(pg);
    }

    PQclear(res);
}


int
main(int argc, char **argv)
{
    int        copy;
    double     seconds;
    PGconn    *pg;
    uint64_t   begun, now, written, n;

    rows_options(argc, argv);

    copy = (strcmp(argv[optind], "copy") == 0);

    pg = PQconnectdb(argv[optind + 1]);

    if (PQstatus(pg) != CONNECTION_OK) {
        rows_die(pg);
    }

    if (!copy) {
        rows_prepare(pg);
    }

    written = 0;
    begun = visit_now();

    do {
        now = visit_now();

        if (copy) {
            n = rows.batch;

            if (rows.rows && rows.rows - written < n) {
                n = rows.rows - written;
            }

            rows_copy(pg, n);

        } else {
            n = 1;
            rows_commit(pg);
        }

        written += n;
        visit_time(&rows.times, visit_now() - now);

        seconds = (visit_now() - begun) / 1e9;

    } while (rows.rows ? written < rows.rows : seconds < rows.seconds);

    printf("{");
    visit_print(&rows.times, "transactions", seconds);
    printf(", \"rows\": %llu, \"rows_rate\": %.1f}\n",
           (unsigned long long) written, written / seconds);
    fflush(stdout);

    (void) getchar();

    PQfinish(pg);

    return 0;
}
