/*
 * posix.h - descriptors, poll(2) with nanoseconds and a signal mask, children.
 */
#ifndef QEMU_MAINLOOP_SYS_POSIX_H
#define QEMU_MAINLOOP_SYS_POSIX_H

#ifdef _WIN32
#include "qemu_mainloop/_sys/windows/descriptor.h"
#else

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <sys/select.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "qemu_mainloop/_sys/system.h"
#if defined(__APPLE__) || defined(QML_LIKE_BSD)
#include "qemu_mainloop/_sys/selectpoll.h"
#define QML_POLL_BY_SELECT 1
#endif
#ifdef __FreeBSD__
/* Hidden from programs that ask for POSIX of before 2024, which Python's headers do. */
int ppoll(struct pollfd *, nfds_t, const struct timespec *__restrict,
          const sigset_t *__restrict);
#endif

typedef struct pollfd PollFd;

#define QML_WAIT_CONSUMES 0
#define QML_STATUS_IS_EXIT_CODE 0

static inline int fd_is_open(int fd)
{
    int flags = fcntl(fd, F_GETFL);

    if (flags < 0) {
        return errno != EBADF;      /* any other error says nothing about the number */
    }
#ifdef O_PATH
    if (flags & O_PATH) {
        return 0;                   /* a place in the file system: poll(2) calls it closed */
    }
#endif
    return 1;
}

/* Any descriptor may have an fd handler; a closed one is refused elsewhere. */
static inline int fd_may_have_handler(int fd)
{
    (void)fd;
    return 1;
}

static inline int fd_fits_set(int fd)
{
    return fd < FD_SETSIZE;
}

static inline int fd_close(int fd)
{
    return close(fd);
}

static inline struct timespec *timeout_to_timespec(int64_t timeout_ns,
                                                   struct timespec *ts)
{
    if (timeout_ns < 0) {
        return NULL;
    }
    ts->tv_sec = timeout_ns / 1000000000;
    ts->tv_nsec = timeout_ns % 1000000000;
    return ts;
}

/* timeout_ns < 0: for ever; mask, if any, is in force just while it waits. */
static inline int poll_wait(PollFd *fds, unsigned n, int64_t timeout_ns,
                            const sigset_t *mask)
{
    struct timespec ts;
#ifdef QML_POLL_BY_SELECT
    return poll_by_select(fds, n, timeout_to_timespec(timeout_ns, &ts), mask);
#else
    int rc;

    if (timeout_ns == 0 && !mask) {
        rc = poll(fds, n, 0);
    } else {
        rc = ppoll(fds, n, timeout_to_timespec(timeout_ns, &ts), mask);
    }
    return rc < 0 ? -errno : rc;
#endif
}

/* The number fd names the file of fresh from here on, or nothing changed; fresh is closed. */
static inline int fd_replace(int fd, int fresh)
{
    int rc;

    do {
#ifdef QML_LINUX
        rc = dup3(fresh, fd, O_CLOEXEC);
#else
        rc = dup2(fresh, fd);
#endif
    } while (rc < 0 && (errno == EINTR || errno == EBUSY));
    rc = rc < 0 ? -errno : 0;
#ifndef QML_LINUX
    if (rc == 0) {
        fcntl(fd, F_SETFD, FD_CLOEXEC);
    }
#endif
    close(fresh);
    return rc;
}

/* Readiness of one descriptor now: poll(2) bits; 0 when the call fails. */
static inline int fd_poll_now(int fd, int events)
{
    PollFd p;

    p.fd = fd;
    p.events = (short)events;
    p.revents = 0;
    return poll_wait(&p, 1, 0, NULL) > 0 ? p.revents : 0;
}

/* 0: the child runs; 1: it has exited and waits to be collected; -ECHILD. */
static inline int child_look(pid_t pid)
{
    siginfo_t info;

    info.si_pid = 0;
    while (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) < 0) {
        if (errno != EINTR) {
            return -errno;
        }
    }
    return info.si_pid != 0;
}

/* 1: collected, *status set; 0: the child runs; -ECHILD. */
static inline int child_collect(pid_t pid, int *status)
{
    pid_t got;

    do {
        got = waitpid(pid, status, WNOHANG);
    } while (got < 0 && errno == EINTR);
    return got < 0 ? -errno : got > 0;
}

#endif
#endif
