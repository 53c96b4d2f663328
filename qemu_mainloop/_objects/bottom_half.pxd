from qemu_mainloop._core.bh cimport QEMUBH
from qemu_mainloop._objects.callback cimport Link, LoopCore


cdef class BottomHalf:
    cdef QEMUBH *bh
    cdef LoopCore core
    cdef object guard            # the loop's
    cdef object callback
    cdef Py_ssize_t place        # among those the loop keeps
    cdef int trapped_signal      # that schedules it; 0: none

    cdef Link *link(self) noexcept
    cdef void give_up(self) noexcept
    cdef int check_usable(self) except -1
    cdef int keep(self) except -1
    cdef void let_go(self) noexcept
    cdef bint will_run(self) noexcept

cdef BottomHalf bottom_half_new(LoopCore loop, object callback)
