/*
 * notifier.h - a kernel object that one thread sets and another one polls:
 * an eventfd where there is one and it is not forbidden, else a pipe.
 */
#ifndef QEMU_MAINLOOP_SYS_NOTIFIER_H
#define QEMU_MAINLOOP_SYS_NOTIFIER_H

#ifdef _WIN32
#include "qemu_mainloop/_sys/windows/notifier.h"
#else

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <unistd.h>

#include "qemu_mainloop/_sys/system.h"
#ifdef QML_LINUX
#include <sys/eventfd.h>
#endif

typedef struct Notifier {
    int read_fd;                /* -1: none */
    int write_fd;               /* an eventfd: the same */
} Notifier;

static inline int notifier_open_pipe(Notifier *n)
{
    int fds[2];

#if defined(QML_LINUX) || defined(__FreeBSD__)
    if (pipe2(fds, O_NONBLOCK | O_CLOEXEC) < 0) {
        return -errno;
    }
#else
    int i;

    if (pipe(fds) < 0) {
        return -errno;
    }
    for (i = 0; i < 2; i++) {
        fcntl(fds[i], F_SETFD, FD_CLOEXEC);
        fcntl(fds[i], F_SETFL, O_NONBLOCK);
    }
#endif
    n->read_fd = fds[0];
    n->write_fd = fds[1];
    return 0;
}

static inline int notifier_open(Notifier *n)
{
#ifdef QML_LINUX
    n->read_fd = n->write_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (n->read_fd >= 0) {
        return 0;
    }
    if (errno == EMFILE || errno == ENFILE || errno == ENOMEM) {
        return -errno;
    }
    /* An old kernel, or a sandbox. */
#endif
    n->read_fd = n->write_fd = -1;
    return notifier_open_pipe(n);
}

static inline void notifier_close(Notifier *n)
{
    if (n->read_fd >= 0) {
        close(n->read_fd);
        if (n->write_fd != n->read_fd) {
            close(n->write_fd);
        }
    }
    n->read_fd = n->write_fd = -1;
}

/* Signal-safe; errno is left as it was.  A full counter is a set one. */
static inline void notifier_set(const Notifier *n)
{
    static const uint64_t one = 1;
    int saved = errno;

    while (write(n->write_fd, &one, sizeof one) < 0 && errno == EINTR) {
    }
    errno = saved;
}

static inline void notifier_clear(const Notifier *n)
{
    uint64_t buf[64];
    ssize_t got;

    do {
        got = read(n->read_fd, buf, n->read_fd == n->write_fd ? 8 : sizeof buf);
    } while (got == (ssize_t)sizeof buf || (got < 0 && errno == EINTR));
}

#endif
#endif
