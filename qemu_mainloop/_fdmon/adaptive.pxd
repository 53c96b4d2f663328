# Who is hot, and for how long.  Variables, so that the tests can have nothing hot, everything,
# or all of it moving about (tests/mechanisms.py); set before there is a loop.

cdef int newcomers
cdef int fresh_heat
cdef int warm_heat
