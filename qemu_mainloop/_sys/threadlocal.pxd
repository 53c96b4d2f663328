# What a thread has of its own; for one module, see the header.

from libc.stdint cimport uintptr_t


cdef extern from "qemu_mainloop/_sys/threadlocal.h" nogil:
    ctypedef struct ThreadOwn:
        void *current
        uintptr_t number
        bint wakes_in_time
        int depth

    ThreadOwn *thread_own()
