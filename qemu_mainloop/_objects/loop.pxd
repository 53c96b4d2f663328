from libc.stdint cimport int64_t, uintptr_t

from qemu_mainloop._core.context cimport AioContext
from qemu_mainloop._objects.callback cimport LoopCore
from qemu_mainloop._objects.fd_handler cimport FdHandler


cdef class MainLoop(LoopCore):
    cdef dict handlers           # by descriptor, wait objects included
    cdef list polling            # (func, opaque, handler), in the order of registration
    cdef dict traps              # by signal number: the BottomHalf
    cdef int stopping
    cdef int64_t busy_max_ns
    cdef object iothread_lock
    cdef bint has_thread         # an IOThread runs it

    cdef int fill(self, AioContext *ctx) except -1
    cdef int name_fdmon(self, object fdmon) except -1
    cdef object fdmon_name(self)
    cdef AioContext *pin(self) except NULL
    cdef uintptr_t events(self) noexcept
    cdef int iterate(self, int64_t timeout_ns, uintptr_t seen_events) except -1
    cdef bint take_stop(self) noexcept
    cdef int check_waited(self, int rc) except -1
    cdef FdHandler remove_fd(self, int fd, int kind)
    cdef FdHandler put(self, object fd, FdHandler handler)
    cdef int take_back(self, object fd, FdHandler old) except -1
    cdef bint take_polling(self, tuple entry) except -1
    cdef int check_closable(self) except -1
    cdef void forget(self, list handlers) noexcept

# A loop over the context of an IOThread; takes a reference.
cdef MainLoop loop_of_context(AioContext *ctx)
