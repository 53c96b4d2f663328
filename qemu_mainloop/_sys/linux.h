/*
 * linux.h - epoll with nanoseconds.  Calls that a C library may lack are made
 * by number.
 */
#ifndef QEMU_MAINLOOP_SYS_LINUX_H
#define QEMU_MAINLOOP_SYS_LINUX_H

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef SYS_epoll_pwait2
#define SYS_epoll_pwait2 441
#endif

typedef struct epoll_event EpollEvent;

/* epoll_pwait2(2): count or negative errno, -ENOSYS where it is missing. */
static inline int epoll_wait_ns(int ep, EpollEvent *events, int max,
                                int64_t timeout_ns, const sigset_t *mask)
{
    struct { int64_t sec, nsec; } ts;   /* the kernel's 64-bit timespec */
    int rc;

    if (timeout_ns <= 0 && !mask) {
        rc = epoll_wait(ep, events, max, timeout_ns < 0 ? -1 : 0);
    } else {
        ts.sec = timeout_ns / 1000000000;
        ts.nsec = timeout_ns % 1000000000;
        rc = (int)syscall(SYS_epoll_pwait2, ep, events, max,
                          timeout_ns < 0 ? NULL : &ts, mask, (size_t)8);
    }
    return rc < 0 ? -errno : rc;
}

static inline int epoll_change(int ep, int op, int fd, uint32_t events,
                               uint64_t data)
{
    EpollEvent e;

    memset(&e, 0, sizeof e);
    e.events = events;
    e.data.u64 = data;
    return epoll_ctl(ep, op, fd, &e) < 0 ? -errno : 0;
}

static inline int epoll_open(void)
{
    int fd = epoll_create1(EPOLL_CLOEXEC);

    return fd < 0 ? -errno : fd;
}

#endif
