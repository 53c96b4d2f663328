# qemu-timer.h's names over the core; what they promise is in timer.pxd.

from libc.stdint cimport int64_t

from qemu_mainloop._core.iteration cimport iteration_run_timers
from qemu_mainloop._core.dispatch cimport (
    Dispatch, dispatch_begin, dispatch_end, runtime_resume, runtime_suspend)
from qemu_mainloop._core.lock cimport lock_acquire, lock_is_mine, lock_release
from qemu_mainloop._core.mainloop cimport iothread_lock, main_context
from qemu_mainloop._core.clock cimport CLOCKS, clock_get_ns
from qemu_mainloop._core.step cimport step_advance, step_enable
from qemu_mainloop._core.timer cimport (
    timer_arm, timer_armed_for_ns, timer_create, timer_destroy, timer_disarm, timer_in_ns,
    timer_list_deadline_ns)


cdef QEMUTimer *timer_new(QEMUClockType type, int scale, QEMUTimerCB *cb,
                          void *opaque) noexcept nogil:
    if main_context == NULL or cb == NULL:
        return NULL
    return timer_create(&main_context.timers, <int> type, scale, cb, opaque)


cdef QEMUTimer *timer_new_ns(QEMUClockType type, QEMUTimerCB *cb, void *opaque) noexcept nogil:
    return timer_new(type, SCALE_NS, cb, opaque)


cdef QEMUTimer *timer_new_us(QEMUClockType type, QEMUTimerCB *cb, void *opaque) noexcept nogil:
    return timer_new(type, SCALE_US, cb, opaque)


cdef QEMUTimer *timer_new_ms(QEMUClockType type, QEMUTimerCB *cb, void *opaque) noexcept nogil:
    return timer_new(type, SCALE_MS, cb, opaque)


cdef void timer_free(QEMUTimer *ts) noexcept nogil:
    timer_destroy(ts)


cdef void timer_mod(QEMUTimer *ts, int64_t expire) noexcept nogil:
    timer_arm(ts, timer_in_ns(ts, expire), False)


cdef void timer_mod_ns(QEMUTimer *ts, int64_t expire_ns) noexcept nogil:
    timer_arm(ts, expire_ns, False)


cdef void timer_mod_anticipate(QEMUTimer *ts, int64_t expire) noexcept nogil:
    timer_arm(ts, timer_in_ns(ts, expire), True)


cdef void timer_mod_anticipate_ns(QEMUTimer *ts, int64_t expire_ns) noexcept nogil:
    timer_arm(ts, expire_ns, True)


cdef void timer_del(QEMUTimer *ts) noexcept nogil:
    timer_disarm(ts)


cdef bint timer_pending(QEMUTimer *ts) noexcept nogil:
    return timer_armed_for_ns(ts) >= 0


cdef bint timer_expired(QEMUTimer *ts, int64_t now) noexcept nogil:
    cdef int64_t expire_ns = timer_armed_for_ns(ts)
    return 0 <= expire_ns <= timer_in_ns(ts, now)


cdef int64_t timer_expire_time_ns(QEMUTimer *ts) noexcept nogil:
    return timer_armed_for_ns(ts)


cdef int64_t qemu_clock_get_ns(QEMUClockType type) noexcept nogil:
    return clock_get_ns(<int> type)


cdef int64_t qemu_clock_get_us(QEMUClockType type) noexcept nogil:
    return clock_get_ns(<int> type) // SCALE_US


cdef int64_t qemu_clock_get_ms(QEMUClockType type) noexcept nogil:
    return clock_get_ns(<int> type) // SCALE_MS


cdef void qemu_clock_enable(QEMUClockType type, bint enabled) noexcept nogil:
    step_enable(<int> type, enabled)


cdef int64_t qemu_clock_deadline_ns(QEMUClockType type) noexcept nogil:
    cdef int clock = <int> type
    if main_context == NULL or clock < 0 or clock >= CLOCKS:
        return -1
    return timer_list_deadline_ns(&main_context.timers.lists[clock])


cdef bint qemu_clock_run_timers(QEMUClockType type) noexcept nogil:
    cdef int clock = <int> type
    if main_context == NULL or clock < 0 or clock >= CLOCKS:
        return False
    return iteration_run_timers(main_context, clock)


# The main loop's callbacks run with the iothread lock held, here too.
cdef int64_t advance(int64_t ns, bint relative) noexcept nogil:
    cdef Dispatch d
    cdef Dispatch waiting
    cdef int64_t result
    cdef bint took = main_context != NULL and not lock_is_mine(&iothread_lock)
    if took:
        runtime_suspend(&waiting)
        lock_acquire(&iothread_lock, -1)
        runtime_resume(&waiting)
    dispatch_begin(&d, -1)
    result = step_advance(ns, relative, &d)
    dispatch_end(&d)
    if took:
        lock_release(&iothread_lock)
    return result


cdef int64_t qemu_clock_step(int64_t ns) noexcept nogil:
    return advance(ns, True)


cdef int64_t qemu_clock_set(int64_t ns) noexcept nogil:
    return advance(ns, False)
