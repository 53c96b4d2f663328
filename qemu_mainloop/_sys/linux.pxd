# epoll with nanoseconds.

from libc.stdint cimport int64_t, uint32_t, uint64_t

from qemu_mainloop._sys.thread cimport SignalMask


cdef extern from "qemu_mainloop/_sys/linux.h" nogil:
    enum: EPOLLIN
    enum: EPOLLOUT
    enum: EPOLLERR
    enum: EPOLLHUP
    enum: EPOLL_CTL_ADD
    enum: EPOLL_CTL_MOD
    enum: EPOLL_CTL_DEL
    ctypedef union EpollData "epoll_data_t":
        uint64_t u64
    ctypedef struct EpollEvent:
        uint32_t events
        EpollData data

    int epoll_open()
    int epoll_change(int ep, int op, int fd, uint32_t events, uint64_t data)
    int epoll_wait_ns(int ep, EpollEvent *events, int max, int64_t timeout_ns,
                      const SignalMask *mask)
