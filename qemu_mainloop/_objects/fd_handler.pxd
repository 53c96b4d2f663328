from qemu_mainloop._core.context cimport AioContext
from qemu_mainloop._objects.callback cimport Cell, LoopCore


cdef class FdHandler:
    cdef Cell cell
    cdef object f                # kept open by us as long as it is registered
    cdef object read
    cdef object write
    cdef object can_read
    cdef bint is_wait_object

    cdef void detach(self) noexcept

cdef FdHandler handler_new(LoopCore loop, object f, object read, object write, object can_read)
# The following in the critical section of the loop's guard, the registrations after the
# handler was put where the loop keeps it, and its cell's `kept` set: when the core has it,
# nothing of Python's may fail any more.
cdef int fd_handler_set(AioContext *ctx, int fd, FdHandler self) except -1
cdef int wait_object_set(AioContext *ctx, int fd, FdHandler self) except -1
cdef int polling_set(AioContext *ctx, FdHandler self) except -1
cdef void polling_unset(AioContext *ctx, FdHandler handler) noexcept
cdef int child_set(AioContext *ctx, int pid, FdHandler self) except -1
