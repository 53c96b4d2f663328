from qemu_mainloop._core.bh cimport QEMUBH
from qemu_mainloop._objects.callback cimport LoopCore


cdef class BottomHalf:
    cdef QEMUBH *bh
    cdef LoopCore core
    cdef object callback

    cdef int check_usable(self) except -1

cdef BottomHalf bottom_half_new(LoopCore loop, object callback)
