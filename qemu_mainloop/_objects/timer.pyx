# class Timer, and the process's clocks for Python.

import enum
import operator

cimport cython
from cpython.long cimport (
    PyLong_AsLongAndOverflow, PyLong_AsLongLongAndOverflow, PyLong_CheckExact)
from cpython.ref cimport PyObject
from libc.errno cimport EBUSY, EINVAL
from libc.stdint cimport INT64_MAX, INT64_MIN, int64_t

from qemu_mainloop cimport timer as public
from qemu_mainloop._core.context cimport context_timers
from qemu_mainloop._core.dispatch cimport AnyFunction, runtime_register_callback
from qemu_mainloop._core.clock cimport CLOCKS
from qemu_mainloop._core.lock cimport lock_is_mine, lock_release
from qemu_mainloop._core.mainloop cimport iothread_lock, main_context
from qemu_mainloop._core.timer cimport (
    TimerCallback, timer_arm, timer_armed_for_ns, timer_create_with_room, timer_destroy,
    timer_disarm_to_rest)
from qemu_mainloop._objects.callback cimport (
    Frame, Link, call, check_callable, frame_pop, frame_push, integer, link_target, shelf_has,
    shelf_put, shelf_take)
from qemu_mainloop._objects.iothread_lock cimport iothread_lock_take

SCALE_NS = public.SCALE_NS
SCALE_US = public.SCALE_US
SCALE_MS = public.SCALE_MS
NANOSECONDS_PER_SECOND = public.NANOSECONDS_PER_SECOND


class Clock(enum.IntEnum):
    """QEMU's clocks."""

    REALTIME = 0
    VIRTUAL = 1
    HOST = 2


cdef int clock_number(object clock) except -1:
    cdef int overflow = 0
    cdef long number = PyLong_AsLongAndOverflow(clock, &overflow) if isinstance(clock, int) else -1
    if 0 <= number < CLOCKS:
        return number
    raise ValueError(f"{clock!r} is not a Clock")


cdef int64_t in_ns(object when, object scale) except? -1:
    # Saturates like the C API; Python's integers do not overflow on the way.
    cdef object ns
    cdef int overflow = 0
    cdef int64_t number
    if scale is None and PyLong_CheckExact(when):
        number = PyLong_AsLongLongAndOverflow(when, &overflow)
        if overflow:
            return INT64_MAX if overflow > 0 else 0
        return number if number > 0 else 0
    try:
        ns = operator.index(when)
    except TypeError:
        raise TypeError(f"a time is an int, not {type(when).__name__}") from None
    if scale is not None:
        ns *= scale
    if ns > INT64_MAX:
        return INT64_MAX
    return ns if ns > 0 else 0


@cython.final
@cython.freelist(1024)       # as MOST_SPARES
@cython.no_gc_clear          # __dealloc__ needs the loop; the loop's set breaks cycles
@cython.trashcan(True)       # chains of them, each the next one's callback, may be long
cdef class Timer:
    """A callback that runs from the loop at a time of a clock.

    ``loop.timer_new(callback)`` makes one, unarmed.  The loop keeps it while it is
    pending.  Every method may be called from any thread.
    """

    def __init__(self):
        raise TypeError("a Timer is made by MainLoop.timer_new()")

    def __dealloc__(self):
        cdef Link *link
        with cython.critical_section(self.guard):
            link = self.link()
            if link != NULL:
                link.target = NULL
                self.core.timer_count -= 1
                if not self.rests or not spare_put(self.core, self.clock_number, self.ts, link):
                    timer_destroy(self.ts)

    cdef Link *link(self) noexcept:
        # NULL: a closed loop has freed it.
        if self.ts == NULL or (self.core.closed and not self.core.is_main):
            return NULL
        return <Link *> self.ts.opaque

    # In the guard's critical section, as let_go() and armed_for_ns().
    cdef int check_usable(self) except -1:
        if self.core is None:
            raise RuntimeError("a Timer is made by MainLoop.timer_new()")
        return self.core.check_open()

    cdef void let_go(self) noexcept:
        # The loop keeps it no longer; whoever calls this has a reference.
        cdef PyObject *moved
        cdef Link *link = self.link()
        if link != NULL:
            link.kept = False
        # A closed loop drops them itself, outside of the section.
        if not self.core.closed and shelf_has(self.core.timers, self.place, self):
            moved = shelf_take(self.core.timers, self.place)
            if moved != NULL:
                (<Timer> moved).place = self.place

    cdef int64_t armed_for_ns(self) noexcept:
        if self.ts == NULL or self.core.closed:
            return -1
        return timer_armed_for_ns(self.ts)

    cdef int arm(self, int64_t expire_ns, bint only_earlier) except -1:
        cdef Link *link
        with cython.critical_section(self.guard):
            if self.ts == NULL or self.core.closed:
                self.check_usable()
            link = <Link *> self.ts.opaque
            if not link.kept:
                self.place = shelf_put(self.core.timers, self)
                link.kept = True
            self.rests = False
            timer_arm(self.ts, expire_ns, only_earlier)
        return 0

    def mod_ns(self, when):
        """Arm it for the time ``when`` of its clock, in nanoseconds.

        Raises:
            RuntimeError: its loop is closed.
            TypeError: when is no integer.
        """
        self.arm(in_ns(when, None), False)

    def mod(self, when, scale=SCALE_MS):
        """Arm it for ``when`` in units of ``scale`` nanoseconds (milliseconds).

        Raises:
            RuntimeError: its loop is closed.
            ValueError: scale is below 1.
            TypeError: when or scale is no integer.
        """
        try:
            scale = operator.index(scale)
        except TypeError:
            raise TypeError(f"scale is an int, not {type(scale).__name__}") from None
        if scale < 1:
            raise ValueError(f"scale {scale} is below 1")
        self.arm(in_ns(when, scale), False)

    def mod_anticipate_ns(self, when):
        """Arm it for ``when`` if it is not armed, or armed for later.

        Raises:
            RuntimeError: its loop is closed.
            TypeError: when is no integer.
        """
        self.arm(in_ns(when, None), True)

    def delete(self):
        """Disarm it; it may be armed again (QEMU's timer_del).

        Raises:
            RuntimeError: its loop is closed.
        """
        with cython.critical_section(self.guard):
            if self.ts == NULL or self.core.closed:
                self.check_usable()
            self.rests = timer_disarm_to_rest(self.ts)
            self.let_go()

    @property
    def pending(self):
        """Is it armed, and its callback not begun?"""
        return self.expire_time_ns >= 0

    @property
    def expire_time_ns(self):
        """The time it is armed for; -1: it is not."""
        with cython.critical_section(self.guard):
            return self.armed_for_ns()

    @property
    def clock(self):
        """The clock it goes by."""
        return Clock(self.clock_number)

    @property
    def loop(self):
        """The loop it belongs to."""
        return self.core

    def __repr__(self):
        cdef int64_t when_ns = self.expire_time_ns
        when = f" at {when_ns} ns" if when_ns >= 0 else ""
        return f"<Timer {self.callback!r} {self.clock.name}{when}>"


cdef void run(void *opaque) noexcept:
    # The GIL is held; see callback.pyx.
    cdef Timer self
    cdef PyObject *target
    with cython.critical_section(<object> <PyObject *> (<Link *> opaque).guard):
        target = link_target(<Link *> opaque)
        if target == NULL:
            return
        self = <Timer> target
    call(self.callback)                  # which never changes
    # Only now: one that arms itself is kept all the time.
    with cython.critical_section(self.guard):
        if self.armed_for_ns() < 0:
            self.let_go()


# ---- spare timers: one that rests is not given back to the core, but to the next object.  Each in
# the guard's critical section.

cdef enum:
    MOST_SPARES = 1024       # or as many as there are objects


cdef bint spare_put(LoopCore loop, int clock, QEMUTimer *ts, Link *link) noexcept:
    if loop.closed or (loop.spare_count >= MOST_SPARES and loop.spare_count >= loop.timer_count):
        return False
    link.target = <void *> loop.spares[clock]
    loop.spares[clock] = ts
    loop.spare_count += 1
    return True


cdef QEMUTimer *spare_take(LoopCore loop, int clock) noexcept:
    cdef QEMUTimer *ts = loop.spares[clock]
    if ts != NULL:
        loop.spares[clock] = <QEMUTimer *> (<Link *> ts.opaque).target
        loop.spare_count -= 1
    return ts


cdef void spare_timers_drop(LoopCore loop) noexcept:
    cdef QEMUTimer *ts
    cdef int clock
    for clock in range(CLOCKS):
        while loop.spares[clock] != NULL:
            ts = spare_take(loop, clock)
            (<Link *> ts.opaque).target = NULL
            timer_destroy(ts)


cdef Timer timer_object_new(LoopCore loop, object callback, int clock):
    cdef Timer self = Timer.__new__(Timer)
    cdef Link *link
    self.core = loop
    self.guard = loop.guard
    self.clock_number = clock
    self.callback = check_callable(callback, "a timer's callback")
    with cython.critical_section(self.guard):
        if loop.closed:                  # allocating may have run anything
            loop.check_open()
        self.ts = spare_take(loop, clock)
        if self.ts == NULL:
            self.ts = timer_create_with_room(context_timers(loop.ctx), clock, 1,
                                             <TimerCallback> <void *> run, sizeof(Link))
        if self.ts == NULL:
            raise MemoryError
        loop.timer_count += 1
        self.rests = True
        link = <Link *> self.ts.opaque
        link.guard = <void *> self.guard
        link.target = <void *> self
    return self


def clock_get_ns(clock=Clock.REALTIME):
    """The time of a clock in nanoseconds.

    Raises:
        ValueError: there is no such clock.
    """
    return public.qemu_clock_get_ns(<public.QEMUClockType> clock_number(clock))


def clock_enable(clock, on):
    """Let the timers of a clock run, or hold them; the virtual clock itself stops.

    Disabling returns when no callback of the clock runs in another thread any more.

    Raises:
        ValueError: there is no such clock.
    """
    public.qemu_clock_enable(<public.QEMUClockType> clock_number(clock), bool(on))


def clock_step(ns):
    """Move the stopped virtual clock on, running what is due on the way; the new time.

    Raises:
        RuntimeError: the clock runs, or this is a callback of a virtual timer.
        ValueError: ns is negative, or does not fit 64 bits.
        TypeError: ns is no integer.
        Exception: the first one that a callback raised.
    """
    return advance(integer(ns, "ns", INT64_MIN, INT64_MAX), True)


def clock_set(ns):
    """Move the stopped virtual clock to a time, as clock_step() does; the new time.

    Raises:
        RuntimeError: the clock runs, or this is a callback of a virtual timer.
        ValueError: ns is in the clock's past, or does not fit 64 bits.
        TypeError: ns is no integer.
        Exception: the first one that a callback raised.
    """
    return advance(integer(ns, "ns", INT64_MIN, INT64_MAX), False)


cdef object advance(int64_t ns, bint relative):
    cdef Frame frame
    cdef int64_t result
    # Here and not below: this wait ends with Ctrl-C.
    cdef bint took = main_context != NULL and not lock_is_mine(&iothread_lock)
    if took:
        iothread_lock_take(-1)
    frame_push(&frame)
    result = public.qemu_clock_step(ns) if relative else public.qemu_clock_set(ns)
    if took:
        lock_release(&iothread_lock)
    frame_pop(&frame)
    if result == -EBUSY:
        raise RuntimeError("the virtual clock runs, or one of its timers does")
    if result == -EINVAL:
        raise ValueError("the virtual clock does not go backwards")
    return result


runtime_register_callback(<AnyFunction> <void *> run)
