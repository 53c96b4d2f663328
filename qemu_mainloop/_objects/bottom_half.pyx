# class BottomHalf.

cimport cython
from cpython.ref cimport Py_DECREF

from qemu_mainloop._core.bh cimport (
    BHCallback, bh_cancel, bh_delete, bh_is_scheduled, bh_new, bh_schedule, bh_schedule_idle)
from qemu_mainloop._core.context cimport context_bhs
from qemu_mainloop._core.dispatch cimport AnyFunction, runtime_register_callback
from qemu_mainloop._core.signals cimport signal_untrap
from qemu_mainloop._objects.callback cimport (
    cell_give, cell_new, cell_target, check_callable, gil_count, park, release_cell)


@cython.final
@cython.no_gc_clear          # __dealloc__ needs the loop; the loop's set breaks cycles
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
            if self.cell is not None:
                self.cell.target = NULL
            self.give_up()

    # This and what follows up to the methods: in the guard's critical section.

    cdef void give_up(self) noexcept:
        cdef QEMUBH *bh = self.bh
        self.bh = NULL
        if bh == NULL or (self.core.closed and not self.core.is_main):
            return                       # a closed loop has freed it
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

    cdef void let_go(self) noexcept:
        # The loop keeps it no longer; whoever calls this has a reference.
        self.cell.kept = False
        self.core.held.discard(self)

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
            self.core.held.add(self)
            self.cell.kept = True
            bh_schedule(self.bh)

    def schedule_idle(self):
        """Run it within 10 ms; does not demote one that is scheduled already.

        Raises:
            RuntimeError: it is deleted, or its loop is closed.
        """
        with cython.critical_section(self.guard):
            self.check_usable()
            self.core.held.add(self)
            self.cell.kept = True
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
                self.give_up()
                self.let_go()

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
    cdef Cell cell = <Cell> opaque
    cdef BottomHalf self
    cdef object callback = None
    gil_count()
    with cython.critical_section(cell.guard):
        self = cell_target(cell)
        if self is not None:
            callback = self.callback
            if not self.trapped_signal and not self.will_run():
                self.let_go()
    if callback is None:
        return
    try:
        callback()
    except BaseException as e:
        park(e, callback)


cdef BottomHalf bottom_half_new(LoopCore loop, object callback):
    cdef BottomHalf self = BottomHalf.__new__(BottomHalf)
    self.core = loop
    self.guard = loop.guard
    self.callback = check_callable(callback, "a bottom half's callback")
    self.cell = cell_new(self, loop.guard)
    with cython.critical_section(self.guard):
        loop.check_open()                # allocating may have run anything
        self.bh = bh_new(context_bhs(loop.ctx), <BHCallback> <void *> run,
                         cell_give(self.cell), release_cell, False)
        if self.bh == NULL:
            Py_DECREF(self.cell)
            raise MemoryError
    return self


runtime_register_callback(<AnyFunction> <void *> run)
