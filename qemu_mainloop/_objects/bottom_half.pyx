# class BottomHalf.

cimport cython
from cpython.ref cimport PyObject

from qemu_mainloop._core.bh cimport (
    BH_GUARDED, BH_RUNTIME, BHCallback, bh_cancel, bh_delete, bh_is_scheduled, bh_new_with_room,
    bh_schedule_guarded, bh_schedule_idle, bh_set_guard)
from qemu_mainloop._core.context cimport context_bhs
from qemu_mainloop._core.dispatch cimport AnyFunction, runtime_register_callback
from qemu_mainloop._core.signals cimport signal_untrap
from qemu_mainloop._objects.callback cimport (
    NO_GIL, Link, call, check_callable, link_target, shelf_has, shelf_put, shelf_take)


@cython.final
@cython.no_gc_clear          # __dealloc__ needs the loop; the loop's set breaks cycles
@cython.trashcan(True)       # chains of them, each the next one's callback, may be long
cdef class BottomHalf:
    """A callback that runs from the loop once it is scheduled.

    ``loop.bh_new(callback)`` makes one.  The loop keeps it while it is scheduled;
    otherwise it lives as long as somebody refers to it.  Every method may be called
    from any thread.
    """

    def __init__(self):
        raise TypeError("a BottomHalf is made by MainLoop.bh_new()")

    def __dealloc__(self):
        with cython.critical_section(self.guard):
            self.give_up()

    # This and what follows up to the methods: in the guard's critical section.

    cdef Link *link(self) noexcept:
        # NULL: it was deleted, or a closed loop has freed it.
        if self.bh == NULL or (self.core.closed and not self.core.is_main):
            return NULL
        return <Link *> self.bh.opaque

    cdef void give_up(self) noexcept:
        cdef QEMUBH *bh = self.bh
        cdef Link *link = self.link()
        self.bh = NULL
        if link == NULL:
            return
        link.target = NULL
        if self.trapped_signal:
            signal_untrap(self.trapped_signal, bh)
        bh_delete(bh)

    cdef int check_usable(self) except -1:
        if self.core is None:
            raise RuntimeError("a BottomHalf is made by MainLoop.bh_new()")
        self.core.check_open()
        if self.bh == NULL:
            raise RuntimeError("the BottomHalf is deleted")
        return 0

    cdef int keep(self) except -1:
        cdef Link *link = <Link *> self.bh.opaque
        if not link.kept:
            self.place = shelf_put(self.core.bottom_halves, self)
            link.kept = True
        return 0

    cdef void let_go(self) noexcept:
        # The loop keeps it no longer; whoever calls this has a reference.
        cdef PyObject *moved
        cdef Link *link = self.link()
        if link != NULL:
            link.kept = False
        # A closed loop drops them itself, outside of the section.
        if not self.core.closed and shelf_has(self.core.bottom_halves, self.place, self):
            moved = shelf_take(self.core.bottom_halves, self.place)
            if moved != NULL:
                (<BottomHalf> moved).place = self.place

    cdef bint will_run(self) noexcept:
        return self.bh != NULL and not self.core.closed and bh_is_scheduled(self.bh)

    def schedule(self):
        """Run it in this or the next bottom-half phase, once however often this is called.

        Raises:
            RuntimeError: it is deleted, or its loop is closed.
        """
        with cython.critical_section(self.guard):
            if self.bh == NULL or self.core.closed:
                self.check_usable()
            self.keep()
            bh_schedule_guarded(self.bh)

    def schedule_idle(self):
        """Run it within 10 ms; does not demote one that is scheduled already.

        Raises:
            RuntimeError: it is deleted, or its loop is closed.
        """
        with cython.critical_section(self.guard):
            self.check_usable()
            self.keep()
            bh_schedule_idle(self.bh)

    def cancel(self):
        """Take the schedule back.

        Raises:
            RuntimeError: it is deleted, or its loop is closed.
        """
        with cython.critical_section(self.guard):
            self.check_usable()
            bh_cancel(self.bh)
            self.let_go()

    def delete(self):
        """Cancel it and give it up; a second call does nothing."""
        cdef object _dropped             # after the section
        with cython.critical_section(self.guard):
            if self.core is not None:
                _dropped = self.callback
                self.callback = None
                self.let_go()
                self.give_up()

    @property
    def scheduled(self):
        """Will it run?"""
        with cython.critical_section(self.guard):
            return self.will_run()

    @property
    def loop(self):
        """The loop it belongs to."""
        return self.core

    def __repr__(self):
        cdef object callback
        cdef bint deleted, scheduled
        with cython.critical_section(self.guard):
            deleted = self.bh == NULL
            scheduled = self.will_run()
            callback = self.callback
        if deleted:
            return "<BottomHalf deleted>"
        return f"<BottomHalf {callback!r}{' scheduled' if scheduled else ''}>"


cdef void run(void *opaque) noexcept:
    # The GIL is held; see callback.pyx.
    cdef BottomHalf self
    cdef object callback
    cdef PyObject *target
    with cython.critical_section(<object> <PyObject *> (<Link *> opaque).guard):
        target = link_target(<Link *> opaque)
        if target == NULL:
            return
        self = <BottomHalf> target
        callback = self.callback
    call(callback)
    # Only now: one that schedules itself is kept all the time.
    with cython.critical_section(self.guard):
        if not self.trapped_signal and not self.will_run():
            self.let_go()


cdef BottomHalf bottom_half_new(LoopCore loop, object callback):
    cdef BottomHalf self = BottomHalf.__new__(BottomHalf)
    cdef Link *link
    self.core = loop
    self.guard = loop.guard
    self.callback = check_callable(callback, "a bottom half's callback")
    with cython.critical_section(self.guard):
        loop.check_open()                # allocating may have run anything
        self.bh = bh_new_with_room(context_bhs(loop.ctx), <BHCallback> <void *> run, sizeof(Link))
        if self.bh == NULL:
            raise MemoryError
        bh_set_guard(self.bh, BH_GUARDED if NO_GIL else BH_RUNTIME)
        link = <Link *> self.bh.opaque
        link.guard = <void *> self.guard
        link.target = <void *> self
    return self


runtime_register_callback(<AnyFunction> <void *> run)
