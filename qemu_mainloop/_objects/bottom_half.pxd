from qemu_mainloop._core.bh cimport QEMUBH
from qemu_mainloop._objects.callback cimport Cell, LoopCore


cdef class BottomHalf:
    cdef QEMUBH *bh
    cdef LoopCore core
    cdef object callback
    cdef Cell cell
    cdef int trapped_signal      # that schedules it; 0: none

    cdef int check_usable(self) except -1
    cdef void give_up(self) noexcept

cdef BottomHalf bottom_half_new(LoopCore loop, object callback)
