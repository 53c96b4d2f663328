# Functions that wait, called by who has the GIL and by who has not: what they wait for needs it.

from qemu_mainloop.aio cimport (
    AioContext, IOThread, aio_bh_new, aio_bh_schedule_oneshot, aio_context_new,
    aio_context_unref, aio_notify, aio_poll, aio_timer_new, aio_wait_bh_oneshot,
    iothread_create, iothread_destroy, iothread_get_aio_context, iothread_stop)
from qemu_mainloop.main_loop cimport (
    QEMUBH, main_loop_wait, qemu_bh_delete, qemu_bh_new, qemu_bh_schedule,
    qemu_mutex_iothread_locked, qemu_mutex_lock_iothread, qemu_mutex_unlock_iothread)
from qemu_mainloop.timer cimport (
    QEMU_CLOCK_HOST, SCALE_NS, QEMUTimer, qemu_clock_enable, qemu_clock_step, timer_free,
    timer_mod_ns)

cdef extern from "<pthread.h>" nogil:
    ctypedef unsigned long pthread_t
    int pthread_create(pthread_t *t, void *attr, void *(*run)(void *) noexcept nogil, void *arg)
    int pthread_join(pthread_t t, void **result)

cdef extern from "Python.h":
    int PyGILState_Check() noexcept nogil

cdef extern from *:
    """
    static void put(int *to, int n) { __atomic_store_n(to, n, __ATOMIC_SEQ_CST); }
    static int get(int *from) { return __atomic_load_n(from, __ATOMIC_SEQ_CST); }
    """
    void put(int *to, int n) nogil
    int get(int *place) nogil

cdef enum Call:
    MAIN_LOOP_WAIT, AIO_POLL, LOCK, STOP, BARRIER, CLOCK_ENABLE, CLOCK_STEP, DESTROY

NAMES = ["main_loop_wait", "aio_poll", "qemu_mutex_lock_iothread", "iothread_stop",
         "aio_wait_bh_oneshot", "qemu_clock_enable", "qemu_clock_step", "iothread_destroy"]

cdef int entered = 0
cdef int held_inside, locked_inside      # the GIL and the iothread lock, after the call
cdef AioContext *own = NULL
cdef IOThread *thread = NULL
cdef QEMUTimer *timer = NULL
cdef object job = None


def has_entered():
    """Is the call that waits on its way?"""
    return bool(get(&entered))


def notify():
    aio_notify(own)


cdef void run_job(void *opaque) noexcept with gil:
    job()


def begin(job_of_thread):
    """A context of one's own, and an IOThread that runs the job from a timer of the host clock."""
    global own, thread, timer, job
    job = job_of_thread
    put(&entered, 0)
    own = aio_context_new()
    thread = iothread_create("job")
    timer = aio_timer_new(iothread_get_aio_context(thread), QEMU_CLOCK_HOST, SCALE_NS, run_job,
                          NULL)
    timer_mod_ns(timer, 0)


def end():
    global own, thread
    with nogil:
        if thread != NULL:
            iothread_stop(thread)
            timer_free(timer)
            iothread_destroy(thread)
        aio_context_unref(own)
    own = NULL
    thread = NULL


cdef void nothing(void *opaque) noexcept nogil:
    pass


cdef void python_too(void *opaque) noexcept with gil:
    assert PyGILState_Check()


cdef void call(Call which) noexcept nogil:
    global thread, held_inside, locked_inside
    put(&entered, 1)
    if which == MAIN_LOOP_WAIT:
        main_loop_wait(False)
    elif which == AIO_POLL:
        aio_poll(own, True)
    elif which == LOCK:
        qemu_mutex_lock_iothread()
        qemu_mutex_unlock_iothread()
    elif which == STOP:
        iothread_stop(thread)
    elif which == BARRIER:
        aio_wait_bh_oneshot(iothread_get_aio_context(thread), python_too, NULL)
    elif which == CLOCK_ENABLE:
        qemu_clock_enable(QEMU_CLOCK_HOST, False)
        qemu_clock_enable(QEMU_CLOCK_HOST, True)
    elif which == CLOCK_STEP:
        qemu_clock_step(0)
    else:
        timer_free(timer)
        iothread_destroy(thread)
        thread = NULL
    held_inside = PyGILState_Check()
    locked_inside = qemu_mutex_iothread_locked()


cdef void call_with_gil(void *opaque) noexcept with gil:
    call((<Call *> opaque)[0])


cdef void *call_in_thread(void *arg) noexcept nogil:
    call((<Call *> arg)[0])
    return NULL


def with_the_gil(Call which):
    """From code marked nogil that happens to have the GIL; (GIL, lock) afterwards."""
    call(which)
    return held_inside, locked_inside


def in_a_callback_with_gil(Call which):
    """From a callback marked "with gil" of a context of one's own."""
    cdef AioContext *ctx = aio_context_new()
    cdef QEMUBH *bh = aio_bh_new(ctx, call_with_gil, &which)
    with nogil:
        qemu_bh_schedule(bh)
        aio_poll(ctx, False)
        qemu_bh_delete(bh)
        aio_context_unref(ctx)
    return held_inside, locked_inside


def in_a_callback_of_the_main_loop(Call which):
    """The same on the main loop: with the iothread lock, too."""
    cdef QEMUBH *bh = qemu_bh_new(call_with_gil, &which)
    with nogil:
        qemu_bh_schedule(bh)
        main_loop_wait(True)
        qemu_bh_delete(bh)
    return held_inside, locked_inside


def in_an_iothread_with_gil(Call which):
    """The same in the thread of another IOThread."""
    cdef IOThread *t
    with nogil:
        t = iothread_create("caller")
        aio_bh_schedule_oneshot(iothread_get_aio_context(t), call_with_gil, &which)
        aio_wait_bh_oneshot(iothread_get_aio_context(t), nothing, NULL)
        iothread_destroy(t)
    return held_inside, locked_inside


def in_a_c_thread(Call which):
    """From a thread that Python has never seen."""
    cdef pthread_t t
    with nogil:
        pthread_create(&t, NULL, call_in_thread, &which)
        pthread_join(t, NULL)
    return held_inside, locked_inside
