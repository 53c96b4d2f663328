# The iothread lock: first come, first served, by direct hand-over.
#
# A plain mutex lets a loop that drops it and takes it at once starve everybody
# else.  Here unlock gives the lock to the longest waiter, who need not race for it.

from libc.stdint cimport int64_t, uintptr_t

from qemu_mainloop._sys.atomic cimport atomic_load_acquire_size, atomic_load_int
from qemu_mainloop._sys.thread cimport Cond, Mutex, thread_self


cdef struct LockWaiter:
    LockWaiter *next
    uintptr_t thread
    bint granted
    bint away                # asks whether to go on: whoever is behind goes first meanwhile
    Cond cond

# Asked now and then by who waits, with no lock of ours held: non-zero gives up.
ctypedef bint (*LockAsk)(void *arg) noexcept nogil

cdef struct FifoLock:
    uintptr_t owner              # 0: free
    int waiting
    LockWaiter *first
    LockWaiter *last
    int repairs                  # counted: who was away sees that the queue was emptied
    Mutex mutex                  # guards all of it

cdef enum:
    LOCK_ASK_NS = 20000000

cdef void lock_init(FifoLock *lock) noexcept nogil
# 0; -EDEADLK: held by this thread; -ETIMEDOUT (timeout_ns < 0: wait for ever).
cdef int lock_acquire(FifoLock *lock, int64_t timeout_ns) noexcept nogil
# The same, asking every LOCK_ASK_NS; the place in the queue is kept.  -EINTR: given up.
cdef int lock_acquire_asking(FifoLock *lock, int64_t timeout_ns, LockAsk ask,
                             void *arg) noexcept nogil
# 0; -EPERM: not held by this thread.
cdef int lock_release(FifoLock *lock) noexcept nogil
# In a forked child: those who waited are gone, and the owner unless it forked.
cdef void lock_repair(FifoLock *lock) noexcept nogil


cdef inline bint lock_is_mine(FifoLock *lock) noexcept nogil:
    # Only this thread writes its own name there, so no order is needed.
    return atomic_load_acquire_size(&lock.owner) == thread_self()


cdef inline bint lock_is_held(FifoLock *lock) noexcept nogil:
    return atomic_load_acquire_size(&lock.owner) != 0


cdef inline bint lock_is_wanted(FifoLock *lock) noexcept nogil:
    # A hint: who comes a moment later waits for the next iteration.
    return atomic_load_int(&lock.waiting) != 0
