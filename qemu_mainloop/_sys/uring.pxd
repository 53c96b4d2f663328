# An io_uring by bare system calls.

from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t

from qemu_mainloop._sys.thread cimport SignalMask


cdef extern from "qemu_mainloop/_sys/uring.h" nogil:
    ctypedef struct Ring:
        int fd
        unsigned entries
        uint32_t queued
        uint32_t *cq_head
        uint32_t *cq_tail
    ctypedef struct RingResult:
        uint64_t data
        int32_t result
        uint32_t flags

    int ring_open(Ring *r, unsigned entries)
    void ring_close(Ring *r)
    int ring_enter(Ring *r, unsigned wanted, int64_t timeout_ns, const SignalMask *mask)
    int ring_poll_add(Ring *r, int fd, unsigned events, uint64_t data)
    int ring_poll_remove(Ring *r, uint64_t target, uint64_t data)
    int ring_cancel(const Ring *r, uint64_t target)
    uint32_t ring_ready(const Ring *r)
    bint ring_has_overflown(const Ring *r)
    bint ring_take(Ring *r, RingResult *out)
