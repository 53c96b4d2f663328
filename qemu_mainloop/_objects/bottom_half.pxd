from qemu_mainloop._core.bh cimport QEMUBH
from qemu_mainloop._objects.callback cimport Cell, LoopCore


cdef class BottomHalf:
    cdef QEMUBH *bh
    cdef LoopCore core
    cdef object guard            # the loop's
    cdef object callback
    cdef Cell cell
    cdef int trapped_signal      # that schedules it; 0: none

    cdef void give_up(self) noexcept
    cdef int check_usable(self) except -1
    cdef void let_go(self) noexcept
    cdef bint will_run(self) noexcept

cdef BottomHalf bottom_half_new(LoopCore loop, object callback)
