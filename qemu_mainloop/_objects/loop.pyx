# class MainLoop, and the process's main loop.

cimport cython
from cpython.ref cimport Py_INCREF, PyObject
from libc.errno cimport EBUSY, EINVAL
from libc.stdint cimport INT64_MAX, int64_t

from qemu_mainloop._core.context cimport (
    AioContext, ContextStats, context_claim, context_fdmon_name, context_fds, context_fileno,
    context_is_polled, context_is_polled_elsewhere, context_new, context_ref, context_set_fdmon,
    context_set_poll_params, context_stats, context_unref)
from qemu_mainloop._core.fdmon cimport fdmon_at
from qemu_mainloop._core.fdtable cimport fd_table_verify
from qemu_mainloop._core.lock cimport lock_release
from qemu_mainloop._core.mainloop cimport iothread_lock, main_context, main_loop_make
from qemu_mainloop._objects.bottom_half cimport BottomHalf
from qemu_mainloop._objects.callback cimport check, drop, gil_counters, integer
from qemu_mainloop._objects.driving cimport Driven
from qemu_mainloop._objects.fd_handler cimport FdHandler
from qemu_mainloop._objects.iothread_lock cimport IothreadLock
from qemu_mainloop._objects.timer cimport Timer, spare_timers_drop
from qemu_mainloop._sys.atomic cimport atomic_load_i64
from qemu_mainloop._sys.errno cimport ENOTSUP


cdef void drop_guard(void *guard) noexcept nogil:
    with gil:
        drop(<PyObject *> guard)


@cython.no_gc_clear          # __dealloc__ needs the context; the sets break cycles
cdef class MainLoop(Driven):
    """An event loop with QEMU's semantics.

    ``MainLoop()`` is a loop of its own; ``main_loop()`` is the process's, which QEMU's
    C names work on.  ``fdmon`` names the kernel interface that waits ("epoll",
    "poll", …); None takes the best there is.

    A loop is driven by one thread at a time; registering, scheduling, ``notify()``
    and ``stop()`` may be called from any.

    Raises:
        ValueError: there is no fdmon of that name.
        OSError: it is not to be had here, or there are no descriptors left.
        TypeError: fdmon is neither a str nor None.
    """

    def __init__(self, fdmon=None):
        cdef AioContext *ctx = NULL
        cdef bint was_made
        with cython.critical_section(self.guard):
            was_made = self.was_made
            self.was_made = True
        if was_made:
            raise RuntimeError(f"{self!r} is initialised already")
        check(context_new(&ctx, NULL), "new loop")
        with cython.critical_section(self.guard):
            self.fill(ctx)
        if fdmon is not None:
            self.name_fdmon(fdmon)

    cdef int fill(self, AioContext *ctx) except -1:
        # The guard is the context's, as long as that lives: so links need not own it.
        if ctx.keepsake != NULL:
            self.guard = <object> <PyObject *> ctx.keepsake
        else:
            Py_INCREF(self.guard)
            ctx.keepsake = <void *> self.guard
            ctx.drop_keepsake = drop_guard
        self.ctx = ctx
        self.was_made = True
        self.closed = False
        return 0

    cdef int name_fdmon(self, object fdmon) except -1:
        cdef bytes name
        cdef int rc
        if not isinstance(fdmon, str):
            raise TypeError(f"fdmon is a str or None, not {type(fdmon).__name__}")
        name = fdmon.encode("utf-8", "replace")
        with cython.critical_section(self.guard):
            self.check_open()
            rc = context_set_fdmon(self.ctx, name) if b"\0" not in name else -EINVAL
        if rc == -EINVAL:
            raise ValueError(f"unknown fdmon {fdmon!r}; there are {', '.join(fdmons())}")
        check(rc, f"fdmon {fdmon!r}")
        return 0

    def __dealloc__(self):
        # Trapped signals went with their bottom halves, which go first.
        if self.ctx != NULL:
            spare_timers_drop(self)
            if not self.is_main:
                context_unref(self.ctx)

    def __repr__(self):
        cdef str kind = "main loop" if self.is_main else "MainLoop"
        cdef str state
        with cython.critical_section(self.guard):
            state = "closed" if self.closed else f"fdmon={self.fdmon_name()!r}"
        return f"<{kind} at {<size_t> <void *> self:#x} {state}>"

    # ---- what the header has beyond, for header.py

    def _use_fdmon(self, fdmon):
        self.check_open()
        self.name_fdmon(fdmon)

    # ---- properties

    @property
    def lock(self):
        """The iothread lock: held through every callback of the main loop.

        Raises:
            AttributeError: this is not the main loop.
        """
        if not self.is_main:
            raise AttributeError("the iothread lock belongs to the main loop")
        return self.iothread_lock

    def fileno(self):
        """A descriptor that polls readable when the loop wants an iteration.

        For another loop that is to host this one: watch it, and call ``wait(True)``.
        The loop's own, not to be closed.

        Raises:
            RuntimeError: the loop is closed, or another thread polls it.
            NotImplementedError: no kernel object can do it here.
            OSError: there are no descriptors left.
        """
        cdef int fd
        with cython.critical_section(self.guard):
            self.check_open()
            fd = context_fileno(self.ctx)
        if fd == -ENOTSUP:
            raise NotImplementedError("this platform has no descriptor for a loop")
        if fd == -EBUSY:
            raise RuntimeError(f"{self!r} is polled by another thread")
        return check(fd, "fileno")

    @property
    def fdmon(self):
        """The name of the kernel interface that waits.

        Raises:
            RuntimeError: the loop is closed.
        """
        with cython.critical_section(self.guard):
            self.check_open()
            return self.fdmon_name()

    cdef object fdmon_name(self):
        cdef const char *name = context_fdmon_name(self.ctx)
        return name.decode() if name != NULL else None

    @property
    def poll_max_ns(self):
        """For how long to poll busily before a sleep; 0: not at all.

        Raises, when it is set:
            RuntimeError: the loop is closed.
            ValueError: it is negative, or does not fit 64 bits.
            TypeError: it is no integer.
        """
        return self.busy_max_ns

    @poll_max_ns.setter
    def poll_max_ns(self, ns):
        cdef int64_t number = integer(ns, "poll_max_ns", 0, INT64_MAX)
        with cython.critical_section(self.guard):
            self.check_open()
            check(context_set_poll_params(self.ctx, number, 0, 0))
            self.busy_max_ns = number

    @property
    def closed(self):
        """Is it closed?"""
        return self.closed

    def info(self):
        """What there is in the loop, and what it has done, as a dict.

        Raises:
            RuntimeError: the loop is closed.
        """
        cdef ContextStats stats
        cdef int dead, spares
        with cython.critical_section(self.guard):
            self.check_open()
            fdmon = self.fdmon_name()
            dead = fd_table_verify(context_fds(self.ctx))
            context_stats(self.ctx, &stats)
            spares = self.spare_count
        return {
            "fdmon": fdmon,
            "handlers": stats.handlers,
            "closed_descriptors": dead,
            "bottom_halves": stats.bottom_halves,
            "timers": stats.timers - spares,
            "pending_timers": stats.pending_timers,
            "child_watches": stats.child_watches,
            "polling_callbacks": stats.polling_callbacks,
            "iterations": stats.iterations,
            "sleeps": stats.sleeps,
            "rebuilds": stats.rebuilds,
            "hosted": bool(stats.hosted),
            "poll_ns": stats.poll_ns,
            "gil_taken": atomic_load_i64(&gil_counters.taken),
            "python_callbacks": atomic_load_i64(&gil_counters.callbacks),
        }

    # ---- the end

    def close(self):
        """Release everything; a second call does nothing.

        What is registered is forgotten without being called.  The main loop's object
        forgets what Python registered; the loop itself, which C code may use, lives
        as long as the process.

        Raises:
            RuntimeError: the loop is in an iteration, in this thread or another, or an
                IOThread runs it.
        """
        with cython.critical_section(self.guard):
            if self.closed:
                return
            self.check_closable()
            # No memory is asked for until it is closed: a collection may run anything, this
            # function too.
            for bh in self.traps.values():
                (<BottomHalf> bh).give_up()
            spare_timers_drop(self)
            if self.is_main:
                self.forget()
            # Also of a context that goes with its loop: an IOThread may have it still, and
            # clock_step() runs the timers of any there is.
            for item in self.bottom_halves:
                (<BottomHalf> item).link().kept = False
            for item in self.timers:
                (<Timer> item).link().kept = False
            for item in self.handlers.values():
                (<FdHandler> item).cell.kept = False
            for item in self.watches:
                (<FdHandler> item).cell.kept = False
            self.closed = True
            if not self.is_main:
                context_unref(self.ctx)
                self.ctx = NULL
        # Nothing is registered any more.  Dropping what was may run anything.
        self.traps.clear()
        self.handlers.clear()
        self.polling.clear()
        self.bottom_halves.clear()
        self.timers.clear()
        self.watches.clear()
        forget_main_loop(self)

    # In the guard's critical section, as forget().
    cdef int check_closable(self) except -1:
        if self.has_thread:
            raise RuntimeError(f"{self!r} is run by an IOThread, which is to be stopped first")
        if context_is_polled_elsewhere(self.ctx):
            raise RuntimeError(f"{self!r} is polled by another thread")
        if context_is_polled(self.ctx):
            raise RuntimeError(f"{self!r} cannot be closed inside its own wait()")
        # The claim is for good: who is about to drive it finds it taken.
        if not self.is_main and not context_claim(self.ctx):
            raise RuntimeError(f"{self!r} is polled by another thread")
        return 0

    def __enter__(self):
        self.check_open()
        return self

    def __exit__(self, *exc):
        self.close()


cdef MainLoop loop_of_context(AioContext *ctx):
    cdef MainLoop self = MainLoop.__new__(MainLoop)
    context_ref(ctx)
    self.fill(ctx)
    return self


cdef MainLoop the_main_loop = None
cdef object the_main_loops_guard = object()      # guards the variable


cdef void forget_main_loop(MainLoop loop) noexcept:
    global the_main_loop
    with cython.critical_section(the_main_loops_guard):
        if loop is the_main_loop:
            the_main_loop = None


cdef MainLoop main_loop_or(MainLoop fresh):
    global the_main_loop
    with cython.critical_section(the_main_loops_guard):
        if the_main_loop is None:
            the_main_loop = fresh
        return the_main_loop


def main_loop():
    """The process's main loop, made by the first call; always the same object.

    QEMU's C names (``qemu_set_fd_handler`` and so on) work on the same loop.  The
    iothread lock is held only inside ``wait()`` and ``with loop.lock``; no signal
    mask is changed.

    Raises:
        OSError: there are no descriptors left.
    """
    cdef bint made
    cdef MainLoop loop = main_loop_or(None)
    if loop is not None:
        return loop
    check(main_loop_make(&made), "main loop")
    if made:
        lock_release(&iothread_lock)
    loop = MainLoop.__new__(MainLoop)
    loop.is_main = True
    loop.iothread_lock = IothreadLock()
    with cython.critical_section(the_main_loops_guard):
        loop.fill(main_context)
    # Another thread, or a finaliser that ran meanwhile, may have made it.
    return main_loop_or(loop)


def fdmons():
    """The names of the fdmons of this build, best first."""
    cdef int i = 0
    cdef list names = []
    while fdmon_at(i) != NULL:
        names.append((<bytes> fdmon_at(i).name).decode())
        i += 1
    return tuple(names)
