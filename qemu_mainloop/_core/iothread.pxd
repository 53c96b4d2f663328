# A context that a native thread of its own runs.

from libc.stdint cimport uintptr_t

from qemu_mainloop._core.context cimport AioContext
from qemu_mainloop._sys.thread cimport Mutex, Thread


cdef struct IOThread "IOThread":
    AioContext *ctx
    Thread thread
    uintptr_t self_              # written by the thread before anything else of it runs
    int stopping
    Mutex joining                # guards joined
    bint joined
    int generation               # of forks: in a child the thread never was
    char name[64]
    IOThread *next               # the process's list
    IOThread *prev

# 0 or negative errno.
cdef int iothread_new(IOThread **t, const char *name) noexcept nogil
cdef int iothread_end(IOThread *t) noexcept nogil
# 0; -EDEADLK: this is its own thread.
cdef int iothread_free(IOThread *t) noexcept nogil
# Before the process, or what its callbacks need, goes away: ends every one.
cdef void iothread_end_all() noexcept nogil


cdef inline AioContext *iothread_context(IOThread *t) noexcept nogil:
    return t.ctx
