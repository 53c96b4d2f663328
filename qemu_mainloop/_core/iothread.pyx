# IOThreads.

from libc.errno cimport ENOMEM, ESRCH
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from qemu_mainloop._core.context cimport (
    Driver, context_disown, context_events, context_new, context_unref)
from qemu_mainloop._core.iteration cimport Outcome, iteration_run
from qemu_mainloop._core.dispatch cimport (
    Dispatch, dispatch_begin, dispatch_end, runtime_resume, runtime_suspend)
from qemu_mainloop._core.fork cimport ForkMember, fork_generation, fork_join
from qemu_mainloop._core.wakeup cimport wakeup_notify
from qemu_mainloop._sys.atomic cimport (
    atomic_exchange_seq_int, atomic_load_acquire_size, atomic_load_seq_int,
    atomic_store_release_size)
from qemu_mainloop._sys.errno cimport EDEADLK
from qemu_mainloop._sys.thread cimport (
    Cond, Mutex, cond_destroy, cond_init, cond_wait_for, mutex_destroy, mutex_init, mutex_lock,
    mutex_unlock, thread_join, thread_self, thread_set_name, thread_start)

cdef Mutex list_lock
cdef IOThread threads            # the head of a ring
cdef ForkMember fork_member


cdef void *run(void *arg) noexcept nogil:
    cdef IOThread *t = <IOThread *> arg
    cdef Driver driver
    cdef int rc
    cdef Outcome out
    memset(&driver, 0, sizeof(Driver))
    driver.seen_events = context_events(t.ctx)
    atomic_store_release_size(&t.self_, thread_self())
    thread_set_name(t.name)
    # stopping is set before the notification, and a notification is sticky: one that comes
    # between this look and the wait makes the wait return, or else it was another
    # thread's iteration that accepted it, and the wait does not sleep either.
    # In a child that a callback forked this thread is the only one, and ends.
    while not atomic_load_seq_int(&t.stopping) and t.generation == fork_generation:
        dispatch_begin(&driver.d, -1)
        rc = iteration_run(t.ctx, -1, &driver, &out)
        dispatch_end(&driver.d)
        if rc < 0:
            wait_a_moment(t)
    return NULL


cdef void wait_a_moment(IOThread *t) noexcept nogil:
    # Waiting is impossible (no descriptors, no memory): try again, without a spin.
    cdef Cond never
    cdef Mutex lock
    mutex_init(&lock)
    cond_init(&never)
    mutex_lock(&lock)
    cond_wait_for(&never, &lock, 10000000)
    mutex_unlock(&lock)
    cond_destroy(&never)
    mutex_destroy(&lock)


cdef int iothread_new(IOThread **out, const char *name) noexcept nogil:
    cdef IOThread *t = <IOThread *> calloc(1, sizeof(IOThread))
    cdef int i = 0
    cdef int rc
    if t == NULL:
        return -ENOMEM
    if name == NULL:
        name = b"iothread"
    while name[i] != 0 and i < 63:
        t.name[i] = name[i]
        i += 1
    t.generation = fork_generation
    mutex_init(&t.joining)
    rc = context_new(&t.ctx, NULL)
    if rc == 0:
        context_disown(t.ctx)
        rc = thread_start(&t.thread, run, t)
        if rc < 0:
            context_unref(t.ctx)
    if rc < 0:
        free(t)
        return rc
    mutex_lock(&list_lock)
    t.next = threads.next
    t.prev = &threads
    threads.next.prev = t
    threads.next = t
    mutex_unlock(&list_lock)
    out[0] = t
    return 0


cdef int iothread_end(IOThread *t) noexcept nogil:
    cdef Dispatch d
    if t.generation != fork_generation:
        return -ESRCH
    if atomic_load_acquire_size(&t.self_) == thread_self():
        return -EDEADLK
    atomic_exchange_seq_int(&t.stopping, 1)
    wakeup_notify(&t.ctx.wakeup)
    runtime_suspend(&d)
    mutex_lock(&t.joining)
    if not t.joined:
        thread_join(t.thread)
        t.joined = True
        atomic_store_release_size(&t.self_, 0)
    mutex_unlock(&t.joining)
    runtime_resume(&d)
    return 0


cdef int iothread_free(IOThread *t) noexcept nogil:
    if t == NULL:
        return 0
    if iothread_end(t) == -EDEADLK:
        return -EDEADLK
    mutex_lock(&list_lock)
    t.prev.next = t.next
    t.next.prev = t.prev
    mutex_unlock(&list_lock)
    context_unref(t.ctx)
    mutex_destroy(&t.joining)
    free(t)
    return 0


cdef void iothread_end_all() noexcept nogil:
    # Joining is outside the list's lock: a callback there may make or free others.
    cdef IOThread *t
    while True:
        mutex_lock(&list_lock)
        t = threads.next
        while t != &threads and (t.joined or t.generation != fork_generation
                                 or t.self_ == thread_self()):
            t = t.next
        mutex_unlock(&list_lock)
        if t == &threads:
            return
        iothread_end(t)


cdef void lock_list(void *owner) noexcept nogil:
    mutex_lock(&list_lock)


cdef void unlock_list(void *owner) noexcept nogil:
    mutex_unlock(&list_lock)


cdef void in_child(void *owner) noexcept nogil:
    pass


threads.next = threads.prev = &threads
mutex_init(&list_lock)
fork_member.lock = lock_list
fork_member.unlock = unlock_list
fork_member.child = in_child
fork_join(&fork_member)
