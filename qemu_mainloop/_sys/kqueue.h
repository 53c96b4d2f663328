/*
 * kqueue.h - kqueue(2): filters of descriptors, and what their events are as poll(2) bits.
 */
#ifndef QEMU_MAINLOOP_SYS_KQUEUE_H
#define QEMU_MAINLOOP_SYS_KQUEUE_H

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <string.h>
#include <sys/types.h>
#include <sys/event.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>

typedef struct kevent KEvent;

static inline int kqueue_open(void)
{
    int fd = kqueue();

    if (fd < 0) {
        return -errno;
    }
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    return fd;
}

/*
 * Makes the changes, then waits (timeout_ns < 0: for ever) and fills events.  An error of a
 * change is an event, and the call does not wait then.  Count or negative errno; after
 * -EINTR the changes are made.
 */
static inline int kqueue_call(int kq, const KEvent *changes, int n, KEvent *events, int max,
                              int64_t timeout_ns)
{
    struct timespec ts;
    int rc;

    ts.tv_sec = timeout_ns / 1000000000;
    ts.tv_nsec = timeout_ns % 1000000000;
    rc = kevent(kq, changes, n, events, max, timeout_ns < 0 ? NULL : &ts);
    return rc < 0 ? -errno : rc;
}

/* The filter of POLLIN or POLLOUT; wanted: to be there, else to go. */
static inline void kqueue_change(KEvent *e, int fd, int bit, int wanted, uint32_t tag,
                                 int receipt)
{
    EV_SET(e, (uintptr_t)fd, bit == POLLIN ? EVFILT_READ : EVFILT_WRITE,
           (wanted ? EV_ADD : EV_DELETE) | (receipt ? EV_RECEIPT : 0), 0, 0,
           (void *)(uintptr_t)tag);
}

static inline int kevent_fd(const KEvent *e)
{
    return (int)e->ident;
}

static inline uint32_t kevent_tag(const KEvent *e)
{
    return (uint32_t)(uintptr_t)e->udata;
}

static inline int kevent_bit(const KEvent *e)
{
    return e->filter == EVFILT_READ ? POLLIN : POLLOUT;
}

/* Is it the answer to a change?  Then *error is 0 or why it was not made. */
static inline int kevent_is_answer(const KEvent *e, int *error)
{
    if (!(e->flags & EV_ERROR)) {
        return 0;
    }
    *error = (int)e->data;
    return 1;
}

/*
 * EV_EOF of the reading side: the peer sends no more, and there may be data left.  Of the
 * writing side: nobody reads any more, which poll(2) calls an error; but of the end of a
 * pipe that cannot be written to it is the hang-up.
 */
static inline int kevent_events(const KEvent *e)
{
    if (e->filter == EVFILT_READ) {
        return POLLIN | (e->flags & EV_EOF ? POLLHUP | (e->fflags ? POLLERR : 0) : 0);
    }
    if (!(e->flags & EV_EOF)) {
        return POLLOUT;
    }
    return (fcntl((int)e->ident, F_GETFL) & O_ACCMODE) == O_RDONLY ? POLLHUP
                                                                   : POLLOUT | POLLERR;
}

/*
 * Does the queue say of such a descriptor what select(2) would?  A file on disk is not ready
 * at its end, for a queue.  1, 0, or -EBADF.
 */
static inline int kqueue_suits(int fd)
{
    struct stat st;

    if (fstat(fd, &st) < 0) {
        return errno == EBADF ? -EBADF : 1;
    }
    return !(S_ISREG(st.st_mode) || S_ISDIR(st.st_mode) || S_ISBLK(st.st_mode));
}

#endif
