# The iothread lock for Python.

from cpython.ref cimport Py_DECREF, PyObject
from libc.errno cimport EINTR, ETIMEDOUT
from libc.stdint cimport int64_t

from qemu_mainloop._core.lock cimport (
    lock_acquire, lock_acquire_asking, lock_is_held, lock_release)
from qemu_mainloop._core.mainloop cimport iothread_lock
from qemu_mainloop._objects.callback cimport is_main_thread, signal_error, wait_ns
from qemu_mainloop._sys.errno cimport EDEADLK


cdef int raise_signal_error(PyObject *error) except -1:
    cdef object e = <object> error
    Py_DECREF(e)                 # the reference that signal_error made
    raise e


cdef bint iothread_lock_take(int64_t timeout_ns) except -1:
    cdef PyObject *error = NULL
    cdef int rc = lock_acquire(&iothread_lock, 0)
    if rc == -ETIMEDOUT and timeout_ns != 0:
        if is_main_thread():
            with nogil:
                rc = lock_acquire_asking(&iothread_lock, timeout_ns, signal_error, &error)
        else:
            with nogil:
                rc = lock_acquire(&iothread_lock, timeout_ns)
    if rc == -EINTR:
        raise_signal_error(error)
    if rc == -EDEADLK:
        raise RuntimeError("the iothread lock is held by this thread already")
    return rc == 0


cdef class IothreadLock:
    """The iothread lock, with the methods of threading.Lock; first come, first served.

    The main loop holds it through every callback and drops it while it waits: who
    has it may touch what callbacks touch.  ``main_loop().lock`` is the one there is.
    """

    def acquire(self, blocking=True, timeout=-1):
        """Take it, waiting for it if it must; has it been taken?

        A signal that comes to the main thread meanwhile is handled within 20 ms, and if its
        handler raises (Ctrl-C), the wait is over; else it keeps its place.

        Raises:
            RuntimeError: this thread holds it already.
            ValueError: a timeout without blocking, a negative one, or no number.
            TypeError: timeout is not a number.
            Exception: what a signal handler raised.
        """
        cdef int64_t timeout_ns = -1
        if not blocking:
            if timeout != -1:
                raise ValueError("can't specify a timeout for a non-blocking call")
            timeout_ns = 0
        elif timeout != -1:
            if timeout is None:
                raise TypeError("timeout is a number, not NoneType")
            timeout_ns = wait_ns(timeout)
            if timeout < 0:
                raise ValueError("timeout value must be a non-negative number")
        return iothread_lock_take(timeout_ns)

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
