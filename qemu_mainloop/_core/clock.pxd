# The process's clocks: which are enabled, and what time they say.

from libc.stdint cimport int64_t, uintptr_t

from qemu_mainloop._sys.atomic cimport atomic_load_int
from qemu_mainloop._sys.thread cimport Mutex

cdef enum:
    REALTIME = 0             # QEMU_CLOCK_REALTIME and so on
    VIRTUAL = 1
    HOST = 2
    CLOCKS = 3

cdef extern from *:
    """
    #include <stdint.h>
    #define QML_NEVER_NS INT64_MAX
    """
    const int64_t NEVER_NS "QML_NEVER_NS"        # the latest time there is

# Guards the virtual clock, and the list of all timer groups.  Lock order: this one, then
# a group's.  No callback runs under either.
cdef Mutex clocks_lock
cdef int enabled_clocks[CLOCKS]
# For tests: the wall clock as if it were set by that much.
cdef int64_t clock_wall_shift_ns

cdef int64_t clock_get_ns(int clock) noexcept nogil
# With the lock held:
cdef int64_t clock_virtual_now() noexcept nogil
cdef void clock_virtual_set(int64_t ns) noexcept nogil
# True: it was the other way.
cdef bint clock_switch(int clock, bint enabled) noexcept nogil

# Timer callbacks that somebody waits for: who runs one says when it is done, who waits
# holds the lock, which is let go meanwhile.
cdef struct ClockWaiter:
    ClockWaiter *next
    uintptr_t thread
    int clock                # whose callbacks it waits for,
    int64_t stop             # and only for those that began before this stop
    int asked                # of the walks in step.pyx, the last that came here

cdef ClockWaiter *clock_waiters
cdef bint clock_is_awaited() noexcept nogil
cdef void clock_runner_done() noexcept nogil
# The number of a stop that has just been made; the lock is held.  And the last one.
cdef int64_t clock_count_stop() noexcept nogil
cdef int64_t clock_last_stop() noexcept nogil
cdef void clock_begin_waiting(ClockWaiter *me, int clock, int64_t stop) noexcept nogil
cdef void clock_wait_for_runner() noexcept nogil
cdef void clock_end_waiting(ClockWaiter *me) noexcept nogil


cdef inline bint clock_is_enabled(int clock) noexcept nogil:
    return atomic_load_int(&enabled_clocks[clock])
