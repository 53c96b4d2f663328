# Wait objects on POSIX: descriptors that poll readable when they are signalled.
# (On Windows, HANDLEs.)  A HANDLE is the descriptor as a pointer; 0 is valid.

from qemu_mainloop._core.fdtable cimport FdTable

ctypedef void (*WaitCallback)(void *opaque) noexcept nogil

# 0; -EINVAL: no callback; -EEXIST; -EBADF; -EBUSY: has an fd handler; -ENOMEM.
cdef int wait_object_add(FdTable *t, void *handle, WaitCallback func, void *opaque,
                         WaitCallback release) noexcept nogil
# Goes by the handle alone; one that is not there is no error.
cdef void wait_object_remove(FdTable *t, void *handle) noexcept nogil
