# The clocks of this system, in nanoseconds.

from libc.stdint cimport int64_t


cdef extern from "qemu_mainloop/_sys/clock.h" nogil:
    int64_t clock_monotonic_ns()
    int64_t clock_monotonic_coarse_ns()     # behind by a kernel tick at most
    int64_t clock_wall_ns()
