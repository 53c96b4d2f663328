# class IOThread.

import atexit

cimport cython

from qemu_mainloop._core.iothread cimport (
    IOThread as Thread, iothread_context, iothread_end, iothread_end_all, iothread_free,
    iothread_new)
from qemu_mainloop._core.fork cimport fork_generation
from qemu_mainloop._objects.callback cimport check
from qemu_mainloop._objects.loop cimport MainLoop, loop_of_context
from qemu_mainloop._sys.errno cimport EDEADLK

# A running thread is kept, as threading keeps its own, until stop() or the end.  By its address:
# what a subclass takes for equal is another thread all the same.
running = {}


cdef class IOThread:
    """A loop that a native thread of its own runs, with all signals blocked.

    The thread takes the GIL only when a Python callback is due there.  It runs until
    ``stop()``, or until the interpreter goes.

    Raises:
        OSError: there are no threads or descriptors left.
        TypeError: name is no str.
        ValueError: it has a null character.
    """

    cdef Thread *thread
    cdef MainLoop its_loop
    cdef object name_
    cdef int generation
    cdef bint stopped
    cdef object __weakref__

    def __init__(self, name="iothread"):
        cdef bytes encoded
        if not isinstance(name, str):
            raise TypeError(f"name is a str, not {type(name).__name__}")
        if "\0" in name:
            raise ValueError(f"name {name!r} has a null character")
        encoded = name.encode("utf-8", "replace")
        with cython.critical_section(self):
            if self.thread != NULL:
                raise RuntimeError(f"{self!r} is initialised already")
            check(iothread_new(&self.thread, encoded), "new IOThread")
            self.name_ = name
            self.generation = fork_generation
            self.its_loop = loop_of_context(iothread_context(self.thread))
            self.its_loop.has_thread = True
        running[<size_t> <void *> self] = self

    def __dealloc__(self):
        # Stopped, or never started, or the child of a fork: nothing runs.
        if self.thread != NULL:
            iothread_free(self.thread)

    cdef int check_here(self) except -1:
        if self.thread == NULL:
            raise RuntimeError(f"{self!r} was not initialised")
        if self.generation != fork_generation:
            raise RuntimeError(f"{self!r} stayed behind in the parent process")
        return 0

    @property
    def name(self):
        """The name it was given."""
        return self.name_

    @property
    def loop(self):
        """The loop that the thread runs.

        Raises:
            RuntimeError: this is a forked child, where the thread never was.
        """
        self.check_here()
        return self.its_loop

    def stop(self):
        """End the thread after its iteration and wait for it; again does nothing.

        Raises:
            RuntimeError: called in its own thread, or in a forked child.
        """
        self.check_here()
        if iothread_end(self.thread) == -EDEADLK:
            raise RuntimeError(f"{self!r} cannot be stopped from its own thread")
        self.stopped = True
        self.its_loop.has_thread = False
        running.pop(<size_t> <void *> self, None)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.stop()

    def __repr__(self):
        return f"<IOThread {self.name_!r}{' stopped' if self.stopped else ''}>"


def _stop_all():
    iothread_end_all()
    running.clear()


atexit.register(_stop_all)
