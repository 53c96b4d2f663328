# Driving a loop: a base of MainLoop.

cimport cython
from libc.errno cimport EBUSY, ELOOP
from libc.stdint cimport int64_t, uintptr_t

from qemu_mainloop._core.context cimport (
    EVENTS_UNSEEN, AioContext, Driver, context_events, context_ref, context_unref,
    context_wakeup)
from qemu_mainloop._core.dispatch cimport dispatch_attach, dispatch_end
from qemu_mainloop._core.iteration cimport (
    Outcome, iteration_give_up, iteration_keep, iteration_run)
from qemu_mainloop._core.wakeup cimport wakeup_notify
from qemu_mainloop._objects.callback cimport (
    NO_GIL, Frame, check, check_callable, frame_pop, frame_push, look_for_signals, wait_ns)
from qemu_mainloop._objects.registrations cimport Registrations
from qemu_mainloop._sys.atomic cimport atomic_exchange_seq_int, atomic_load_seq_int
from qemu_mainloop._sys.clock cimport clock_monotonic_coarse_ns, clock_monotonic_ns


cdef enum:
    # In run(), signals are looked for so often while the loop is busy, which takes the
    # GIL; before a longer sleep, always.
    TRUST_NS = 50000000


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


@cython.no_gc_clear          # as MainLoop
cdef class Driven(Registrations):
    """A loop that can be driven."""

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
        if rc == -ELOOP:
            raise RecursionError(f"{self!r} is waited for in too many callbacks at once")
        check(rc, "waiting")
        return 0

    def wait(self, nonblocking=False):
        """Run one iteration; how many descriptors had a callback due.

        Without ``nonblocking`` it sleeps until something comes.  Notifications, bottom
        halves, timers, signals and children count 0.

        Raises:
            RuntimeError: the loop is closed, or another thread polls it.
            RecursionError: 1000 iterations of this thread are in progress already.
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
            OSError: waiting is impossible.
            Exception: what a callback raised, after its iteration.
        """
        cdef AioContext *ctx
        cdef Frame frame
        cdef int rc = -EBUSY
        # Between iterations the GIL stays as it is, held or not: it is taken when a Python
        # callback is due, and let go before a sleep.
        ctx = self.pin()
        frame_push(&frame)
        frame.driver.trust_ns = TRUST_NS
        frame.driver.seen_events = context_events(ctx)
        if atomic_load_seq_int(&self.stopping):
            frame.driver.seen_events = EVENTS_UNSEEN         # the first one does not sleep
        if iteration_keep(ctx):
            iterate_until_stopped(ctx, &frame, &self.stopping, &rc)
            iteration_give_up(ctx)
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
            OSError: waiting is impossible.
            ValueError: timeout is not a number (NaN).
            TypeError: timeout is no number, or predicate is not callable.
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
