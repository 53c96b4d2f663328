# The part of QEMU's qemu-timer.h that a device model needs, today's names.
#
# Timers made here belong to the main loop; aio.pxd makes them for any context.
# All of it may be called from any thread unless it says otherwise; nothing here
# can fail but timer_new.  A clock's unit is the nanosecond since its epoch.

from libc.stdint cimport int64_t

from qemu_mainloop.main_loop cimport qemu_mainloop_abi_1


cdef extern from *:
    """
    #ifndef QEMU_MAINLOOP_TIMER_TYPES
    #define QEMU_MAINLOOP_TIMER_TYPES
    #include <stdint.h>
    typedef enum QEMUClockType {
        QEMU_CLOCK_REALTIME = 0,
        QEMU_CLOCK_VIRTUAL = 1,
        QEMU_CLOCK_HOST = 2
    } QEMUClockType;
    typedef void QEMUTimerCB(void *opaque);
    typedef struct QEMUTimer QEMUTimer;
    #endif
    """
    # REALTIME: CLOCK_MONOTONIC, the base of time.monotonic_ns().
    # VIRTUAL: one a process; starts at 0, stopped; qemu_clock_enable() runs it.
    # HOST: the wall clock, wherever somebody sets it.
    ctypedef enum QEMUClockType:
        QEMU_CLOCK_REALTIME
        QEMU_CLOCK_VIRTUAL
        QEMU_CLOCK_HOST
    ctypedef void QEMUTimerCB(void *opaque) noexcept nogil
    ctypedef struct QEMUTimer


cdef enum:
    SCALE_NS = 1
    SCALE_US = 1000
    SCALE_MS = 1000000
    NANOSECONDS_PER_SECOND = 1000000000

# A timer of the main loop that calls cb(opaque); scale is the unit of the times
# given to timer_mod().  Its place is reserved here, so that no later call can
# fail.  opaque stays the caller's until timer_free().
# Errors: NULL: no memory, an unknown clock, a scale below 1, or not initialised.
cdef QEMUTimer *timer_new(QEMUClockType type, int scale, QEMUTimerCB *cb,
                          void *opaque) noexcept nogil
cdef QEMUTimer *timer_new_ns(QEMUClockType type, QEMUTimerCB *cb, void *opaque) noexcept nogil
cdef QEMUTimer *timer_new_us(QEMUClockType type, QEMUTimerCB *cb, void *opaque) noexcept nogil
cdef QEMUTimer *timer_new_ms(QEMUClockType type, QEMUTimerCB *cb, void *opaque) noexcept nogil
# Disarms and frees; NULL is accepted; the timer's own callback may do it.
cdef void timer_free(QEMUTimer *ts) noexcept nogil

# Arms ts for that time of its clock, in its scale (timer_mod) or in ns.
# Never early; equal times in the order of arming; a time below 0 counts as 0;
# a product that does not fit is the latest time there is.
cdef void timer_mod(QEMUTimer *ts, int64_t expire) noexcept nogil
cdef void timer_mod_ns(QEMUTimer *ts, int64_t expire_ns) noexcept nogil
# The same, if ts is not armed or armed for later.
cdef void timer_mod_anticipate(QEMUTimer *ts, int64_t expire) noexcept nogil
cdef void timer_mod_anticipate_ns(QEMUTimer *ts, int64_t expire_ns) noexcept nogil
# Disarms.  From another thread the callback may still be running.
cdef void timer_del(QEMUTimer *ts) noexcept nogil

# Armed, and its callback not begun?
cdef bint timer_pending(QEMUTimer *ts) noexcept nogil
# Armed for now or earlier (now in its scale)?
cdef bint timer_expired(QEMUTimer *ts, int64_t now) noexcept nogil
# The time it is armed for; -1: it is not.
cdef int64_t timer_expire_time_ns(QEMUTimer *ts) noexcept nogil

cdef int64_t qemu_clock_get_ns(QEMUClockType type) noexcept nogil
cdef int64_t qemu_clock_get_us(QEMUClockType type) noexcept nogil
cdef int64_t qemu_clock_get_ms(QEMUClockType type) noexcept nogil

# Lets the timers of that clock run, or holds them; the virtual clock itself
# stops and goes on where it stopped.  Disabling returns when no callback of the
# clock runs in another thread any more; lets the GIL go meanwhile.
cdef void qemu_clock_enable(QEMUClockType type, bint enabled) noexcept nogil
# Nanoseconds to the main loop's next timer of that clock, 0 if one is due;
# -1: none is armed, or the clock is disabled.
cdef int64_t qemu_clock_deadline_ns(QEMUClockType type) noexcept nogil
# Runs the main loop's due timers of that clock; true if one ran.
# Context: the loop's thread, with the iothread lock.
cdef bint qemu_clock_run_timers(QEMUClockType type) noexcept nogil

# Moves the stopped virtual clock on by ns, or to ns, and runs on the way what is
# due, deadline by deadline, in the main loop (the iothread lock is taken for the
# call) and in the contexts of this thread; then wakes the other contexts for theirs.
# Returns the new time.  Errors: -EBUSY: the clock runs, or this is a callback of
# a virtual timer; -EINVAL: backwards.
cdef int64_t qemu_clock_step(int64_t ns) noexcept nogil
cdef int64_t qemu_clock_set(int64_t ns) noexcept nogil
