# Where Python meets the core: the GIL in batches, exceptions of callbacks, errors.

from cpython.ref cimport PyObject
from libc.stdint cimport int64_t

from qemu_mainloop._core.context cimport AioContext, Driver


cdef extern from *:
    """
    #ifdef Py_GIL_DISABLED
    #define QML_NO_GIL 1
    #else
    #define QML_NO_GIL 0
    #endif
    """
    const bint NO_GIL "QML_NO_GIL"


# One Python call that drives a loop, on its thread's stack: it raises what the
# callbacks below it raised.
cdef struct Frame:
    Frame *outer
    void *first              # the exception to raise, owned; NULL: none
    Driver driver

cdef void frame_push(Frame *frame) noexcept
# Takes the frame off and raises what it holds, else what a signal handler raises.
cdef int frame_pop(Frame *frame) except -1
# For a callback that raised: e goes to the frame of this thread, or to
# sys.unraisablehook if no Python call drives it, or another came first.
cdef void park(object e, object source) noexcept

# Is this the thread in which Python handles signals?
cdef bint is_main_thread() noexcept
# For a wait outside an iteration: handles the pending signals; true: a handler raised, and
# *arg owns the exception.  arg is a PyObject **.
cdef bint signal_error(void *arg) noexcept nogil

# Raises OSError for a negative errno; returns rc.
cdef long long check(long long rc, object about=*) except -1
# A descriptor's number from an int or an object with fileno().
cdef int descriptor_of(object f) except -1
cdef object check_callable(object callback, str name)
# Seconds as nanoseconds, negative ones as 0; -1: without end (None, or hundreds of years).
cdef int64_t wait_ns(object seconds) except? -2
# An integer argument; what is none is a TypeError, what is out of range a ValueError.
cdef int64_t integer(object number, str name, int64_t low, int64_t high) except? -2

# What objects that belong to a loop need of it (loop.pyx has the rest).
cdef class LoopCore:
    cdef AioContext *ctx
    # Whoever looks at the loop or an object of its, and then acts, does both in a critical
    # section of this: without the GIL it is what the GIL is otherwise, and with the GIL it
    # costs nothing.  No user code runs in there, and no reference to any is dropped.
    cdef object guard
    cdef set held            # scheduled, armed or watching: the loop keeps them
    cdef bint closed
    cdef bint is_main
    cdef bint was_made
    cdef object __weakref__

    cdef int check_open(self) except -1

cdef struct GilCounters:
    int64_t taken            # by iterations, once for a run of callbacks
    int64_t callbacks        # Python callbacks run

cdef GilCounters gil_counters
cdef void gil_count() noexcept nogil


# What the core has as opaque.  The core owns the cell (release_cell gives it back), and
# the cell knows its object without owning it: so the garbage collector sees every
# reference there is.  While `kept` is set the loop owns the object, which is what makes
# it safe for a thread of the core's to get at it.  Guarded by the loop's guard.
cdef class Cell:
    cdef object guard
    cdef void *target
    cdef bint kept

cdef Cell cell_new(object target, object guard)
# A reference for the core.
cdef void *cell_give(Cell cell) noexcept
# A reference to the object, or None if its loop does not keep it.
cdef object cell_target(Cell cell)
# The object goes.
cdef void cell_clear(Cell cell) noexcept
cdef void release_cell(void *opaque) noexcept nogil
