# class BottomHalf.

cimport cython
from cpython.ref cimport Py_DECREF

from qemu_mainloop._core.bh cimport (
    BHCallback, bh_cancel, bh_delete, bh_is_scheduled, bh_new, bh_schedule, bh_schedule_idle)
from qemu_mainloop._core.context cimport context_bhs
from qemu_mainloop._core.dispatch cimport AnyFunction, runtime_register_callback
from qemu_mainloop._core.signals cimport signal_untrap
from qemu_mainloop._objects.callback cimport (
    cell_clear, cell_new, cell_target, check_callable, gil_count, park, release_cell)


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
        cell_clear(self.cell)
        self.give_up()

    cdef void give_up(self) noexcept:
        cdef QEMUBH *bh = self.bh
        self.bh = NULL
        if bh == NULL or (self.core.closed and not self.core.is_main):
            return                       # a closed loop has freed it
        if self.trapped_signal:
            signal_untrap(self.trapped_signal, bh)
        bh_delete(bh)

    cdef int check_usable(self) except -1:
        self.core.check_open()
        if self.bh == NULL:
            raise RuntimeError(f"{self!r} is deleted")
        return 0

    def schedule(self):
        """Run it in this or the next bottom-half phase, once however often this is called.

        Raises:
            RuntimeError: it is deleted, or its loop is closed.
        """
        if self.bh == NULL or self.core.closed:
            self.check_usable()
        with cython.critical_section(self):
            self.core.held.add(self)
            bh_schedule(self.bh)

    def schedule_idle(self):
        """Run it within 10 ms; does not demote one that is scheduled already.

        Raises:
            RuntimeError: it is deleted, or its loop is closed.
        """
        self.check_usable()
        with cython.critical_section(self):
            self.core.held.add(self)
            bh_schedule_idle(self.bh)

    def cancel(self):
        """Take the schedule back.

        Raises:
            RuntimeError: it is deleted, or its loop is closed.
        """
        self.check_usable()
        with cython.critical_section(self):
            bh_cancel(self.bh)
            self.core.held.discard(self)

    def delete(self):
        """Cancel it and give it up; a second call does nothing."""
        with cython.critical_section(self):
            self.callback = None
            self.give_up()
            self.core.held.discard(self)

    @property
    def scheduled(self):
        """Will it run?"""
        return self.bh != NULL and not self.core.closed and bh_is_scheduled(self.bh)

    @property
    def loop(self):
        """The loop it belongs to."""
        return self.core

    def __repr__(self):
        if self.bh == NULL:
            return "<BottomHalf deleted>"
        return f"<BottomHalf {self.callback!r}{' scheduled' if self.scheduled else ''}>"


cdef void run(void *opaque) noexcept:
    # The GIL is held; see callback.pyx.
    cdef BottomHalf self = cell_target(<Cell> opaque)
    cdef object callback
    gil_count()
    if self is None:
        return
    with cython.critical_section(self):
        if self.bh == NULL or not bh_is_scheduled(self.bh):
            self.core.held.discard(self)
        callback = self.callback
    if callback is None:
        return
    try:
        callback()
    except BaseException as e:
        park(e, callback)


cdef BottomHalf bottom_half_new(LoopCore loop, object callback):
    cdef BottomHalf self = BottomHalf.__new__(BottomHalf)
    self.core = loop
    self.callback = check_callable(callback, "a bottom half's callback")
    self.cell = cell_new(self)
    loop.check_open()                    # allocating may have run anything
    self.bh = bh_new(context_bhs(loop.ctx), <BHCallback> <void *> run, <void *> self.cell,
                     release_cell, False)
    if self.bh == NULL:
        Py_DECREF(self.cell)
        raise MemoryError
    return self


runtime_register_callback(<AnyFunction> <void *> run)
