# The iothread lock.

from libc.errno cimport EINTR, EPERM, ETIMEDOUT

from qemu_mainloop._sys.atomic cimport atomic_add_seq_int, atomic_store_release_size
from qemu_mainloop._sys.clock cimport clock_monotonic_ns
from qemu_mainloop._sys.errno cimport EDEADLK
from qemu_mainloop._sys.thread cimport (
    cond_destroy, cond_init, cond_signal, cond_wait, cond_wait_for, mutex_init, mutex_lock,
    mutex_unlock)


cdef void lock_init(FifoLock *lock) noexcept nogil:
    lock.owner = 0
    lock.waiting = lock.repairs = 0
    lock.first = lock.last = NULL
    mutex_init(&lock.mutex)


cdef int lock_acquire(FifoLock *lock, int64_t timeout_ns) noexcept nogil:
    return lock_acquire_asking(lock, timeout_ns, NULL, NULL)


cdef int lock_acquire_asking(FifoLock *lock, int64_t timeout_ns, LockAsk ask,
                             void *arg) noexcept nogil:
    cdef LockWaiter me
    cdef int rc = 0
    if lock_is_mine(lock):
        return -EDEADLK
    mutex_lock(&lock.mutex)
    if lock.owner == 0:
        atomic_store_release_size(&lock.owner, thread_self())
    elif timeout_ns == 0:
        rc = -ETIMEDOUT
    else:
        me.thread = thread_self()
        me.granted = me.away = False
        enter_queue(lock, &me)
        rc = wait_for_grant(lock, &me, timeout_ns, ask, arg)
        if not me.granted:
            leave_queue(lock, &me)
        atomic_add_seq_int(&lock.waiting, -1)
        cond_destroy(&me.cond)
    mutex_unlock(&lock.mutex)
    return rc


cdef int wait_for_grant(FifoLock *lock, LockWaiter *me, int64_t timeout_ns, LockAsk ask,
                        void *arg) noexcept nogil:
    cdef int64_t left_ns = -1
    cdef int64_t end_ns = clock_monotonic_ns() + timeout_ns if timeout_ns > 0 else 0
    cdef int rc
    while not me.granted:
        if timeout_ns > 0:
            left_ns = end_ns - clock_monotonic_ns()
            if left_ns <= 0:
                return -ETIMEDOUT
        if ask != NULL and (left_ns < 0 or left_ns > LOCK_ASK_NS):
            if cond_wait_for(&me.cond, &lock.mutex, LOCK_ASK_NS) or me.granted:
                continue
            rc = step_aside(lock, me, ask, arg)
            if rc < 0:
                return rc
        elif left_ns < 0:
            cond_wait(&me.cond, &lock.mutex)
        else:
            cond_wait_for(&me.cond, &lock.mutex, left_ns)
    return 0


# Asks, without the mutex: what is asked may take this very lock, or fork.  -EINTR, or
# -EDEADLK if this thread holds the lock afterwards.
cdef int step_aside(FifoLock *lock, LockWaiter *me, LockAsk ask, void *arg) noexcept nogil:
    cdef int repairs = lock.repairs
    cdef bint enough
    me.away = True
    mutex_unlock(&lock.mutex)
    enough = ask(arg)
    mutex_lock(&lock.mutex)
    me.away = False
    if lock.repairs != repairs:
        enter_queue(lock, me)            # a child, where nobody waits yet
    if lock_is_mine(lock):
        return -EDEADLK
    if enough:
        return -EINTR
    if lock.owner == 0:
        # Whoever gave it back found nobody at home.
        leave_queue(lock, me)
        me.granted = True
        atomic_store_release_size(&lock.owner, me.thread)
    return 0


cdef void enter_queue(FifoLock *lock, LockWaiter *me) noexcept nogil:
    me.next = NULL
    cond_init(&me.cond)
    if lock.last == NULL:
        lock.first = me
    else:
        lock.last.next = me
    lock.last = me
    atomic_add_seq_int(&lock.waiting, 1)


cdef void leave_queue(FifoLock *lock, LockWaiter *me) noexcept nogil:
    cdef LockWaiter *before = NULL
    cdef LockWaiter *w = lock.first
    while w != me:
        before = w
        w = w.next
    if before == NULL:
        lock.first = me.next
    else:
        before.next = me.next
    if lock.last == me:
        lock.last = before


cdef int lock_release(FifoLock *lock) noexcept nogil:
    cdef LockWaiter *heir
    if not lock_is_mine(lock):
        return -EPERM
    mutex_lock(&lock.mutex)
    heir = lock.first
    while heir != NULL and heir.away:
        heir = heir.next
    if heir == NULL:
        atomic_store_release_size(&lock.owner, 0)
    else:
        leave_queue(lock, heir)
        atomic_store_release_size(&lock.owner, heir.thread)
        heir.granted = True
        cond_signal(&heir.cond)
    mutex_unlock(&lock.mutex)
    return 0


cdef void lock_repair(FifoLock *lock) noexcept nogil:
    lock.waiting = 0
    lock.first = lock.last = NULL
    lock.repairs += 1
    if not lock_is_mine(lock):
        lock.owner = 0
