# The quiet ring: looking whether a descriptor is readable without a system call.
#
# After a few looks in a row that found nothing, an io_uring(7) gets a one-shot poll of the
# descriptor.  Until it completes, which the kernel shows in memory, nothing is there to be
# read, and nobody need ask.  A completion disarms it, so that a busy loop never pays.
#
# The completion is posted by the thread that armed it, when it next leaves the kernel:
# what this thread did before is seen at its next look, what others did when they have
# interrupted it, which takes microseconds.  For another thread that polls now it would
# come late: then the request is taken back, and the new one waits longer before it arms.
# The ring is not closed before its owner is: the word in memory stays readable.
#
# Some milliseconds after a ring was closed the kernel interrupts the thread that had
# made it, once, in whatever it waits.  Calls that a handled signal alone ends, as poll(2) is,
# go on by themselves; epoll_wait(2) answers EINTR, as if there had been a signal.

from libc.stdint cimport uint64_t, uintptr_t

from qemu_mainloop._sys.thread cimport thread_self
from qemu_mainloop._sys.uring cimport Ring, ring_ready


cdef enum:
    QUIET_PATIENCE = 4       # looks in a row that find nothing, before it is armed
    QUIET_NEVER = 1 << 30    # io_uring is not to be had, or not worth it

cdef struct QuietRing:
    Ring ring
    bint armed
    int pending              # requests that the kernel has not completed
    uintptr_t thread         # that armed it
    int idle                 # looks in a row that found nothing
    int patience

# What a new one begins with.  A variable, so that the tests can have it armed at once, or never.
cdef int first_patience

cdef void quiet_init(QuietRing *q) noexcept nogil
cdef void quiet_close(QuietRing *q) noexcept nogil
# Whoever closes a ring says so.
cdef void quiet_note_closing() noexcept nogil
# A ring of this process was closed, and the kernel may not be done with it.
cdef bint quiet_closed_lately() noexcept nogil
# A look at fd found nothing: arms the ring if it is time.
cdef void quiet_found_nothing(QuietRing *q, int fd) noexcept nogil
# The ring is not to be trusted any more.
cdef void quiet_disarm(QuietRing *q) noexcept nogil


cdef inline void quiet_found_something(QuietRing *q) noexcept nogil:
    q.idle = 0


# True: nothing can be read, and the kernel need not be asked.
cdef inline bint quiet_holds(QuietRing *q) noexcept nogil:
    if not q.armed:
        return False
    if q.thread == thread_self() and ring_ready(&q.ring) == 0:
        return True
    quiet_disarm(q)
    return False
