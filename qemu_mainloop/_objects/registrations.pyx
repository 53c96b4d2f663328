# What is registered with a loop: a base of MainLoop.

cimport cython
from libc.errno cimport ENOMEM

from qemu_mainloop._core.bh cimport BH_UNGUARDED, bh_cancel, bh_set_guard
from qemu_mainloop._core.context cimport context_fds, context_is_hosted
from qemu_mainloop._core.fdtable cimport FD_HANDLER, FD_WAIT_OBJECT
from qemu_mainloop._core.iohandler cimport fd_table_set
from qemu_mainloop._core.signals cimport signal_trap
from qemu_mainloop._core.timer cimport timer_disarm
from qemu_mainloop._objects.bottom_half cimport BottomHalf, bottom_half_new
from qemu_mainloop._objects.callback cimport (
    LoopCore, check, check_callable, descriptor_of, integer)
from qemu_mainloop._objects.fd_handler cimport (
    FdHandler, child_set, fd_handler_set, handler_new, polling_set, polling_unset,
    wait_object_set)
from qemu_mainloop._objects.timer cimport Timer, clock_number, timer_object_new


@cython.no_gc_clear          # as MainLoop
cdef class Registrations(LoopCore):
    """What is registered with a loop."""

    def __cinit__(self):
        self.guard = object()
        self.bottom_halves = []
        self.timers = []
        self.watches = set()
        self.handlers = {}
        self.traps = {}
        self.polling = []
        self.closed = True

    def set_fd_handler(self, f, read=None, write=None, *, can_read=None):
        """Call ``read()`` when f can be read, ``write()`` when it can be written.

        f is a descriptor or an object with ``fileno()``, which the loop keeps until it
        is removed, and never closes.  Replaces what f had; all None removes it.
        ``can_read()`` is asked once an iteration, before waiting: while it says no, f
        is not watched for reading.

        Raises:
            RuntimeError: the loop is closed.
            ValueError: the descriptor is negative, or can_read comes without read.
            OSError: it is not open (EBADF), or is a wait object (EBUSY).
            TypeError: f is no descriptor, or a callback is not callable.
        """
        cdef int fd = descriptor_of(f)
        cdef object key = fd
        cdef FdHandler handler = None
        cdef FdHandler old
        if read is not None:
            check_callable(read, "read")
        if write is not None:
            check_callable(write, "write")
        if can_read is not None:
            check_callable(can_read, "can_read")
            if read is None:
                raise ValueError("can_read needs read")
        if read is not None or write is not None:
            handler = handler_new(self, f, read, write, can_read)
        with cython.critical_section(self.guard):
            self.check_open()            # after the last user code: f.fileno()
            if handler is None:
                old = self.remove_fd(fd, FD_HANDLER)
            else:
                old = self.put(key, handler)
                try:
                    fd_handler_set(self.ctx, fd, handler)
                except BaseException:
                    self.take_back(key, old)
                    raise
        if old is not None:
            old.detach()

    # In the guard's critical section; what they return is to be detached after it.  What needs
    # memory comes before the core's part, and taking it back needs none.

    cdef FdHandler remove_fd(self, int fd, int kind):
        cdef object key = fd
        cdef FdHandler old = self.handlers.get(key)
        cdef int rc = fd_table_set(context_fds(self.ctx), fd, kind, NULL, NULL, NULL, NULL, NULL,
                                   context_is_hosted(self.ctx))
        if rc < 0:
            check(rc, f"descriptor {fd}")
        if old is not None:
            del self.handlers[key]
            old.cell.kept = False
        return old

    cdef FdHandler put(self, object fd, FdHandler handler):
        cdef FdHandler old = self.handlers.get(fd)
        self.handlers[fd] = handler
        handler.cell.kept = True
        if old is not None:
            old.cell.kept = False
        return old

    cdef int take_back(self, object fd, FdHandler old) except -1:
        (<FdHandler> self.handlers[fd]).cell.kept = False
        if old is None:
            del self.handlers[fd]
        else:
            self.handlers[fd] = old
            old.cell.kept = True
        return 0

    def bh_new(self, callback):
        """A bottom half that calls ``callback()`` once it is scheduled.

        Raises:
            RuntimeError: the loop is closed.
            TypeError: it is not callable.
        """
        self.check_open()
        return bottom_half_new(self, callback)

    def timer_new(self, callback, clock=0):
        """A timer of that clock, unarmed, that calls ``callback()``.

        Raises:
            RuntimeError: the loop is closed.
            TypeError: it is not callable.
            ValueError: there is no such clock.
        """
        cdef int number = clock_number(clock)
        if self.closed:
            self.check_open()
        return timer_object_new(self, callback, number)

    def add_child_watch(self, pid, callback=None):
        """Reap the child when it has exited, and call ``callback(pid, returncode)``.

        returncode is as subprocess has it: the exit status, or minus the signal; None
        if another part of the program collected it.

        Raises:
            RuntimeError: the loop is closed.
            ValueError: pid is not positive, or too large, or is watched already.
            ChildProcessError: it is not a child of this process.
            OSError: there are no descriptors left, or no child processes on this system.
            TypeError: pid is no number, or callback is not callable.
        """
        cdef FdHandler watch
        cdef int number = integer(pid, "pid", 1, 0x7fffffff)
        if callback is not None:
            check_callable(callback, "callback")
        watch = handler_new(self, self.watches, callback, None, None)
        with cython.critical_section(self.guard):
            self.check_open()
            self.watches.add(watch)
            watch.cell.kept = True
            try:
                child_set(self.ctx, number, watch)
            except BaseException:
                watch.cell.kept = False
                self.watches.discard(watch)
                raise

    def add_signal_handler(self, sig, callback):
        """Call ``callback()`` from the loop when this process gets ``sig``.

        Traps that one signal, instead of what was there; no signal mask and no other
        handler is touched.  A second call replaces the first.  Of several loops the last
        has it, until it removes its handler.

        Raises:
            RuntimeError: the loop is closed.
            ValueError: there is no such signal, or it cannot be caught.
            TypeError: sig is no number, or callback is not callable.
        """
        cdef BottomHalf bh
        cdef int rc
        cdef int signo = integer(sig, "signal", 1, 0x7fffffff)
        check_callable(callback, "callback")
        self.check_open()
        bh = bottom_half_new(self, callback)
        with cython.critical_section(self.guard):
            self.check_open()
            bh_set_guard(bh.bh, BH_UNGUARDED)
            rc = signal_trap(signo, bh.bh)
            if rc == -ENOMEM:
                raise MemoryError
            if rc < 0:
                raise ValueError(f"signal {signo} cannot be caught")
            bh.trapped_signal = signo
            bh.link().kept = True
            old = self.traps.get(signo)
            self.traps[signo] = bh
        if old is not None:
            (<BottomHalf> old).delete()

    def remove_signal_handler(self, sig):
        """Give the signal back what it had before; was it trapped?

        Raises:
            RuntimeError: the loop is closed.
            ValueError: there is no such signal.
            TypeError: sig is no number.
        """
        cdef int signo = integer(sig, "signal", 1, 0x7fffffff)
        with cython.critical_section(self.guard):
            self.check_open()
            bh = self.traps.pop(signo, None)
        if bh is None:
            return False
        (<BottomHalf> bh).delete()
        return True

    # ---- what the header has beyond, for header.py

    def _add_polling_callback(self, func, opaque):
        cdef FdHandler handler
        check_callable(func, "func")
        handler = handler_new(self, None, None, None, lambda: func(opaque))
        with cython.critical_section(self.guard):
            self.check_open()
            self.polling.append((func, opaque, handler))
            handler.cell.kept = True
            try:
                polling_set(self.ctx, handler)
            except BaseException:
                handler.cell.kept = False
                self.polling.pop()
                raise

    def _remove_polling_callback(self, func, opaque):
        # What == runs, or another thread, may remove one that fits: then the next goes, which
        # may have been added since the list was read.
        cdef bint missed = True
        while missed:
            missed = False
            for entry in list(self.polling):
                if entry[0] == func and entry[1] is opaque:
                    if self.take_polling(entry):
                        (<FdHandler> entry[2]).detach()
                        return
                    missed = True

    cdef bint take_polling(self, tuple entry) except -1:
        cdef Py_ssize_t i
        with cython.critical_section(self.guard):
            if self.closed:
                return True              # with all the others; close() is about to drop them
            for i in range(len(self.polling)):
                if self.polling[i] is entry:
                    del self.polling[i]
                    polling_unset(self.ctx, entry[2])
                    return True
        return False

    def _add_wait_object(self, f, func):
        cdef int fd = descriptor_of(f)
        cdef object key = fd
        cdef FdHandler handler, old
        handler = handler_new(self, None, check_callable(func, "func"), None, None)
        with cython.critical_section(self.guard):
            self.check_open()
            old = self.put(key, handler)
            try:
                wait_object_set(self.ctx, fd, handler)
            except BaseException:
                self.take_back(key, old)
                raise
        if old is not None:          # of the other kind, its descriptor closed
            old.detach()

    def _remove_wait_object(self, f):
        cdef int fd = descriptor_of(f)
        cdef FdHandler handler
        with cython.critical_section(self.guard):
            self.check_open()
            handler = self.handlers.get(fd)
            if handler is None or not handler.is_wait_object:
                return
            self.remove_fd(fd, FD_WAIT_OBJECT)
        handler.detach()

    # ---- the end; in the guard's critical section

    cdef void forget(self) noexcept:
        # Of the main loop, whose context stays: what would come back to Python.
        cdef int fd
        cdef object item
        cdef BottomHalf bh
        cdef Timer timer
        for fd, item in self.handlers.items():
            fd_table_set(context_fds(self.ctx), fd,
                         FD_WAIT_OBJECT if (<FdHandler> item).is_wait_object else FD_HANDLER,
                         NULL, NULL, NULL, NULL, NULL, context_is_hosted(self.ctx))
        for item in self.polling:
            polling_unset(self.ctx, item[2])
        for bh in self.bottom_halves:
            bh_cancel(bh.bh)
        for timer in self.timers:
            timer_disarm(timer.ts)
