# What the test cases of QEMU's own suite do with a context, for Python to drive: each bottom half,
# notifier and timer counts its calls in C, and poll() is aio_poll() with its progress.

import threading

from libc.stdint cimport int64_t, uint64_t
from posix.unistd cimport close, read, write

from qemu_mainloop.aio cimport (
    AioContext, aio_bh_new, aio_context_fileno, aio_context_new, aio_context_set_fdmon,
    aio_context_unref, aio_notify, aio_poll, aio_set_fd_handler, aio_timer_new)
from qemu_mainloop.main_loop cimport (
    QEMUBH, qemu_bh_cancel, qemu_bh_delete, qemu_bh_schedule, qemu_bh_schedule_idle)
from qemu_mainloop.timer cimport (
    QEMUClockType, QEMUTimer, qemu_clock_get_ns, timer_free, timer_mod_ns,
    timer_pending)

cdef extern from "<sys/eventfd.h>" nogil:
    int eventfd(unsigned int count, int flags)
    enum: EFD_NONBLOCK

cdef extern from "<poll.h>" nogil:
    struct pollfd:
        int fd
        short events
        short revents
    enum: POLLIN
    int poll_ "poll"(pollfd *fds, unsigned long n, int timeout)


cdef class Context:
    """A context; hosted: it is driven by its descriptor, as another event loop does it."""
    cdef AioContext *ctx
    cdef bint hosted

    def __init__(self, bytes fdmon, bint hosted=False):
        self.ctx = aio_context_new()
        if aio_context_set_fdmon(self.ctx, fdmon) < 0:
            raise OSError(fdmon)
        self.hosted = hosted
        if hosted and aio_context_fileno(self.ctx) < 0:
            raise OSError("fileno")

    def __enter__(self):
        return self

    def __exit__(self, *args):
        aio_context_unref(self.ctx)
        self.ctx = NULL

    def poll(self, bint blocking):
        """One iteration; True: something other than a notification or an idle one ran."""
        cdef pollfd p
        cdef int progress
        with nogil:
            if self.hosted:
                # The host calls an iteration only when it is told to.
                p.fd = aio_context_fileno(self.ctx)
                p.events = POLLIN
                if poll_(&p, 1, -1 if blocking else 0) > 0:
                    progress = aio_poll(self.ctx, False)
                else:
                    progress = 0
            else:
                progress = aio_poll(self.ctx, blocking)
        return progress > 0

    def drain(self):
        while self.poll(False):
            pass

    def notify(self):
        aio_notify(self.ctx)


cdef class BottomHalf:
    """Runs: again by itself until `again` runs; deletes itself in run number `delete_after`."""
    cdef QEMUBH *bh
    cdef readonly int runs
    cdef readonly object ran_in
    cdef int again
    cdef int delete_after

    def __init__(self, Context context, int again=0, int delete_after=0):
        self.bh = aio_bh_new(context.ctx, run_bottom_half, <void *> self)
        self.again = again
        self.delete_after = delete_after

    @property
    def exists(self):
        return self.bh != NULL

    def schedule(self):
        qemu_bh_schedule(self.bh)

    def schedule_idle(self):
        qemu_bh_schedule_idle(self.bh)

    def cancel(self):
        qemu_bh_cancel(self.bh)

    def delete(self):
        qemu_bh_delete(self.bh)
        self.bh = NULL


cdef void run_bottom_half(void *opaque) noexcept with gil:
    cdef BottomHalf self = <BottomHalf> opaque
    self.ran_in = threading.get_ident()
    self.runs += 1
    if self.runs < self.again or self.runs < self.delete_after:
        qemu_bh_schedule(self.bh)
    if self.runs == self.delete_after:
        qemu_bh_delete(self.bh)
        self.bh = NULL


cdef class Notifier:
    """An event: set() makes its handler run, which clears it and takes from `active`."""
    cdef Context context
    cdef int fd
    cdef readonly int runs
    cdef public int active
    cdef bint again

    def __init__(self, Context context, int active=0, bint again=False):
        self.context = context
        self.fd = eventfd(0, EFD_NONBLOCK)
        self.active = active
        self.again = again

    def add(self):
        aio_set_fd_handler(self.context.ctx, self.fd, run_notifier, NULL, NULL, <void *> self)

    def remove(self):
        aio_set_fd_handler(self.context.ctx, self.fd, NULL, NULL, NULL, NULL)

    def set(self):
        cdef uint64_t one = 1
        write(self.fd, &one, 8)

    def close(self):
        self.remove()
        close(self.fd)


cdef void run_notifier(void *opaque) noexcept with gil:
    cdef Notifier self = <Notifier> opaque
    cdef uint64_t number
    if read(self.fd, &number, 8) != 8:
        return
    self.runs += 1
    if self.active > 0:
        self.active -= 1
        if self.again and self.active > 0:
            self.set()


cdef class Timer:
    """Fires, and arms itself again `again` times with the same delay."""
    cdef QEMUTimer *timer
    cdef QEMUClockType clock
    cdef int64_t delay_ns
    cdef readonly int runs
    cdef readonly int64_t late_ns
    cdef int64_t expire_ns
    cdef int again

    def __init__(self, Context context, int clock, int64_t delay_ns, int again=0):
        self.clock = <QEMUClockType> clock
        self.timer = aio_timer_new(context.ctx, self.clock, 1, run_timer, <void *> self)
        self.delay_ns = delay_ns
        self.again = again

    def arm(self):
        self.expire_ns = qemu_clock_get_ns(self.clock) + self.delay_ns
        timer_mod_ns(self.timer, self.expire_ns)

    @property
    def pending(self):
        return timer_pending(self.timer)

    def free(self):
        timer_free(self.timer)
        self.timer = NULL


cdef void run_timer(void *opaque) noexcept with gil:
    cdef Timer self = <Timer> opaque
    self.late_ns = qemu_clock_get_ns(self.clock) - self.expire_ns
    self.runs += 1
    if self.runs <= self.again:
        self.arm()
