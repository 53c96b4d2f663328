/*
 * hostfd.h - a descriptor that polls readable when one of several others does.
 */
#ifndef QEMU_MAINLOOP_SYS_HOSTFD_H
#define QEMU_MAINLOOP_SYS_HOSTFD_H

#include <errno.h>

#include "qemu_mainloop/_sys/system.h"

#ifdef QML_LINUX
#include <string.h>
#include <sys/epoll.h>

static inline int hostfd_open(void)
{
    int fd = epoll_create1(EPOLL_CLOEXEC);

    return fd < 0 ? -errno : fd;
}

static inline int hostfd_add(int host, int fd)
{
    struct epoll_event e;

    memset(&e, 0, sizeof e);
    e.events = EPOLLIN;
    return epoll_ctl(host, EPOLL_CTL_ADD, fd, &e) < 0 ? -errno : 0;
}

static inline void hostfd_remove(int host, int fd)
{
    struct epoll_event e;

    memset(&e, 0, sizeof e);
    if (epoll_ctl(host, EPOLL_CTL_DEL, fd, &e) < 0) {
        errno = 0;              /* gone with its file */
    }
}

#elif defined(QML_KQUEUE)
#include "qemu_mainloop/_sys/kqueue.h"

static inline int hostfd_open(void)
{
    return kqueue_open();
}

static inline int hostfd_add(int host, int fd)
{
    KEvent change;

    kqueue_change(&change, fd, POLLIN, 1, 0, 0);
    return kqueue_call(host, &change, 1, NULL, 0, 0);
}

static inline void hostfd_remove(int host, int fd)
{
    KEvent change;

    kqueue_change(&change, fd, POLLIN, 0, 0, 0);
    if (kqueue_call(host, &change, 1, NULL, 0, 0) < 0) {
        errno = 0;              /* gone with its file */
    }
}

#else

static inline int hostfd_open(void) { return -ENOTSUP; }
static inline int hostfd_add(int host, int fd)
{
    (void)host;
    (void)fd;
    return -ENOTSUP;
}
static inline void hostfd_remove(int host, int fd) { (void)host; (void)fd; }

#endif
#endif
