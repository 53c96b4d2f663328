# IOThreads with C callbacks, and the barrier before freeing what they use.

from libc.errno cimport errno
from posix.unistd cimport close

from qemu_mainloop.aio cimport (
    AioContext, IOThread, aio_bh_schedule_oneshot, aio_set_fd_handler, aio_wait_bh_oneshot,
    iothread_create, iothread_destroy, iothread_get_aio_context, iothread_stop,
    qemu_get_current_aio_context)
from qemu_mainloop.main_loop cimport qemu_mutex_iothread_locked

cdef extern from "<pthread.h>" nogil:
    ctypedef unsigned long pthread_t
    pthread_t pthread_self()

cdef extern from "Python.h":
    int PyGILState_Check() noexcept nogil

cdef extern from "<sys/eventfd.h>" nogil:
    int eventfd(unsigned int count, int flags)

cdef struct Look:
    int calls
    int gil
    int locked
    pthread_t thread
    AioContext *ctx
    int result
    int error
    IOThread *t


cdef void look(void *opaque) noexcept nogil:
    cdef Look *at = <Look *> opaque
    at.calls += 1
    at.gil = PyGILState_Check()
    at.locked = qemu_mutex_iothread_locked()
    at.thread = pthread_self()
    at.ctx = qemu_get_current_aio_context()


def callback_in_its_thread():
    """A callback there: (result, calls, other thread, its context, GIL, iothread lock)."""
    cdef Look at
    cdef IOThread *t
    cdef AioContext *ctx
    cdef int result
    at.calls = 0
    with nogil:
        t = iothread_create("foreign")
        ctx = iothread_get_aio_context(t)
        result = aio_wait_bh_oneshot(ctx, look, &at)
        iothread_destroy(t)
    return (result, at.calls, at.thread != pthread_self(), at.ctx == ctx, at.gil, at.locked)


def stopped_twice():
    cdef int first, second
    with nogil:
        t = iothread_create(NULL)
        first = iothread_stop(t)
        second = iothread_stop(t)
        iothread_destroy(t)
        iothread_destroy(NULL)
    return first, second


cdef void end_oneself(void *opaque) noexcept nogil:
    cdef Look *at = <Look *> opaque
    at.result = iothread_stop(at.t)
    (&errno)[0] = 0
    iothread_destroy(at.t)
    at.error = errno


def ended_from_its_own_thread():
    """(what stop gives, what errno is after destroy, can it still be used)."""
    cdef Look at
    at.calls = 0
    with nogil:
        at.t = iothread_create("foreign")
        aio_wait_bh_oneshot(iothread_get_aio_context(at.t), end_oneself, &at)
        aio_wait_bh_oneshot(iothread_get_aio_context(at.t), look, &at)
        iothread_destroy(at.t)
    return at.result, at.error, at.calls


cdef struct Device:
    bint freed
    int calls
    int late                     # calls after it was freed


cdef void on_ready(void *opaque) noexcept nogil:
    cdef Device *d = <Device *> opaque
    d.calls += 1
    d.late += d.freed


def removed_then_barrier(int times):
    """A busy handler removed from another thread: (did it ever run, calls after the barrier)."""
    cdef Device d
    cdef IOThread *t
    cdef AioContext *ctx
    cdef int fd, calls = 0, late = 0
    with nogil:
        t = iothread_create("foreign")
        ctx = iothread_get_aio_context(t)
        fd = eventfd(1, 0)
        for _i in range(times):
            d.freed = d.calls = d.late = 0
            aio_set_fd_handler(ctx, fd, on_ready, on_ready, NULL, &d)
            aio_wait_bh_oneshot(ctx, NULL, NULL)
            aio_set_fd_handler(ctx, fd, NULL, NULL, NULL, NULL)
            aio_wait_bh_oneshot(ctx, NULL, NULL)
            d.freed = True
            aio_wait_bh_oneshot(ctx, NULL, NULL)
            calls += d.calls
            late += d.late
        iothread_destroy(t)
        close(fd)
    return calls > 0, late


cdef void count(void *opaque) noexcept nogil:
    (<int *> opaque)[0] += 1


def oneshots_run_before_the_barrier(int n):
    """Scheduled from here in order, so all of them ran when the barrier did."""
    cdef int calls = 0
    cdef int before
    with nogil:
        t = iothread_create("foreign")
        for _i in range(n):
            aio_bh_schedule_oneshot(iothread_get_aio_context(t), count, &calls)
        aio_wait_bh_oneshot(iothread_get_aio_context(t), NULL, NULL)
        before = calls
        iothread_destroy(t)
    return before


def barrier_with_the_gil_held():
    """The barrier lets the GIL go: a Python callback there can run.  What it gives."""
    cdef Look at
    at.calls = 0
    cdef IOThread *t = iothread_create("foreign")
    result = aio_wait_bh_oneshot(iothread_get_aio_context(t), ask_for_the_gil, &at)
    iothread_destroy(t)
    return result, at.gil


cdef void ask_for_the_gil(void *opaque) noexcept with gil:
    (<Look *> opaque).gil = PyGILState_Check()
