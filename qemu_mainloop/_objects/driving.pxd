from libc.stdint cimport int64_t, uintptr_t

from qemu_mainloop._core.context cimport AioContext
from qemu_mainloop._objects.registrations cimport Registrations


cdef class Driven(Registrations):
    cdef int stopping

    cdef AioContext *pin(self) except NULL
    cdef uintptr_t events(self) noexcept
    cdef int iterate(self, int64_t timeout_ns, uintptr_t seen_events) except -1
    cdef bint take_stop(self) noexcept
    cdef int check_waited(self, int rc) except -1
