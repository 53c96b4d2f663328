from libc.stdint cimport int64_t

from qemu_mainloop._core.timer cimport QEMUTimer
from qemu_mainloop._objects.callback cimport Link, LoopCore


cdef class Timer:
    cdef QEMUTimer *ts
    cdef LoopCore core
    cdef object guard            # the loop's
    cdef object callback
    cdef Py_ssize_t place        # among those the loop keeps
    cdef int clock_number
    cdef bint rests              # not armed, nor run by anybody

    cdef Link *link(self) noexcept
    cdef int check_usable(self) except -1
    cdef void let_go(self) noexcept
    cdef int64_t armed_for_ns(self) noexcept
    cdef int arm(self, int64_t expire_ns, bint only_earlier) except -1

cdef int clock_number(object clock) except -1
cdef Timer timer_object_new(LoopCore loop, object callback, int clock)
# Gives back what is kept for timers to come; in the guard's critical section.
cdef void spare_timers_drop(LoopCore loop) noexcept
