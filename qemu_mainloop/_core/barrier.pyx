# Running a function in a context's thread and waiting for it.

from libc.errno cimport ENOMEM
from libc.stdint cimport uintptr_t
from libc.stdlib cimport free, malloc

from qemu_mainloop._core.bh cimport QEMUBH, bh_new, bh_schedule
from qemu_mainloop._core.dispatch cimport (
    AnyFunction, Dispatch, dispatch_begin, dispatch_end, dispatch_switch, runtime_owns,
    runtime_resume, runtime_suspend)
from qemu_mainloop._core.fork cimport fork_generation
from qemu_mainloop._core.iteration cimport iteration_thread_number
from qemu_mainloop._core.lock cimport lock_is_mine
from qemu_mainloop._sys.atomic cimport atomic_load_acquire_size
from qemu_mainloop._sys.errno cimport EDEADLK
from qemu_mainloop._sys.thread cimport (
    Cond, Mutex, cond_destroy, cond_init, cond_signal, cond_wait, mutex_destroy, mutex_init,
    mutex_lock, mutex_unlock, thread_self)

# Not on the waiter's stack: a forked child, where that thread never was, finds the bottom
# half in its queue and must be able to tell.
cdef struct Barrier:
    int generation               # of forks: the waiter's
    BHCallback cb
    void *opaque
    bint in_runtime
    bint done
    Mutex lock
    Cond cond


cdef void run(void *opaque) noexcept nogil:
    cdef Barrier *b = <Barrier *> opaque
    cdef Dispatch d
    if b.generation != fork_generation:
        free(b)
        return
    if b.cb != NULL:
        dispatch_begin(&d, -1)
        dispatch_switch(&d, b.in_runtime)
        b.cb(b.opaque)
        dispatch_end(&d)
    if b.generation != fork_generation:
        free(b)                  # cb forked, and this is the child
        return
    mutex_lock(&b.lock)
    b.done = True
    cond_signal(&b.cond)         # under the lock: the waiter frees both after it
    mutex_unlock(&b.lock)


cdef void wait_until_done(Barrier *b) noexcept nogil:
    cdef Dispatch d
    runtime_suspend(&d)
    mutex_lock(&b.lock)
    while not b.done:
        cond_wait(&b.cond, &b.lock)
    mutex_unlock(&b.lock)
    cond_destroy(&b.cond)
    mutex_destroy(&b.lock)
    free(b)
    runtime_resume(&d)


cdef int barrier_run(AioContext *ctx, BHCallback cb, void *opaque) noexcept nogil:
    cdef Barrier *b
    cdef QEMUBH *bh
    cdef uintptr_t poller
    poller = atomic_load_acquire_size(&ctx.wakeup.poller)
    if poller == thread_self():
        return -EDEADLK
    if poller == 0 and iteration_thread_number() != 0:
        if atomic_load_acquire_size(&ctx.last_poller) == iteration_thread_number():
            return -EDEADLK
    if ctx.iothread_lock != NULL and lock_is_mine(ctx.iothread_lock):
        return -EDEADLK
    b = <Barrier *> malloc(sizeof(Barrier))
    if b == NULL:
        return -ENOMEM
    bh = bh_new(&ctx.bhs, run, b, NULL, True)
    if bh == NULL:
        free(b)
        return -ENOMEM
    b.generation = fork_generation
    b.cb = cb
    b.opaque = opaque
    b.in_runtime = runtime_owns(<AnyFunction> cb)
    b.done = False
    mutex_init(&b.lock)
    cond_init(&b.cond)
    bh_schedule(bh)
    wait_until_done(b)
    return 0
