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

    bint fd_is_open(int fd)
    int fd_replace(int fd, int fresh)
    int poll_wait(PollFd *fds, unsigned n, int64_t timeout_ns, const SignalMask *mask)
    int fd_poll_now(int fd, int events)
    int child_look(pid_t pid)
    int child_collect(pid_t pid, int *status)
    int close(int fd)
