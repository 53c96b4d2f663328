# Error numbers that Cython's libc.errno does not have.


cdef extern from "errno.h" nogil:
    enum: EDEADLK
    enum: ENOTSUP
    int errno
