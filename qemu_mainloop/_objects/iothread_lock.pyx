# The iothread lock for Python.

from libc.errno cimport ETIMEDOUT
from libc.stdint cimport int64_t

from qemu_mainloop._core.lock cimport lock_acquire, lock_is_held, lock_release
from qemu_mainloop._core.mainloop cimport iothread_lock
from qemu_mainloop._sys.errno cimport EDEADLK


cdef class IothreadLock:
    """The iothread lock, with the methods of threading.Lock; first come, first served.

    The main loop holds it through every callback and drops it while it waits: who
    has it may touch what callbacks touch.  ``main_loop().lock`` is the one there is.
    """

    def acquire(self, blocking=True, timeout=-1):
        """Take it, waiting for it if it must; has it been taken?

        Raises:
            RuntimeError: this thread holds it already.
            ValueError: a timeout without blocking, or a negative one.
        """
        cdef int64_t timeout_ns = -1
        cdef int rc
        if not blocking:
            if timeout != -1:
                raise ValueError("can't specify a timeout for a non-blocking call")
            timeout_ns = 0
        elif timeout != -1:
            if timeout < 0:
                raise ValueError("timeout value must be a non-negative number")
            timeout_ns = <int64_t> (timeout * 1e9) if timeout < 9e9 else -1
        rc = lock_acquire(&iothread_lock, 0)
        if rc == -ETIMEDOUT and timeout_ns != 0:
            with nogil:
                rc = lock_acquire(&iothread_lock, timeout_ns)
        if rc == -EDEADLK:
            raise RuntimeError("the iothread lock is held by this thread already")
        return rc == 0

    def release(self):
        """Give it back.

        Raises:
            RuntimeError: this thread does not hold it.
        """
        if lock_release(&iothread_lock) < 0:
            raise RuntimeError("the iothread lock is not held by this thread")

    def locked(self):
        """Does anybody hold it?"""
        return lock_is_held(&iothread_lock)

    def __enter__(self):
        return self.acquire()

    def __exit__(self, *exc):
        self.release()

    def __repr__(self):
        return f"<iothread lock {'held' if self.locked() else 'free'}>"
