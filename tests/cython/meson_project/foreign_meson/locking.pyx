# The iothread lock from C threads that have never heard of the GIL.

from libc.errno cimport errno

from qemu_mainloop.main_loop cimport (
    QEMUBH, main_loop_wait, qemu_bh_delete, qemu_bh_new, qemu_bh_schedule,
    qemu_mutex_iothread_locked, qemu_mutex_lock_iothread, qemu_mutex_unlock_iothread,
    qemu_notify_event)

cdef extern from "<pthread.h>" nogil:
    ctypedef unsigned long pthread_t
    int pthread_create(pthread_t *t, void *attr, void *(*run)(void *) noexcept nogil, void *arg)
    int pthread_join(pthread_t t, void **result)

cdef extern from *:
    """
    static int add(int *to, int n) { return __atomic_add_fetch(to, n, __ATOMIC_SEQ_CST); }
    """
    int add(int *to, int n) nogil

cdef enum:
    THREADS = 4
    ROUNDS = 2000

cdef struct Answers:
    int held_first, held_then, twice_errno, held_last, back_errno

cdef Answers answers
cdef long shared = 0             # guarded by the iothread lock, and by nothing else
cdef int finished = 0
cdef QEMUBH *bh


cdef void set_errno(int value) noexcept nogil:
    (&errno)[0] = value


cdef void *misuse(void *arg) noexcept nogil:
    answers.held_first = qemu_mutex_iothread_locked()
    qemu_mutex_lock_iothread()
    answers.held_then = qemu_mutex_iothread_locked()
    set_errno(0)
    qemu_mutex_lock_iothread()
    answers.twice_errno = errno
    qemu_mutex_unlock_iothread()
    answers.held_last = qemu_mutex_iothread_locked()
    set_errno(0)
    qemu_mutex_unlock_iothread()
    answers.back_errno = errno
    return NULL


def misused():
    cdef pthread_t thread
    with nogil:
        pthread_create(&thread, NULL, misuse, NULL)
        pthread_join(thread, NULL)
    return answers


cdef void look(void *opaque) noexcept nogil:
    (<int *> opaque)[0] = qemu_mutex_iothread_locked()


def held_in_callbacks():
    """Does this thread hold it (in a callback, after the wait, in a wait it went into with it)?"""
    cdef int inside = -1
    cdef int after, kept
    with nogil:
        bh = qemu_bh_new(look, &inside)
        qemu_bh_schedule(bh)
        main_loop_wait(True)
        after = qemu_mutex_iothread_locked()
        qemu_bh_delete(bh)
        qemu_mutex_lock_iothread()
        qemu_notify_event()
        main_loop_wait(False)
        kept = qemu_mutex_iothread_locked()
        qemu_mutex_unlock_iothread()
    return inside, after, kept


cdef void *contend(void *arg) noexcept nogil:
    global shared
    for _i in range(ROUNDS):
        qemu_mutex_lock_iothread()
        shared += 1
        qemu_mutex_unlock_iothread()
    add(&finished, 1)
    qemu_notify_event()
    return NULL


cdef void increment(void *opaque) noexcept nogil:
    global shared
    shared += 1
    (<long *> opaque)[0] += 1
    if add(&finished, 0) < THREADS:
        qemu_bh_schedule(bh)


def excluded():
    """(what the counter is, what it should be), THREADS threads against the loop."""
    global bh, shared, finished
    cdef pthread_t threads[THREADS]
    cdef long mine = 0
    shared = finished = 0
    with nogil:
        bh = qemu_bh_new(increment, &mine)
        qemu_bh_schedule(bh)
        for i in range(THREADS):
            pthread_create(&threads[i], NULL, contend, NULL)
        while add(&finished, 0) < THREADS:
            main_loop_wait(False)
        for i in range(THREADS):
            pthread_join(threads[i], NULL)
        qemu_bh_delete(bh)
    return shared, mine + THREADS * ROUNDS
