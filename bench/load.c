
/*
 * load [options] path
 *
 * Visits a server on 127.0.0.1 and prints what came of it as JSON.  In the
 * path, "%" stands for what -l says.
 *
 *   -p port      of the server
 *   -c number    of connections (64)
 *   -t seconds   until it ends (3), or
 *   -n number    of visits
 *   -r number    of visits a second, about, at random moments; 0: the next one
 *                of a connection follows its answer
 *   -l number    of links to choose from, b0000000 and so on; 0: a random
 *                identifier each time
 *   -s           takes the links in turn, not at random
 *   -I           HEAD
 *
 * With -r a visit's time begins when it was due, whether or not a connection
 * was free then.
 */


#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>
#include "visit.h"


#define LOAD_EVENTS   512
#define LOAD_BUFFER   16384
#define LOAD_REQUEST  2048


typedef struct load_conn_s  load_conn_t;

struct load_conn_s {
    int           fd;
    load_conn_t  *next;       /* that is idle, too */
    uint64_t      begun;
    size_t        used;
    char          buf[LOAD_BUFFER];
};


static struct {
    unsigned      port;
    unsigned      conns;
    double        seconds;
    uint64_t      visits;
    double        rate;
    uint64_t      links;
    int           in_turn;
    int           head;

    char          request[LOAD_REQUEST];
    size_t        size;
    char         *link;       /* where it is in the request, or NULL */

    int           epoll;
    int           timer;
    uint64_t      begun;
    uint64_t      sent;
    uint64_t      open;       /* visits under way */
    uint64_t      due;
    load_conn_t  *idle;

    uint64_t      statuses[6];
    visit_times_t times;
} load;


static void
load_die(const char *what)
{
    fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
    exit(1);
}


static void
load_options(int argc, char **argv)
{
    int  c;

    load.conns = 64;
    load.seconds = 3;

    while ((c = getopt(argc, argv, "p:c:t:n:r:l:sI")) != -1) {

        switch (c) {

        case 'p':
            load.port = atoi(optarg);
            break;

        case 'c':
            load.conns = atoi(optarg);
            break;

        case 't':
            load.seconds = atof(optarg);
            break;

        case 'n':
            load.visits = strtoull(optarg, NULL, 10);
            break;

        case 'r':
            load.rate = atof(optarg);
            break;

        case 'l':
            load.links = strtoull(optarg, NULL, 10);
            break;

        case 's':
            load.in_turn = 1;
            break;

        case 'I':
            load.head = 1;
            break;

        default:
            exit(2);
        }
    }

    if (optind != argc - 1 || load.port == 0) {
        fprintf(stderr, "usage: load -p port [options] path\n");
        exit(2);
    }
}


/* what a browser sends, with room for an identifier of 8 characters */

static void
load_request(const char *path)
{
    int          n;
    const char  *p;

    p = strchr(path, '%');

    n = snprintf(load.request, sizeof(load.request),
                 "%s %.*s%s%s HTTP/1.1\r\n"
                 "Host: localhost\r\n"
                 "User-Agent: " VISIT_AGENT "\r\n"
                 "Accept: text/html,application/xhtml+xml,*/*;q=0.8\r\n"
                 "Accept-Language: en-US,en;q=0.5\r\n"
                 "Accept-Encoding: gzip, deflate, br\r\n"
                 "Referer: " VISIT_REFERER "\r\n"
                 "\r\n",
                 load.head ? "HEAD" : "GET",
                 p ? (int) (p - path) : (int) strlen(path), path,
                 p ? "b0000000" : "", p ? p + 1 : "");

    if (n < 0 || (size_t) n >= sizeof(load.request)) {
        errno = E2BIG;
        load_die("path");
    }

    load.size = n;

    if (p) {
        load.link = load.request + (load.head ? 5 : 4) + (p - path);
    }
}


static void
load_choose(void)
{
    int       i;
    uint64_t  n;

    if (load.links == 0) {
        n = visit_random();

        for (i = 0; i < 8; i++, n >>= 5) {
            load.link[i] = "abcdefghijklmnopqrstuvwxyz234567"[n & 31];
        }

        return;
    }

    n = (load.in_turn ? load.sent : visit_random()) % load.links;

    for (i = 7; i > 0; i--, n /= 10) {
        load.link[i] = '0' + n % 10;
    }
}


static void
load_connect(load_conn_t *c)
{
    int                 on;
    struct sockaddr_in  sin;
    struct epoll_event  ee;

    memset(&sin, 0, sizeof(sin));
    sin.sin_family = AF_INET;
    sin.sin_port = htons(load.port);
    sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);

    c->fd = socket(AF_INET, SOCK_STREAM, 0);

    if (c->fd == -1
        || connect(c->fd, (struct sockaddr *) &sin, sizeof(sin)) == -1)
    {
        load_die("connect");
    }

    on = 1;
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    fcntl(c->fd, F_SETFL, O_NONBLOCK);

    ee.events = EPOLLIN;
    ee.data.ptr = c;

    if (epoll_ctl(load.epoll, EPOLL_CTL_ADD, c->fd, &ee) == -1) {
        load_die("epoll_ctl");
    }
}


static int
load_over(void)
{
    if (load.visits) {
        return load.sent >= load.visits;
    }

    return visit_now() - load.begun >= load.seconds * 1e9;
}


static void
load_send(load_conn_t *c, uint64_t begun)
{
    if (load.link) {
        load_choose();
    }

    c->begun = begun;
    c->used = 0;

    if (send(c->fd, load.request, load.size, MSG_NOSIGNAL)
        != (ssize_t) load.size)
    {
        load_die("send");
    }

    load.sent++;
    load.open++;
}


/* the size of the answer, or 0 if it is not whole yet */

static size_t
load_answer(load_conn_t *c)
{
    char    *end, *length;
    size_t   size;

    end = memmem(c->buf, c->used, "\r\n\r\n", 4);
    if (end == NULL) {
        return 0;
    }

    size = end + 4 - c->buf;

    if (!load.head) {
        length = memmem(c->buf, size, "\r\nContent-Length: ", 18);

        if (length) {
            size += strtoul(length + 18, NULL, 10);
        }
    }

    return (size <= c->used) ? size : 0;
}


static void
load_read(load_conn_t *c)
{
    size_t    size;
    ssize_t   n;
    unsigned  status;

    n = recv(c->fd, c->buf + c->used, LOAD_BUFFER - c->used, 0);

    if (n == -1 && errno == EAGAIN) {
        return;
    }

    if (n <= 0) {
        load_die("recv");
    }

    c->used += n;

    size = load_answer(c);

    if (size == 0) {
        return;
    }

    if (size != c->used) {
        errno = EPROTO;
        load_die("answer");
    }

    visit_time(&load.times, visit_now() - c->begun);

    status = c->buf[9] - '0';
    load.statuses[status < 6 ? status : 0]++;
    load.open--;

    if (load.rate || load_over()) {
        c->next = load.idle;
        load.idle = c;
        return;
    }

    load_send(c, visit_now());
}


/* visitors come independently of each other */

static void
load_due(void)
{
    uint64_t           now;
    load_conn_t       *c;
    struct itimerspec  it;

    now = visit_now();

    while (load.due <= now && load.idle && !load_over()) {
        c = load.idle;
        load.idle = c->next;

        load_send(c, load.due);

        load.due += -log((visit_random() >> 11) / 9007199254740993.0 + 1e-18)
                    / load.rate * 1e9;
    }

    memset(&it, 0, sizeof(it));

    if (load.idle) {
        it.it_value.tv_sec = load.due / 1000000000;
        it.it_value.tv_nsec = load.due % 1000000000;
    }

    timerfd_settime(load.timer, TFD_TIMER_ABSTIME, &it, NULL);
}


static void
load_run(load_conn_t *conns)
{
    int                  i, n;
    unsigned             k;
    struct epoll_event   ee, events[LOAD_EVENTS];

    load.begun = visit_now();
    load.due = load.begun;

    if (load.rate) {
        load.timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);

        ee.events = EPOLLIN|EPOLLET;
        ee.data.ptr = NULL;
        epoll_ctl(load.epoll, EPOLL_CTL_ADD, load.timer, &ee);
    }

    for (k = 0; k < load.conns; k++) {

        if (load.rate || load_over()) {
            conns[k].next = load.idle;
            load.idle = &conns[k];
            continue;
        }

        load_send(&conns[k], visit_now());
    }

    while (load.open || !load_over()) {

        if (load.rate) {
            load_due();
        }

        n = epoll_wait(load.epoll, events, LOAD_EVENTS, 100);

        for (i = 0; i < n; i++) {
            if (events[i].data.ptr) {
                load_read(events[i].data.ptr);
            }
        }
    }
}


int
main(int argc, char **argv)
{
    double         seconds;
    unsigned       k;
    load_conn_t   *conns;
    struct rusage  ru;

    load_options(argc, argv);
    load_request(argv[optind]);

    load.epoll = epoll_create1(0);
    conns = calloc(load.conns, sizeof(load_conn_t));

    if (load.epoll == -1 || conns == NULL) {
        load_die("start");
    }

    for (k = 0; k < load.conns; k++) {
        load_connect(&conns[k]);
    }

    load_run(conns);

    seconds = (visit_now() - load.begun) / 1e9;
    getrusage(RUSAGE_SELF, &ru);

    printf("{");
    visit_print(&load.times, "visits", seconds);
    printf(", \"2xx\": %llu, \"3xx\": %llu, \"other\": %llu, "
           "\"cpu\": %.4f}\n",
           (unsigned long long) load.statuses[2],
           (unsigned long long) load.statuses[3],
           (unsigned long long) (load.times.n - load.statuses[2]
                                 - load.statuses[3]),
           ru.ru_utime.tv_sec + ru.ru_stime.tv_sec
           + (ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) / 1e6);

    return 0;
}
