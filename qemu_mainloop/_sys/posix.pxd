# Descriptors, poll(2) with nanoseconds and a signal mask, children.

from libc.stdint cimport int64_t

from qemu_mainloop._sys.thread cimport SignalMask


cdef extern from "qemu_mainloop/_sys/posix.h" nogil:
    enum: POLLIN
    enum: POLLOUT
    enum: POLLERR
    enum: POLLHUP
    enum: POLLNVAL
    ctypedef struct PollFd:
        int fd
        short events
        short revents
    ctypedef int pid_t

    # A wait may use up what it finds (an event that resets itself): see FDMonOps.taken.
    const bint WAIT_CONSUMES "QML_WAIT_CONSUMES"
    # A child's status is no wait(2) status.
    const bint STATUS_IS_EXIT_CODE "QML_STATUS_IS_EXIT_CODE"

    bint fd_is_open(int fd)
    bint fd_may_have_handler(int fd)     # Windows: a socket
    bint fd_fits_set(int fd)
    int fd_replace(int fd, int fresh)
    int poll_wait(PollFd *fds, unsigned n, int64_t timeout_ns, const SignalMask *mask)
    int fd_poll_now(int fd, int events)
    int child_look(pid_t pid)
    int child_collect(pid_t pid, int *status)
    int close "fd_close"(int fd)
