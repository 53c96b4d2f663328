from libc.stdint cimport int64_t


cdef class IothreadLock:
    pass


# Takes the lock, whose waiter may be interrupted by a signal handler that raises.  False: the
# time (< 0: without end) is over.
cdef bint iothread_lock_take(int64_t timeout_ns) except -1
