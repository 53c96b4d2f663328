# One iteration over a context.  The phases are in docs/iteration.md, in the same words
# as the functions of iteration.pyx.

from libc.stdint cimport int64_t, uintptr_t

from qemu_mainloop._core.context cimport AioContext, Driver
from qemu_mainloop._core.fdtable cimport FdTable


cdef struct Outcome:
    int descriptors              # and wait objects that had a callback due
    bint progress                # something but a notification or an idle one ran

# The innermost one that this thread is in an iteration of.
cdef AioContext *iteration_current() noexcept nogil
# A name of the calling thread that no other has or will have; 0: it never ran an iteration.
cdef uintptr_t iteration_thread_number() noexcept nogil

# One iteration.  timeout_ns: 0 does not block, < 0 is without end.  driver: NULL, or
# the caller's.
# 0; -EBUSY: another thread polls it; -ELOOP: nested too deeply; else why waiting is impossible.
cdef int iteration_run(AioContext *ctx, int64_t timeout_ns, Driver *driver,
                       Outcome *out) noexcept nogil
# For who iterates again and again: the calling thread's claim outlasts the iterations, other
# calls' between them included, until iteration_give_up().  False: another thread polls it.
cdef bint iteration_keep(AioContext *ctx) noexcept nogil
cdef void iteration_give_up(AioContext *ctx) noexcept nogil
# The bottom-half phase and the timer phase alone, for a loop around ours.  1: one that
# was not idle ran; 0; -EBUSY.
cdef int iteration_run_bottom_halves(AioContext *ctx) noexcept nogil
cdef bint iteration_run_timers(AioContext *ctx, int clock) noexcept nogil
# A wait of somebody else's: how long it may be for bottom halves' sake (-1: any); asks
# and applies before it; then runs the descriptor phase over what it found.  From either of the
# first two on the context counts as asleep.
cdef int64_t iteration_foreign_timeout_ns(AioContext *ctx) noexcept nogil
cdef void iteration_prepare_foreign_wait(AioContext *ctx) noexcept nogil
# fill() writes the table's reports from what the foreign wait found; how many.  Called once
# the calling thread is the only one inside, if it gets in.
cdef void iteration_dispatch_reports(AioContext *ctx, int (*fill)(FdTable *, void *) noexcept nogil,
                                     void *found) noexcept nogil
