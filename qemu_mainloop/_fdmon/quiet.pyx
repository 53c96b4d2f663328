# The quiet ring; what it rests on is in quiet.pxd.

from libc.stdint cimport int64_t
from libc.string cimport memset

from qemu_mainloop._sys.atomic cimport atomic_load_i64, atomic_store_i64
from qemu_mainloop._sys.clock cimport clock_monotonic_coarse_ns
from qemu_mainloop._sys.posix cimport POLLIN
from qemu_mainloop._sys.uring cimport (
    RingResult, ring_close, ring_enter, ring_open, ring_poll_add, ring_poll_remove, ring_take)

cdef enum:
    ENTRIES = 4
    THE_POLL = 1             # what requests carry
    ITS_REMOVAL = 2
    MOST_PATIENCE = 4096


first_patience = QUIET_PATIENCE


cdef void quiet_init(QuietRing *q) noexcept nogil:
    memset(q, 0, sizeof(QuietRing))
    # Refused, or not there: do without.  Here and not when it is first of use: a loop has
    # all its descriptors from the beginning.
    q.patience = first_patience
    if q.patience == QUIET_NEVER or ring_open(&q.ring, ENTRIES) < 0:
        q.patience = QUIET_NEVER
        q.ring.fd = -1                   # nothing is opened, nothing is to be closed


cdef int64_t closed_at_ns = 0
# 20 ms were seen, more where the kernel's worker gets no processor.
cdef int64_t CLOSING_NS = 5000000000


cdef void quiet_note_closing() noexcept nogil:
    atomic_store_i64(&closed_at_ns, clock_monotonic_coarse_ns())


cdef void quiet_close(QuietRing *q) noexcept nogil:
    if q.ring.fd >= 0:
        quiet_note_closing()
    ring_close(&q.ring)
    q.armed = False


cdef bint quiet_closed_lately() noexcept nogil:
    cdef int64_t then_ns = atomic_load_i64(&closed_at_ns)
    return then_ns != 0 and clock_monotonic_coarse_ns() - then_ns < CLOSING_NS


cdef void take_all(QuietRing *q) noexcept nogil:
    cdef RingResult result
    while ring_take(&q.ring, &result):
        q.pending -= 1


cdef void quiet_disarm(QuietRing *q) noexcept nogil:
    if not q.armed:
        return
    q.armed = False
    q.idle = 0
    take_all(q)
    if q.pending > 0:
        # Another thread polls now, or another descriptor is to be watched.
        if q.patience < MOST_PATIENCE:
            q.patience *= 2
        if ring_poll_remove(&q.ring, THE_POLL, ITS_REMOVAL) == 0:
            q.pending += 1
            ring_enter(&q.ring, 0, 0, NULL)
            take_all(q)


cdef void quiet_found_nothing(QuietRing *q, int fd) noexcept nogil:
    q.idle += 1
    if q.idle < q.patience or q.armed:
        return
    q.idle = 0
    if q.ring.fd < 0:
        return                           # not even that patience is for ever
    take_all(q)
    if q.pending > 0:
        return                           # one that was taken back is still on its way
    if ring_poll_add(&q.ring, fd, POLLIN, THE_POLL) < 0:
        return
    if ring_enter(&q.ring, 0, 0, NULL) != 1:
        # Nothing is known of what the kernel has seen of it.
        quiet_close(q)
        q.patience = QUIET_NEVER
        return
    q.pending += 1
    q.armed = True
    q.thread = thread_self()
