# Contexts of one's own, from C.

from libc.stdint cimport int64_t
from posix.unistd cimport _exit, close, fork

from qemu_mainloop.aio cimport (
    AioContext, aio_add_child_watch, aio_bh_new, aio_bh_schedule_oneshot, aio_context_fdmon_name,
    aio_context_fileno, aio_context_new, aio_context_ref, aio_context_set_fdmon,
    aio_context_set_poll_params, aio_context_unref, aio_notify, aio_poll, aio_set_fd_handler,
    aio_timer_new, aio_wait_bh_oneshot, qemu_get_aio_context, qemu_get_current_aio_context)
from qemu_mainloop.main_loop cimport (
    QEMUBH, main_loop_wait, qemu_add_child_watch, qemu_bh_delete, qemu_bh_schedule,
    qemu_bh_schedule_idle)
from qemu_mainloop.timer cimport (
    QEMU_CLOCK_REALTIME, QEMUTimer, SCALE_MS, timer_free, timer_mod)

cdef extern from "<poll.h>" nogil:
    struct pollfd:
        int fd
        short events
        short revents
    enum: POLLIN
    int poll(pollfd *fds, unsigned long n, int timeout)

cdef extern from "<sys/eventfd.h>" nogil:
    int eventfd(unsigned int count, int flags)

cdef extern from "<sys/wait.h>" nogil:
    enum: WNOHANG
    int waitpid(int pid, int *status, int options)

cdef AioContext *ctx = NULL
cdef AioContext *seen = NULL
cdef int runs = 0


cdef void begin() noexcept nogil:
    global ctx, seen, runs
    ctx = aio_context_new()
    seen = NULL
    runs = 0


cdef void count(void *opaque) noexcept nogil:
    global runs, seen
    runs += 1
    seen = qemu_get_current_aio_context()


def results_of_poll():
    """aio_poll() with nothing, a notification, an idle bottom half, one that is not."""
    cdef int nothing, notified, idle, now
    cdef QEMUBH *bh
    with nogil:
        begin()
        bh = aio_bh_new(ctx, count, NULL)
        nothing = aio_poll(ctx, False)
        aio_notify(ctx)
        notified = aio_poll(ctx, True)
        qemu_bh_schedule_idle(bh)
        idle = aio_poll(ctx, True)
        qemu_bh_schedule(bh)
        now = aio_poll(ctx, True)
        qemu_bh_delete(bh)
        aio_context_unref(ctx)
    return nothing, notified, idle, now, runs


def current_context():
    """Is it NULL outside; the context itself inside; and is the main loop's there?"""
    cdef bint outside, inside
    with nogil:
        begin()
        outside = qemu_get_current_aio_context() == NULL
        aio_bh_schedule_oneshot(ctx, count, NULL)
        aio_poll(ctx, True)
        inside = seen == ctx
        aio_context_unref(ctx)
    return outside, inside, qemu_get_aio_context() != NULL


def oneshot():
    """How often it ran after one iteration and after two; what NULL gives."""
    cdef int first, bad
    with nogil:
        begin()
        bad = aio_bh_schedule_oneshot(ctx, NULL, NULL)
        aio_bh_schedule_oneshot(ctx, count, NULL)
        aio_poll(ctx, False)
        first = runs
        aio_poll(ctx, False)
        aio_context_unref(ctx)
    return bad, first, runs


def oneshot_on_the_main_loop():
    """Scheduled there; what context its callback is in."""
    begin()
    with nogil:
        aio_bh_schedule_oneshot(qemu_get_aio_context(), count, NULL)
        main_loop_wait(False)
        aio_context_unref(ctx)
    return runs, seen == qemu_get_aio_context()


cdef void wait_for_oneself(void *opaque) noexcept nogil:
    (<int *> opaque)[0] = aio_wait_bh_oneshot(ctx, count, NULL)


def barrier_in_its_own_thread():
    cdef int result = 0
    with nogil:
        begin()
        aio_bh_schedule_oneshot(ctx, wait_for_oneself, &result)
        aio_poll(ctx, True)
        aio_context_unref(ctx)
    return result


cdef void poll_inside(void *opaque) noexcept nogil:
    aio_bh_schedule_oneshot(ctx, count, NULL)
    (<int *> opaque)[0] = aio_poll(ctx, True)


def nested_poll():
    """The results of the inner and the outer aio_poll(), and how often the callback ran."""
    cdef int inner = -1
    cdef int outer
    with nogil:
        begin()
        aio_bh_schedule_oneshot(ctx, poll_inside, &inner)
        outer = aio_poll(ctx, True)
        aio_context_unref(ctx)
    return inner, outer, runs


def two_references():
    with nogil:
        begin()
        aio_context_ref(ctx)
        aio_context_unref(ctx)
        aio_bh_schedule_oneshot(ctx, count, NULL)
        aio_poll(ctx, True)
        aio_context_unref(ctx)
        aio_context_unref(NULL)
    return runs


cdef int may_read(void *opaque) noexcept nogil:
    return (<int *> opaque)[0]


def fd_handler():
    """aio_poll() with can_read saying no, then yes, then after the removal."""
    cdef int gate = 0
    cdef int fd, shut, opened, removed
    with nogil:
        begin()
        fd = eventfd(1, 0)
        aio_set_fd_handler(ctx, fd, count, NULL, may_read, &gate)
        shut = aio_poll(ctx, False)
        gate = 1
        opened = aio_poll(ctx, True)
        aio_set_fd_handler(ctx, fd, NULL, NULL, NULL, NULL)
        removed = aio_poll(ctx, False)
        close(fd)
        aio_context_unref(ctx)
    return shut, opened, removed, runs


def timer():
    cdef QEMUTimer *ts
    with nogil:
        begin()
        ts = aio_timer_new(ctx, QEMU_CLOCK_REALTIME, SCALE_MS, count, NULL)
        timer_mod(ts, 0)
        aio_poll(ctx, True)
        timer_free(ts)
        aio_context_unref(ctx)
    return runs


def fdmon(bytes name):
    """(result, the name then) of choosing one; None is the best."""
    cdef const char *chosen = NULL
    if name is not None:
        chosen = name
    begin()
    result = aio_context_set_fdmon(ctx, chosen)
    now = aio_context_fdmon_name(ctx)
    aio_context_unref(ctx)
    return result, now


def poll_params(int64_t max_ns, int64_t grow, int64_t shrink):
    begin()
    result = aio_context_set_poll_params(ctx, max_ns, grow, shrink)
    aio_bh_schedule_oneshot(ctx, count, NULL)
    aio_poll(ctx, True)
    aio_context_unref(ctx)
    return result, runs


def hosted():
    """Is its descriptor readable once something is scheduled, and how often did that run?"""
    cdef pollfd p
    with nogil:
        begin()
        p.fd = aio_context_fileno(ctx)
        p.events = POLLIN
        aio_poll(ctx, False)
        aio_bh_schedule_oneshot(ctx, count, NULL)
        poll(&p, 1, -1)
        aio_poll(ctx, False)
        aio_context_unref(ctx)
    return p.revents == POLLIN, runs


# ---- children

cdef struct Child:
    int pid
    int status
    int calls


cdef void on_child(void *opaque, int pid, int status) noexcept nogil:
    cdef Child *child = <Child *> opaque
    child.pid = pid
    child.status = status
    child.calls += 1


def child_watch(int exit_status):
    """(first result, second, calls before any wait, calls, was it that child, its status)."""
    cdef Child child
    cdef int pid, first, second, early
    with nogil:
        begin()
        child.calls = 0
        pid = fork()
        if pid == 0:
            _exit(exit_status)
        first = aio_add_child_watch(ctx, pid, on_child, &child)
        second = aio_add_child_watch(ctx, pid, on_child, &child)
        early = child.calls
        while child.calls == 0:
            aio_poll(ctx, True)
        aio_context_unref(ctx)
    return first, second, early, child.calls, child.pid == pid, child.status >> 8


def bad_children():
    """No process number; a process that is not a child (this one)."""
    begin()
    result = (aio_add_child_watch(ctx, 0, on_child, NULL), qemu_add_child_watch(-1),
              aio_add_child_watch(ctx, 1, on_child, NULL), qemu_add_child_watch(1))
    aio_context_unref(ctx)
    return result


def main_loop_child_watch(wait):
    """A child that the main loop reaps: wait() until it is gone; what waitpid gives then."""
    pid = fork()
    if pid == 0:
        _exit(0)
    result = qemu_add_child_watch(pid), qemu_add_child_watch(pid)
    wait()
    return result, waitpid(pid, NULL, WNOHANG)
