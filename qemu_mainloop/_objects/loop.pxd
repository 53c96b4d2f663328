from libc.stdint cimport int64_t

from qemu_mainloop._core.context cimport AioContext
from qemu_mainloop._objects.driving cimport Driven


cdef class MainLoop(Driven):
    cdef int64_t busy_max_ns
    cdef object iothread_lock
    cdef bint has_thread         # an IOThread runs it

    cdef int fill(self, AioContext *ctx) except -1
    cdef int name_fdmon(self, object fdmon) except -1
    cdef object fdmon_name(self)
    cdef int check_closable(self) except -1

# A loop over the context of an IOThread; takes a reference.
cdef MainLoop loop_of_context(AioContext *ctx)
