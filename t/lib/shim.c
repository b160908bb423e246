
/*
 * Preloaded into nginx by tests: system calls on the spool's files, and
 * look-ups of names, that fail or take their time; and another time of day.
 *
 * The file named by HYPE_SHIM has lines "call errno milliseconds"; a call is
 * write, short (half of a write), pread (of a file with "unreadable" in its
 * name), ftruncate, unlink, dup, fsync, getaddrinfo or gss_acquire_cred (for
 * which there are no credentials then).  With -1 milliseconds it takes until the line
 * is gone.  "clock seconds 0" sets the clock.  Each fsync is noted in that
 * file's name with ".log" behind it.
 */


#define _GNU_SOURCE

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>


static char  control[256];


/* nginx takes the environment away from its workers */

__attribute__((constructor)) static void
init(void)
{
    snprintf(control, sizeof(control), "%s", getenv("HYPE_SHIM"));
}


static int
is_named(int fd, const char *part)
{
    char     link[64], path[512];
    ssize_t  n;

    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);

    n = readlink(link, path, sizeof(path) - 1);
    if (n == -1) {
        return 0;
    }

    path[n] = '\0';

    return strstr(path, part) != NULL;
}


static int
is_spool(int fd)
{
    return is_named(fd, ".spool") || is_named(fd, ".records");
}


/* the line of a call, if there is one */

static int
look(const char *call, int *err, int *ms)
{
    int    found;
    FILE  *file;
    char   name[32];

    found = 0;

    file = fopen(control, "r");
    if (file == NULL) {
        return 0;
    }

    while (!found && fscanf(file, "%31s %d %d", name, err, ms) == 3) {
        found = (strcmp(name, call) == 0);
    }

    fclose(file);

    return found;
}


/* whether the call is one that is to be told of, and its errno */

static int
fault(const char *call, int *err)
{
    int              ms, other;
    struct timespec  ts;

    if (!look(call, err, &ms)) {
        return 0;
    }

    ts.tv_sec = ms > 0 ? ms / 1000 : 0;
    ts.tv_nsec = (ms > 0 ? ms % 1000 : 10) * 1000000L;

    if (ms != 0) {
        nanosleep(&ts, NULL);
    }

    while (ms < 0 && look(call, &other, &ms)) {
        nanosleep(&ts, NULL);
    }

    return 1;
}


ssize_t
write(int fd, const void *buf, size_t size)
{
    int             err;
    static ssize_t  (*next)(int, const void *, size_t);

    if (next == NULL) {
        next = dlsym(RTLD_NEXT, "write");
    }

    if (is_spool(fd)) {

        if (fault("short", &err)) {
            return next(fd, buf, size / 2);
        }

        if (fault("write", &err) && err) {
            errno = err;
            return -1;
        }
    }

    return next(fd, buf, size);
}


ssize_t
pread(int fd, void *buf, size_t size, off_t offset)
{
    int             err;
    static ssize_t  (*next)(int, void *, size_t, off_t);

    if (next == NULL) {
        next = dlsym(RTLD_NEXT, "pread");
    }

    if (is_named(fd, "unreadable") && fault("pread", &err) && err) {
        errno = err;
        return -1;
    }

    return next(fd, buf, size, offset);
}


/* the same, where off_t has 64 bits by another name */

ssize_t
pread64(int fd, void *buf, size_t size, off_t offset)
{
    return pread(fd, buf, size, offset);
}


int
ftruncate(int fd, off_t size)
{
    int         err;
    static int  (*next)(int, off_t);

    if (next == NULL) {
        next = dlsym(RTLD_NEXT, "ftruncate");
    }

    if (is_spool(fd) && fault("ftruncate", &err) && err) {
        errno = err;
        return -1;
    }

    return next(fd, size);
}


int
ftruncate64(int fd, off_t size)
{
    return ftruncate(fd, size);
}


int
unlink(const char *path)
{
    int         err;
    static int  (*next)(const char *);

    if (next == NULL) {
        next = dlsym(RTLD_NEXT, "unlink");
    }

    if (strstr(path, ".spool") && fault("unlink", &err) && err) {
        errno = err;
        return -1;
    }

    return next(path);
}


int
gettimeofday(struct timeval *tv, void *tz)
{
    int         seconds, rc;
    static int  (*next)(struct timeval *, void *);

    if (next == NULL) {
        next = dlsym(RTLD_NEXT, "gettimeofday");
    }

    rc = next(tv, tz);

    if (rc == 0 && fault("clock", &seconds)) {
        tv->tv_sec += seconds;
    }

    return rc;
}


int
dup(int fd)
{
    int         err;
    static int  (*next)(int);

    if (next == NULL) {
        next = dlsym(RTLD_NEXT, "dup");
    }

    if (is_spool(fd) && fault("dup", &err) && err) {
        errno = err;
        return -1;
    }

    return next(fd);
}


static int
note(const char *text)
{
    int   log, rc;
    char  name[512];

    snprintf(name, sizeof(name), "%s.log", control);

    log = open(name, O_WRONLY|O_CREAT|O_APPEND, 0666);
    if (log == -1) {
        return 0;
    }

    rc = (write(log, text, strlen(text)) != (ssize_t) strlen(text));
    close(log);

    return rc;
}


int
fsync(int fd)
{
    int         err, rc;
    static int  (*next)(int);

    if (next == NULL) {
        next = dlsym(RTLD_NEXT, "fsync");
    }

    if (!is_spool(fd)) {
        return next(fd);
    }

    rc = note("begin\n");

    if (fault("fsync", &err) && err) {
        errno = err;
        return -1;
    }

    rc |= next(fd);
    rc |= note("end\n");

    return rc;
}


int
getaddrinfo(const char *node, const char *service,
    const struct addrinfo *hints, struct addrinfo **res)
{
    int         err;
    static int  (*next)(const char *, const char *, const struct addrinfo *,
                    struct addrinfo **);

    if (next == NULL) {
        next = dlsym(RTLD_NEXT, "getaddrinfo");
    }

    /* libpq has it read addresses, too */

    if (!(hints && (hints->ai_flags & AI_NUMERICHOST))
        && fault("getaddrinfo", &err)
        && err)
    {
        return EAI_AGAIN;
    }

    return next(node, service, hints, res);
}


/* libpq has it find out whether there is a Kerberos ticket */

unsigned
gss_acquire_cred(unsigned *minor, void *name, unsigned time, void *mechs,
    int usage, void **cred, void **actual, unsigned *rec)
{
    int              err;
    static unsigned  (*next)(unsigned *, void *, unsigned, void *, int,
                         void **, void **, unsigned *);

    if (next == NULL) {
        next = dlsym(RTLD_NEXT, "gss_acquire_cred");
    }

    if (next == NULL || fault("gss_acquire_cred", &err)) {
        *minor = 0;
        return 13u << 16;    /* GSS_S_FAILURE */
    }

    return next(minor, name, time, mechs, usage, cred, actual, rec);
}
