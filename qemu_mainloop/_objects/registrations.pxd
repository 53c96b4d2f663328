from qemu_mainloop._objects.callback cimport LoopCore
from qemu_mainloop._objects.fd_handler cimport FdHandler


cdef class Registrations(LoopCore):
    cdef dict handlers           # by descriptor, wait objects included
    cdef list polling            # (func, opaque, handler), in the order of registration
    cdef dict traps              # by signal number: the BottomHalf

    cdef FdHandler remove_fd(self, int fd, int kind)
    cdef FdHandler put(self, object fd, FdHandler handler)
    cdef int take_back(self, object fd, FdHandler old) except -1
    cdef bint take_polling(self, tuple entry) except -1
    cdef void forget(self) noexcept
