from qemu_mainloop._core.context cimport AioContext
from qemu_mainloop._objects.callback cimport Cell


cdef class FdHandler:
    cdef Cell cell
    cdef object f                # kept open by us as long as it is registered
    cdef object read
    cdef object write
    cdef object can_read
    cdef bint is_wait_object

    cdef void detach(self) noexcept

cdef FdHandler fd_handler_set(AioContext *ctx, int fd, object f, object read, object write,
                              object can_read)
cdef FdHandler wait_object_set(AioContext *ctx, int fd, object func)
cdef FdHandler polling_set(AioContext *ctx, object func)
cdef void polling_unset(AioContext *ctx, FdHandler handler) noexcept
cdef FdHandler child_set(AioContext *ctx, int pid, object callback)
