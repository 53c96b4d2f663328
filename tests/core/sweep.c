/*
 * sweep.c - to be preloaded: SIGINT at the n-th point of what a thread does.
 *
 * A point lies before and after each call of the C library that the loop makes on its way to
 * sleep.  sweep_arm(n) begins to count them in the calling thread; the n-th sends the signal.
 * The point before a call that sleeps is the last one: what was not sent by then is sent there.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef SYS_epoll_pwait2
#define SYS_epoll_pwait2 441
#endif
#ifndef SYS_io_uring_enter
#define SYS_io_uring_enter 426
#endif

enum { NOT_YET, COUNTED, LAST };

static __thread int armed;
static int point_wanted, points, to_process, how;

#define REAL(name) ((__typeof__(&name))find(#name))

static void *find(const char *name)
{
    return dlsym(RTLD_NEXT, name);
}

void sweep_arm(int n, int process_directed)
{
    point_wanted = n;
    points = 0;
    to_process = process_directed;
    how = NOT_YET;
    armed = 1;
}

/* How the signal was sent since sweep_arm: not yet, at the point wanted, at the last one. */
int sweep_disarm(void)
{
    armed = 0;
    return how;
}

static void point(int is_last)
{
    long (*call)(long, ...);
    int saved = errno;

    if (!armed) {
        return;
    }
    if (points++ != point_wanted && !is_last) {
        return;
    }
    armed = 0;
    how = points - 1 == point_wanted ? COUNTED : LAST;
    call = (long (*)(long, ...))find("syscall");
    if (to_process) {
        call(SYS_kill, (long)getpid(), (long)SIGINT);
    } else {
        call(SYS_tgkill, (long)getpid(), call(SYS_gettid), (long)SIGINT);
    }
    errno = saved;
}

#define WRAP(type, name, parameters, arguments, sleeps)     \
    type name parameters                                    \
    {                                                       \
        static __typeof__(&name) real;                      \
        type result;                                        \
        int saved;                                          \
        if (!real) {                                        \
            real = REAL(name);                              \
        }                                                   \
        point(sleeps);                                      \
        result = real arguments;                            \
        saved = errno;                                      \
        point(0);                                           \
        errno = saved;                                      \
        return result;                                      \
    }

WRAP(int, pthread_mutex_lock, (pthread_mutex_t *m), (m), 0)
WRAP(int, pthread_mutex_unlock, (pthread_mutex_t *m), (m), 0)
WRAP(int, pthread_sigmask, (int h, const sigset_t *s, sigset_t *o), (h, s, o), 0)
WRAP(int, clock_gettime, (clockid_t c, struct timespec *ts), (c, ts), 0)
WRAP(ssize_t, read, (int fd, void *to, size_t n), (fd, to, n), 0)
WRAP(ssize_t, write, (int fd, const void *from, size_t n), (fd, from, n), 0)
WRAP(int, epoll_ctl, (int ep, int op, int fd, struct epoll_event *e), (ep, op, fd, e), 0)
WRAP(int, epoll_wait, (int ep, struct epoll_event *e, int n, int ms), (ep, e, n, ms), ms != 0)
WRAP(int, poll, (struct pollfd *f, nfds_t n, int ms), (f, n, ms), ms != 0)
WRAP(int, ppoll, (struct pollfd *f, nfds_t n, const struct timespec *t, const sigset_t *s),
     (f, n, t, s), !t || t->tv_sec || t->tv_nsec)

long syscall(long number, ...)
{
    static long (*real)(long, ...);
    long a[6], result;
    const int64_t *ts;
    va_list rest;
    int i, saved, sleeps = 0;

    if (!real) {
        real = (long (*)(long, ...))find("syscall");
    }
    va_start(rest, number);
    for (i = 0; i < 6; i++) {
        a[i] = va_arg(rest, long);
    }
    va_end(rest);
    if (number == SYS_epoll_pwait2) {
        ts = (const int64_t *)a[3];
        sleeps = !ts || ts[0] || ts[1];
    } else if (number == SYS_io_uring_enter) {
        sleeps = (int)a[2] > 0;
    }
    point(sleeps);
    result = real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
    saved = errno;
    point(0);
    errno = saved;
    return result;
}
