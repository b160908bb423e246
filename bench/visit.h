
/*
 * What a visit has, for the clients that compare: the same request on the one
 * side, and the same row on the other.
 */


#ifndef _VISIT_H_INCLUDED_
#define _VISIT_H_INCLUDED_


#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>


#define VISIT_AGENT                                                           \
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) " \
    "Chrome/126.0.0.0 Safari/537.36"
#define VISIT_REFERER  "https://news.example.com/articles/42"

#define VISIT_BUCKETS  (64 * 64)


/* a logarithmic histogram of times, with 64 steps from one power of 2 on */

typedef struct {
    uint64_t  n;
    uint64_t  max;
    uint64_t  counts[VISIT_BUCKETS];
} visit_times_t;


static inline uint64_t
visit_now(void)
{
    struct timespec  ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);

    return (uint64_t) ts.tv_sec * 1000000000 + ts.tv_nsec;
}


static inline void
visit_time(visit_times_t *times, uint64_t ns)
{
    unsigned  shift;

    if (ns > times->max) {
        times->max = ns;
    }

    shift = (ns < 64) ? 0 : 57 - __builtin_clzll(ns);

    times->n++;
    times->counts[shift * 64 + (ns >> shift)]++;
}


/* in microseconds */

static inline double
visit_quantile(visit_times_t *times, double q)
{
    uint64_t  i, n;

    n = 0;

    for (i = 0; i < VISIT_BUCKETS; i++) {
        n += times->counts[i];

        if (n && n >= q * times->n) {
            return (i < 128) ? i / 1e3
                   : ((uint64_t) (i % 64 + 64) << (i / 64 - 1)) / 1e3;
        }
    }

    return times->max / 1e3;
}


static inline uint64_t
visit_random(void)
{
    static uint64_t  x;

    if (x == 0) {
        x = visit_now() | 1;
    }

    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;

    return x * 0x2545f4914f6cdd1dULL;
}


static inline void
visit_print(visit_times_t *times, const char *counted, double seconds)
{
    printf("\"%s\": %llu, \"seconds\": %.4f, \"rate\": %.1f, "
           "\"p50\": %.2f, \"p90\": %.2f, \"p99\": %.2f, \"max\": %.2f",
           counted, (unsigned long long) times->n, seconds,
           times->n / seconds, visit_quantile(times, 0.5),
           visit_quantile(times, 0.9), visit_quantile(times, 0.99),
           times->max / 1e3);
}


#endif /* _VISIT_H_INCLUDED_ */
