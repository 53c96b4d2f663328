# class MainLoop, and the process's main loop.

cimport cython
from cpython.ref cimport Py_INCREF, PyObject
from libc.errno cimport EBUSY, EINVAL
from libc.stdint cimport INT64_MAX, int64_t, uintptr_t


from qemu_mainloop._core.context cimport (
    EVENTS_UNSEEN, AioContext, ContextStats, Driver, context_claim, context_events,
    context_fdmon_name, context_fds, context_fileno, context_is_hosted, context_is_polled,
    context_new, context_ref, context_set_fdmon, context_set_poll_params, context_stats,
    context_unref, context_wakeup)
from qemu_mainloop._core.bh cimport bh_cancel
from qemu_mainloop._core.iteration cimport Outcome, iteration_run
from qemu_mainloop._core.dispatch cimport dispatch_attach, dispatch_end
from qemu_mainloop._core.fdmon cimport fdmon_at
from qemu_mainloop._core.fdtable cimport FD_HANDLER, FD_WAIT_OBJECT, fd_table_verify
from qemu_mainloop._core.iohandler cimport fd_table_set
from qemu_mainloop._core.lock cimport lock_release
from qemu_mainloop._core.mainloop cimport iothread_lock, main_context, main_loop_make
from qemu_mainloop._core.signals cimport signal_trap
from qemu_mainloop._core.timer cimport timer_disarm
from qemu_mainloop._core.wakeup cimport wakeup_notify
from qemu_mainloop._objects.bottom_half cimport BottomHalf, bottom_half_new
from qemu_mainloop._objects.callback cimport (
    NO_GIL, Frame, LoopCore, check, check_callable, descriptor_of, drop, frame_pop, frame_push,
    gil_counters, integer, look_for_signals, wait_ns)
from qemu_mainloop._objects.fd_handler cimport (
    FdHandler, child_set, fd_handler_set, handler_new, polling_set, polling_unset,
    wait_object_set)
from qemu_mainloop._objects.iothread_lock cimport IothreadLock
from qemu_mainloop._objects.timer cimport Timer, clock_number, timer_object_new
from qemu_mainloop._sys.atomic cimport (
    atomic_exchange_seq_int, atomic_load_i64, atomic_load_seq_int)
from qemu_mainloop._sys.clock cimport clock_monotonic_coarse_ns, clock_monotonic_ns
from qemu_mainloop._sys.errno cimport ENOTSUP


cdef void iterate_until_stopped(AioContext *ctx, Frame *frame, int *stopping,
                                int *rc) noexcept nogil:
    # Iterates until a stop, an exception or an error.
    cdef Driver *driver = &frame.driver
    cdef Outcome out
    while True:
        rc[0] = iteration_run(ctx, -1, driver, &out)
        # Also a loop that never sleeps looks for signals: with the GIL in hand that costs
        # nothing, without it the clock says when.
        if not driver.looks_for_signals:
            pass
        elif driver.d.holds == 1:
            look_for_signals()
        elif clock_monotonic_coarse_ns() - driver.asked_ns > TRUST_NS:
            dispatch_attach(&driver.d)
            look_for_signals()
            driver.asked_ns = clock_monotonic_coarse_ns()
        if rc[0] < 0 or frame.first != NULL or atomic_load_seq_int(stopping):
            return


cdef void drop_guard(void *guard) noexcept nogil:
    with gil:
        drop(<PyObject *> guard)


cdef enum:
    # In run(), signals are looked for so often while the loop is busy, which takes the
    # GIL; before a longer sleep, always.
    TRUST_NS = 50000000


@cython.no_gc_clear          # __dealloc__ needs the context; the sets break cycles
cdef class MainLoop(LoopCore):
    """An event loop with QEMU's semantics.

    ``MainLoop()`` is a loop of its own; ``main_loop()`` is the process's, which QEMU's
    C names work on.  ``fdmon`` names the kernel interface that waits ("epoll",
    "poll", …); None takes the best there is.

    A loop is driven by one thread at a time; registering, scheduling, ``notify()``
    and ``stop()`` may be called from any.

    Raises:
        ValueError: there is no fdmon of that name.
        OSError: it is not to be had here, or there are no descriptors left.
    """

    def __cinit__(self):
        self.guard = object()
        self.bottom_halves = []
        self.timers = []
        self.watches = set()
        self.handlers = {}
        self.traps = {}
        self.polling = []
        self.closed = True

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
        if self.ctx != NULL and not self.is_main:
            context_unref(self.ctx)

    def __repr__(self):
        cdef str kind = "main loop" if self.is_main else "MainLoop"
        cdef str state
        with cython.critical_section(self.guard):
            state = "closed" if self.closed else f"fdmon={self.fdmon_name()!r}"
        return f"<{kind} at {<size_t> <void *> self:#x} {state}>"

    # ---- driving

    # close() in another thread must not free the context that this one is about to drive.
    cdef AioContext *pin(self) except NULL:
        with cython.critical_section(self.guard):
            self.check_open()
            context_ref(self.ctx)
            return self.ctx

    cdef uintptr_t events(self) noexcept:
        with cython.critical_section(self.guard):
            return 0 if self.closed else context_events(self.ctx)

    # seen_events: what the driver's begins with.
    cdef int iterate(self, int64_t timeout_ns, uintptr_t seen_events) except -1:
        cdef AioContext *ctx
        cdef Frame frame
        cdef Outcome out
        cdef int rc
        # The last user code (a truth value, a predicate) is behind; and with the GIL nobody
        # can come between this look and the iteration's claim.
        if NO_GIL:
            ctx = self.pin()
        else:
            self.check_open()
            ctx = self.ctx
        frame_push(&frame)
        frame.driver.seen_events = seen_events
        rc = iteration_run(ctx, timeout_ns, &frame.driver, &out)
        dispatch_end(&frame.driver.d)
        if NO_GIL:
            context_unref(ctx)
        frame_pop(&frame)
        self.check_waited(rc)
        return out.descriptors

    cdef int check_waited(self, int rc) except -1:
        if rc == -EBUSY:
            self.check_open()            # close() keeps the claim
            raise RuntimeError(f"{self!r} is polled by another thread")
        check(rc, "waiting")
        return 0

    def wait(self, nonblocking=False):
        """Run one iteration; how many descriptors had a callback due.

        Without ``nonblocking`` it sleeps until something comes.  Notifications, bottom
        halves, timers, signals and children count 0.

        Raises:
            RuntimeError: the loop is closed, or another thread polls it.
            OSError: waiting is impossible.
            Exception: the first one that a callback raised; KeyboardInterrupt and
                SystemExit win over others, and the rest goes to sys.unraisablehook.
        """
        return self.iterate(0 if nonblocking else -1, 0)

    cdef bint take_stop(self) noexcept:
        return atomic_load_seq_int(&self.stopping) and atomic_exchange_seq_int(&self.stopping, 0)

    def run(self):
        """Run iterations until ``stop()``; one that came before ends it after the first.

        Raises:
            RuntimeError: the loop is closed, or another thread polls it.
            Exception: what a callback raised, after its iteration.
        """
        cdef AioContext *ctx
        cdef Frame frame
        cdef int rc = 0
        # Between iterations the GIL stays as it is, held or not: it is taken when a Python
        # callback is due, and let go before a sleep.
        ctx = self.pin()
        frame_push(&frame)
        frame.driver.trust_ns = TRUST_NS
        frame.driver.seen_events = context_events(ctx)
        if atomic_load_seq_int(&self.stopping):
            frame.driver.seen_events = EVENTS_UNSEEN         # the first one does not sleep
        iterate_until_stopped(ctx, &frame, &self.stopping, &rc)
        dispatch_end(&frame.driver.d)
        context_unref(ctx)
        # Also when an exception ends it: the stop of its last iteration was for this run.
        # One that finds another thread's in progress leaves it its stop.
        if rc != -EBUSY:
            self.take_stop()
        frame_pop(&frame)
        self.check_waited(rc)

    def stop(self):
        """End the ``run()`` in progress after its iteration, or else the next one.

        Context: any thread, callbacks.  May be called again.
        """
        with cython.critical_section(self.guard):
            if not self.closed:
                atomic_exchange_seq_int(&self.stopping, 1)
                wakeup_notify(context_wakeup(self.ctx))

    def run_until(self, predicate, timeout=None):
        """Run iterations until ``predicate()`` is true or ``timeout`` seconds have passed.

        The predicate is asked first and after each iteration; the result is its last
        answer.

        Raises:
            RuntimeError: the loop is closed, or another thread polls it.
            Exception: what a callback or the predicate raised.
        """
        cdef int64_t timeout_ns = wait_ns(timeout)
        cdef int64_t end_ns = -1
        cdef int64_t left_ns = -1
        cdef bint was_looked = False
        cdef uintptr_t seen_events
        self.check_open()
        check_callable(predicate, "predicate")
        if timeout_ns >= 0:
            end_ns = clock_monotonic_ns() + timeout_ns
        while True:
            seen_events = self.events()
            if predicate():
                return True
            if end_ns >= 0:
                left_ns = end_ns - clock_monotonic_ns()
                if left_ns <= 0:
                    # Also a timeout of 0 looks once.
                    if was_looked:
                        return False
                    left_ns = 0
            self.iterate(left_ns, seen_events)
            was_looked = True

    def notify(self):
        """Make the current or the next blocking wait return, once.

        Context: any thread.

        Raises:
            RuntimeError: the loop is closed.
        """
        with cython.critical_section(self.guard):
            self.check_open()
            wakeup_notify(context_wakeup(self.ctx))

    # ---- registering

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
        handler is touched.  A second call replaces the first.

        Raises:
            RuntimeError: the loop is closed.
            ValueError: there is no such signal, or it cannot be caught.
            TypeError: sig is no number, or callback is not callable.
        """
        cdef BottomHalf bh
        cdef int signo = integer(sig, "signal", 1, 0x7fffffff)
        check_callable(callback, "callback")
        self.check_open()
        bh = bottom_half_new(self, callback)
        with cython.critical_section(self.guard):
            self.check_open()
            if signal_trap(signo, bh.bh) < 0:
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
        self.check_open()
        bh = self.traps.pop(signo, None)
        if bh is None:
            return False
        (<BottomHalf> bh).delete()
        return True

    # ---- what the header has beyond, for header.py

    def _use_fdmon(self, fdmon):
        self.check_open()
        self.name_fdmon(fdmon)

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
        """The name of the kernel interface that waits."""
        with cython.critical_section(self.guard):
            self.check_open()
            return self.fdmon_name()

    cdef object fdmon_name(self):
        cdef const char *name = context_fdmon_name(self.ctx)
        return name.decode() if name != NULL else None

    @property
    def poll_max_ns(self):
        """For how long to poll busily before a sleep; 0: not at all."""
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
        """What there is in the loop, and what it has done, as a dict."""
        cdef ContextStats stats
        cdef int dead
        with cython.critical_section(self.guard):
            self.check_open()
            fdmon = self.fdmon_name()
            dead = fd_table_verify(context_fds(self.ctx))
            context_stats(self.ctx, &stats)
        return {
            "fdmon": fdmon,
            "handlers": stats.handlers,
            "closed_descriptors": dead,
            "bottom_halves": stats.bottom_halves,
            "timers": stats.timers,
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
            RuntimeError: the loop is in an iteration, or an IOThread runs it.
        """
        cdef list traps, handlers
        with cython.critical_section(self.guard):
            if self.closed:
                return
            # Memory is asked for before anything is done.
            traps = list(self.traps.values())
            handlers = list(self.handlers.items())
            self.check_closable()
            for bh in traps:
                (<BottomHalf> bh).give_up()
            if self.is_main:
                self.forget(handlers)
            for _fd, item in handlers:
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
        if context_is_polled(self.ctx):
            raise RuntimeError(f"{self!r} cannot be closed inside its own wait()")
        # The claim is for good: who is about to drive it finds it taken.
        if not self.is_main and not context_claim(self.ctx):
            raise RuntimeError(f"{self!r} is polled by another thread")
        return 0

    cdef void forget(self, list handlers) noexcept:
        # Of the main loop, whose context stays: what would come back to Python.
        cdef int fd
        cdef object item
        cdef BottomHalf bh
        cdef Timer timer
        for fd, item in handlers:
            fd_table_set(context_fds(self.ctx), fd,
                         FD_WAIT_OBJECT if (<FdHandler> item).is_wait_object else FD_HANDLER,
                         NULL, NULL, NULL, NULL, NULL, context_is_hosted(self.ctx))
        for item in self.polling:
            polling_unset(self.ctx, item[2])
        for bh in self.bottom_halves:
            bh_cancel(bh.bh)
            bh.link().kept = False
        for timer in self.timers:
            timer_disarm(timer.ts)
            timer.link().kept = False

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
