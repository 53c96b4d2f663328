# Where Python meets the core: the GIL in batches, exceptions of callbacks, errors.

from cpython.ref cimport PyObject
from libc.stdint cimport int64_t

from qemu_mainloop._core.clock cimport CLOCKS
from qemu_mainloop._core.context cimport AioContext, Driver
from qemu_mainloop._core.timer cimport QEMUTimer
from qemu_mainloop._sys.atomic cimport atomic_add_i64


cdef extern from *:
    """
    #ifdef Py_GIL_DISABLED
    #define QML_NO_GIL 1
    #else
    #define QML_NO_GIL 0
    #endif
    """
    const bint NO_GIL "QML_NO_GIL"

cdef extern from *:
    """
    /* A function written in Python, or a method that is one: it lets others have a turn. */
    static inline int qml_is_bytecode(PyObject *callable)
    {
        return PyFunction_Check(callable) ||
               (PyMethod_Check(callable) && PyFunction_Check(PyMethod_GET_FUNCTION(callable)));
    }
    static inline PyObject *qml_call(PyObject *callable)
    {
        /* What it comes to, without the looks on the way. */
        return PyFunction_Check(callable)
            ? ((PyFunctionObject *)callable)->vectorcall(callable, NULL, 0, NULL)
            : PyObject_CallNoArgs(callable);
    }
    """
    bint is_bytecode "qml_is_bytecode"(object callable) noexcept
    # Not as Cython has it: what it raised stays where it is.
    PyObject *call_it "qml_call"(object callable) noexcept
    void drop "Py_DECREF"(PyObject *o) noexcept

# A shelf is a list of which each element knows its place, so that taking one out moves
# no more than one other, and needs no memory.
cdef extern from *:
    """
    static inline int qml_shelf_has(PyObject *list, Py_ssize_t place, PyObject *item)
    {
        return place < PyList_GET_SIZE(list) && PyList_GET_ITEM(list, place) == item;
    }

    static inline Py_ssize_t qml_shelf_put(PyObject *list, PyObject *item)
    {
        return PyList_Append(list, item) < 0 ? -1 : PyList_GET_SIZE(list) - 1;
    }

    /* The caller has a reference to it.  What has its place now, or NULL. */
    static inline PyObject *qml_shelf_take(PyObject *list, Py_ssize_t place)
    {
        PyObject *item = PyList_GET_ITEM(list, place);
        Py_ssize_t end = PyList_GET_SIZE(list) - 1;
        PyObject *last = PyList_GET_ITEM(list, end);

        PyList_SET_ITEM(list, place, last);
        Py_SET_SIZE((PyVarObject *)list, end);
        Py_DECREF(item);
        return last == item ? NULL : last;
    }
    """
    bint shelf_has "qml_shelf_has"(list shelf, Py_ssize_t place, object item) noexcept
    Py_ssize_t shelf_put "qml_shelf_put"(list shelf, object item) except -1
    PyObject *shelf_take "qml_shelf_take"(list shelf, Py_ssize_t place) noexcept


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

# The same for one that has just raised.
cdef void park_raised(object source) noexcept

# Is this the thread in which Python handles signals?
cdef bint is_main_thread() noexcept
# Handles the pending signals, with the GIL held; what a handler raises is parked.
cdef void look_for_signals() noexcept nogil
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
    # What the loop keeps: scheduled, armed, watching.
    cdef list bottom_halves
    cdef list timers
    cdef set watches
    # Timers of the core's that nobody has, by clock: chained by what Link.target is otherwise.
    cdef QEMUTimer *spares[CLOCKS]
    cdef int spare_count
    cdef int timer_count         # objects there are
    cdef bint closed
    cdef bint is_main
    cdef bint was_made
    cdef object __weakref__

    cdef int check_open(self) except -1

cdef struct GilCounters:
    int64_t taken            # by iterations, once for a run of callbacks
    int64_t callbacks        # Python callbacks run

cdef GilCounters gil_counters


cdef inline void count(int64_t *counter) noexcept nogil:
    if NO_GIL:
        atomic_add_i64(counter, 1)
    else:
        counter[0] += 1


# Others get the GIL if it was held for long: a callable written in C may never give it up.
cdef void gil_breathe() noexcept nogil


# Before each call.
cdef inline void call_begins(object callback) noexcept:
    count(&gil_counters.callbacks)
    if not is_bytecode(callback):
        gil_breathe()


# What the adapters do in the end; the exception is parked.
cdef inline void call(object callback) noexcept:
    cdef PyObject *result
    call_begins(callback)
    result = call_it(callback)
    if result == NULL:
        park_raised(callback)
    else:
        drop(result)


# What the core has as opaque of a bottom half or a timer, and within it (bh_new_with_room): it
# is there as long as the core may call.  It knows the object without owning it, as a cell
# does.  Guarded by the guard.
cdef struct Link:
    void *guard              # the loop's; the context owns it
    void *target             # the object; NULL: it is gone
    bint kept                # the loop owns the object


# The object, borrowed, if its loop keeps it, or NULL.
cdef inline PyObject *link_target(const Link *link) noexcept nogil:
    return <PyObject *> link.target if link.kept else NULL


# What the core has as opaque of anything else.  The core owns the cell (release_cell gives it
# back), and the cell knows its object without owning it: so the garbage collector sees every
# reference there is.  While `kept` is set the loop owns the object, which is what makes it
# safe for a thread of the core's to get at it.  Guarded by the loop's guard.
cdef class Cell:
    cdef object guard
    cdef void *target
    cdef bint kept

cdef Cell cell_new(object target, object guard)
# A reference for the core.
cdef void *cell_give(Cell cell) noexcept


# The object, borrowed, if its loop keeps it, or NULL.
cdef inline PyObject *cell_target(Cell cell) noexcept:
    return <PyObject *> cell.target if cell.kept else NULL


# The object goes.
cdef void cell_clear(Cell cell) noexcept
cdef void release_cell(void *opaque) noexcept nogil
