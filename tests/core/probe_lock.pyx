# The hand-over lock; callers block without the GIL.

from libc.stdint cimport int64_t
from libc.string cimport memset

from qemu_mainloop._core.lock cimport (
    FifoLock, LockWaiter, lock_acquire, lock_acquire_asking, lock_init, lock_is_held, lock_is_mine,
    lock_is_wanted, lock_release, lock_repair)
from qemu_mainloop._sys.atomic cimport atomic_load_int, cpu_relax
from qemu_mainloop._sys.clock cimport clock_monotonic_ns
from qemu_mainloop._sys.thread cimport mutex_lock, mutex_unlock


cdef bint ask(void *arg) noexcept nogil:
    with gil:
        return bool((<object> arg)())


cdef class Lock:
    cdef FifoLock lock

    def __cinit__(self):
        memset(&self.lock, 0, sizeof(FifoLock))
        lock_init(&self.lock)

    def acquire(self, int64_t timeout_ns=-1):
        cdef int rc
        with nogil:
            rc = lock_acquire(&self.lock, timeout_ns)
        return rc

    def acquire_asking(self, question, int64_t timeout_ns=-1):
        """question() is asked now and then; true gives up."""
        cdef void *arg = <void *> question
        cdef int rc
        with nogil:
            rc = lock_acquire_asking(&self.lock, timeout_ns, ask, arg)
        return rc

    def release(self):
        cdef int rc
        with nogil:
            rc = lock_release(&self.lock)
        return rc

    def repair(self):
        lock_repair(&self.lock)

    def is_mine(self):
        return lock_is_mine(&self.lock)

    def is_held(self):
        return lock_is_held(&self.lock)

    def is_wanted(self):
        return lock_is_wanted(&self.lock)

    def queue_is_empty(self):
        return self.lock.first == NULL and self.lock.last == NULL

    def await_all_at_home(self):
        """Until nobody in the queue is away, asking; false: it takes too long."""
        cdef int64_t end_ns = clock_monotonic_ns() + 20000000000
        cdef LockWaiter *w
        cdef bint away = True
        with nogil:
            while away and clock_monotonic_ns() < end_ns:
                cpu_relax()
                away = False
                mutex_lock(&self.lock.mutex)
                w = self.lock.first
                while w != NULL:
                    away = away or w.away
                    w = w.next
                mutex_unlock(&self.lock.mutex)
        return not away

    def await_waiters(self, int n):
        """Until n threads are in the queue, or more; false: it takes too long."""
        cdef int64_t end_ns = clock_monotonic_ns() + 20000000000
        cdef bint reached
        with nogil:
            while atomic_load_int(&self.lock.waiting) < n and clock_monotonic_ns() < end_ns:
                cpu_relax()
            reached = atomic_load_int(&self.lock.waiting) >= n
        return reached
