# Wait objects on POSIX.

from libc.errno cimport EBADF, EINVAL
from libc.limits cimport INT_MAX
from libc.stdint cimport uintptr_t

from qemu_mainloop._core.fdtable cimport FD_WAIT_OBJECT
from qemu_mainloop._core.iohandler cimport fd_table_set


cdef inline int descriptor(void *handle) noexcept nogil:
    cdef uintptr_t number = <uintptr_t> handle
    return <int> number if number <= INT_MAX else -1


cdef int wait_object_add(FdTable *t, void *handle, WaitCallback func, void *opaque,
                         WaitCallback release) noexcept nogil:
    cdef int fd = descriptor(handle)
    if func == NULL:
        return -EINVAL
    if fd < 0:
        return -EBADF
    return fd_table_set(t, fd, FD_WAIT_OBJECT, func, NULL, NULL, opaque, release, False)


cdef void wait_object_remove(FdTable *t, void *handle) noexcept nogil:
    cdef int fd = descriptor(handle)
    if fd >= 0:
        fd_table_set(t, fd, FD_WAIT_OBJECT, NULL, NULL, NULL, NULL, NULL, False)
