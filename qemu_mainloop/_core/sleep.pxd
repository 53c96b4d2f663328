# Phases 3 and 4 of an iteration: how long to wait, and waiting.

from libc.stdint cimport int64_t, uint64_t, uintptr_t

from qemu_mainloop._core.context cimport AioContext, Driver
from qemu_mainloop._core.dispatch cimport Dispatch
from qemu_mainloop._sys.thread cimport SignalMask
from qemu_mainloop._sys.threadlocal cimport ThreadOwn


# What one iteration carries through its phases, on its thread's stack.
cdef struct Iteration:
    ThreadOwn *own_thread
    void *outer                  # what this thread was in an iteration of
    uint64_t pass_
    uint64_t waits_after         # the last iteration begun before phase 2: nested ones included
    uintptr_t seen_events        # what the caller knew of ctx.events; one behind does not sleep
    bint took_lock               # the iothread lock, for the call
    bint eventful                # it called something, or accepted a notification
    bint work_came               # the last sleep ended, or was cut short, for it
    bint polls                   # a sleep begins with busy polling
    bint lost_lock               # and gave up waiting for it: nothing may be called
    Driver *driver
    Dispatch *d                  # the driver's, or own
    Dispatch own
    SignalMask mask


# Something waits in memory, without an announcement: one that sleeps has to look again.
cdef bint sleep_is_pointless(AioContext *ctx) noexcept nogil
# The shortest of timeout_ns (< 0: without end) and what the context knows.  Called after
# wakeup_prepare_sleep, so that what comes later wakes the sleep.
cdef int64_t sleep_timeout_ns(AioContext *ctx, int64_t timeout_ns) noexcept nogil
# Asking the kernel before a sleep, with the runtime's lock in hand, whether there is anything
# to sleep for.
cdef bint sleep_looks_first(AioContext *ctx, Iteration *it) noexcept nogil
cdef void sleep_has_looked(AioContext *ctx, bint found) noexcept nogil
# Asks the kernel without blocking, or waits.  The number of reports, -EINTR, or another
# negative errno.
cdef int sleep_not(AioContext *ctx, Iteration *it) noexcept nogil
cdef int sleep_until(AioContext *ctx, Iteration *it, int64_t timeout_ns) noexcept nogil
# A timer of the host clock is armed: have the wall clock watched.
cdef void sleep_watch_wall_clock(AioContext *ctx) noexcept nogil
# Takes the iothread lock, waiting for it.  False: the driver was told of a signal that ends
# the call, which may be, and it is not held.
cdef bint sleep_take_lock(AioContext *ctx, Iteration *it, bint may_give_up) noexcept nogil
