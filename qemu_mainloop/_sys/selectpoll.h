/*
 * selectpoll.h - poll(2) by pselect(2), for macOS: its poll() has no form that takes a
 * signal mask, counts milliseconds, and calls a terminal or another device POLLNVAL.
 */
#ifndef QEMU_MAINLOOP_SYS_SELECTPOLL_H
#define QEMU_MAINLOOP_SYS_SELECTPOLL_H

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <time.h>

/*
 * Sets of any size: the kernel takes as many bits as it is told of.  (On macOS just where
 * _DARWIN_UNLIMITED_SELECT is defined, as meson.build does.)  Words of 64 bits are laid out
 * as the kernel's smaller ones on little-endian machines.
 */
typedef struct SelectSets {
    size_t words;               /* of each */
    uint64_t *reads, *writes;
    uint64_t few[2 * 16];       /* up to 1024 descriptors: no malloc() */
} SelectSets;

static inline int select_sets_open(SelectSets *s, const struct pollfd *fds, unsigned n)
{
    int highest = -1;
    unsigned i;

    for (i = 0; i < n; i++) {
        if (fds[i].fd > highest) {
            highest = fds[i].fd;
        }
    }
    s->words = (size_t)(highest + 64) / 64;
    s->reads = s->few;
    if (s->words > 16) {
        s->reads = (uint64_t *)malloc(2 * s->words * sizeof(uint64_t));
        if (!s->reads) {
            return -ENOMEM;
        }
    }
    s->writes = s->reads + s->words;
    return 0;
}

static inline void select_sets_close(SelectSets *s)
{
    if (s->reads != s->few) {
        free(s->reads);
    }
}

/* Without the closed ones, whose revents says so. */
static inline void select_sets_fill(SelectSets *s, const struct pollfd *fds, unsigned n)
{
    unsigned i;

    memset(s->reads, 0, 2 * s->words * sizeof(uint64_t));
    for (i = 0; i < n; i++) {
        if (fds[i].fd < 0 || fds[i].revents & POLLNVAL) {
            continue;
        }
        if (fds[i].events & POLLIN) {
            s->reads[fds[i].fd / 64] |= (uint64_t)1 << (fds[i].fd % 64);
        }
        if (fds[i].events & POLLOUT) {
            s->writes[fds[i].fd / 64] |= (uint64_t)1 << (fds[i].fd % 64);
        }
    }
}

/* After EBADF: marks the closed ones; how many there are. */
static inline int select_mark_closed(struct pollfd *fds, unsigned n)
{
    int closed = 0;
    unsigned i;

    for (i = 0; i < n; i++) {
        fds[i].revents = 0;
        if (fds[i].fd >= 0 && fcntl(fds[i].fd, F_GETFD) < 0 && errno == EBADF) {
            fds[i].revents = POLLNVAL;
            closed++;
        }
    }
    return closed;
}

/*
 * Of one that is ready poll() knows more, and can tell a hang-up from data, unless it is a
 * device.  How many are ready, closed ones too.
 */
static inline int select_report(const SelectSets *s, struct pollfd *fds, unsigned n)
{
    int ready = 0;
    unsigned i;
    short closed;

    for (i = 0; i < n; i++) {
        closed = fds[i].revents & POLLNVAL;
        fds[i].revents = 0;
        if (fds[i].fd < 0) {
            continue;
        }
        if (s->reads[fds[i].fd / 64] >> (fds[i].fd % 64) & 1) {
            fds[i].revents |= POLLIN;
        }
        if (s->writes[fds[i].fd / 64] >> (fds[i].fd % 64) & 1) {
            fds[i].revents |= POLLOUT;
        }
        if (fds[i].revents) {
            struct pollfd one = { fds[i].fd, fds[i].events, 0 };

            if (poll(&one, 1, 0) > 0 && !(one.revents & POLLNVAL)) {
                fds[i].revents = one.revents;
            }
        }
        fds[i].revents |= closed;
        ready += fds[i].revents != 0;
    }
    return ready;
}

/* As ppoll(2), but negative errno; the kernel counts microseconds: never too few of them. */
static inline int poll_by_select(struct pollfd *fds, unsigned n, const struct timespec *timeout,
                                 const sigset_t *mask)
{
    static const struct timespec now = { 0, 0 };
    struct timespec rounded;
    SelectSets s;
    unsigned i;
    int closed = 0;
    int rc = select_sets_open(&s, fds, n);

    if (rc < 0) {
        return rc;
    }
    for (i = 0; i < n; i++) {
        fds[i].revents = 0;
    }
    if (timeout && timeout->tv_nsec % 1000) {
        rounded.tv_sec = timeout->tv_sec + (timeout->tv_nsec > 999999000);
        rounded.tv_nsec = (timeout->tv_nsec + 999) / 1000 * 1000 % 1000000000;
        timeout = &rounded;
    }
    for (;;) {
        select_sets_fill(&s, fds, n);
        rc = pselect((int)(64 * s.words), (fd_set *)s.reads, (fd_set *)s.writes, NULL,
                     closed ? &now : timeout, mask);
        if (rc >= 0 || errno != EBADF) {
            break;
        }
        /* Once more without them, and without waiting; or another one was closed just now. */
        closed = select_mark_closed(fds, n);
    }
    if (rc >= 0) {
        rc = rc == 0 && !closed ? 0 : select_report(&s, fds, n);
    } else {
        rc = -errno;
    }
    select_sets_close(&s);
    return rc;
}

#endif
