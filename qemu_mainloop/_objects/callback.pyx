# Where Python meets the core.
#
# Every Python callback is reached through an adapter, a C function that the core
# calls with the GIL held: the adapters are registered with _core/dispatch, which
# takes the GIL at the first of a run of them and lets it go before anything else.

import errno
import operator
import os
import sys
import threading

cimport cython
from cpython.float cimport PyFloat_AsDouble
from cpython.ref cimport Py_DECREF, Py_INCREF, PyObject

from qemu_mainloop._core.dispatch cimport (
    Dispatch, RuntimeOps, dispatch_begin, runtime_register)
from qemu_mainloop._sys.atomic cimport atomic_load_i64, atomic_store_i64
from qemu_mainloop._sys.clock cimport clock_monotonic_coarse_ns
from qemu_mainloop._sys.thread cimport process_has_threads

cdef extern from "Python.h":
    ctypedef struct PyThreadState:
        pass
    ctypedef int PyGILState_STATE
    PyGILState_STATE PyGILState_Ensure() noexcept nogil
    void PyGILState_Release(PyGILState_STATE) noexcept nogil
    PyThreadState *PyEval_SaveThread() noexcept nogil
    void PyEval_RestoreThread(PyThreadState *) noexcept nogil
    unsigned long PyThread_get_thread_ident() noexcept nogil
    int PyErr_CheckSignals() except -1
    int check_signals "PyErr_CheckSignals"() noexcept nogil
    void PyErr_Restore(PyObject *, PyObject *, PyObject *) noexcept
    void PyErr_WriteUnraisable(PyObject *) noexcept
    void Py_XINCREF(PyObject *) noexcept

cdef extern from *:
    """
    /* PyGILState_Check() says yes to everything once a subinterpreter was made. */
    static int qml_attached(void)
    {
    #if PY_VERSION_HEX >= 0x030D0000
        return PyThreadState_GetUnchecked() != NULL;
    #elif PY_VERSION_HEX >= 0x030C0000
        return _PyThreadState_UncheckedGet() != NULL;
    #else
        /* Whose turn it is; nobody's, most often, and then the rest costs nothing. */
        PyThreadState *now = _PyThreadState_UncheckedGet();

        return now && now == PyGILState_GetThisThreadState();
    #endif
    }
    /* Set when Ctrl-C has come; Python's own sleeps wait for it, too. */
    #ifdef _WIN32
    PyAPI_FUNC(void *) _PyOS_SigintEvent(void);
    #define qml_interrupt() _PyOS_SigintEvent()
    #else
    #define qml_interrupt() NULL
    #endif
    #if defined(_MSC_VER)
    static __declspec(thread) void *qml_frame;
    static __declspec(thread) int64_t qml_held_since_ns;
    #else
    static __thread void *qml_frame;
    static __thread int64_t qml_held_since_ns;
    #endif
    /* What was raised, with its traceback, which there may be no memory for: an "except" of
     * Cython's takes it for granted. */
    static PyObject *qml_take_raised(void)
    {
    #if PY_VERSION_HEX >= 0x030C0000
        return PyErr_GetRaisedException();
    #else
        PyObject *type, *value, *traceback;

        PyErr_Fetch(&type, &value, &traceback);
        PyErr_NormalizeException(&type, &value, &traceback);
        if (traceback) {
            PyException_SetTraceback(value, traceback);
            Py_DECREF(traceback);
        }
        Py_DECREF(type);
        return value;
    #endif
    }
    """
    int qml_attached() noexcept nogil
    void *qml_interrupt() noexcept nogil
    void *top_frame "qml_frame"
    # When this thread got the GIL; 0: before it came here.
    int64_t held_since_ns "qml_held_since_ns"
    PyObject *take_raised "qml_take_raised"() noexcept

cdef enum:
    # Other threads may get the process's signals while this one has them blocked, just
    # before it sleeps: then it looks for them again after this time.
    SIGNAL_LOOK_NS = 250000000

cdef unsigned long main_thread_ident = threading.main_thread().ident
# In nanoseconds; read again in every outermost call that drives a loop.
cdef int64_t switch_interval_ns = 5000000


# ---- the GIL

cdef bint gil_attached() noexcept nogil:
    return qml_attached()


cdef void gil_enter(Dispatch *d) noexcept nogil:
    global held_since_ns
    if d.token != NULL:
        PyEval_RestoreThread(<PyThreadState *> d.token)
        d.token = NULL
    else:
        d.state = <int> PyGILState_Ensure()
        d.acquired = True
    held_since_ns = clock_monotonic_coarse_ns()
    count(&gil_counters.taken)


cdef void gil_leave(Dispatch *d) noexcept nogil:
    if d.acquired:
        d.acquired = False
        PyGILState_Release(<PyGILState_STATE> d.state)
    else:
        d.token = PyEval_SaveThread()


cdef void read_switch_interval() noexcept:
    try:
        atomic_store_i64(&switch_interval_ns, <int64_t> (1e9 * <double> sys.getswitchinterval()))
    except MemoryError:
        pass                             # it stays as it was


cdef void gil_breathe() noexcept nogil:
    global held_since_ns
    cdef int64_t now_ns = clock_monotonic_coarse_ns()
    if held_since_ns == 0:
        held_since_ns = now_ns
        with gil:
            read_switch_interval()
    elif now_ns - held_since_ns >= atomic_load_i64(&switch_interval_ns):
        PyEval_RestoreThread(PyEval_SaveThread())
        held_since_ns = now_ns


# ---- exceptions

cdef bint before_sleep(Driver *driver) noexcept nogil:
    # The GIL is held: a driver's hook is called so.
    with gil:
        return stays_awake()


cdef bint something_is_parked(Driver *driver) noexcept nogil:
    # In other threads than the main one, which gets no signals: the frame is their own.
    return (<Frame *> top_frame).first != NULL


cdef bint stays_awake() noexcept:
    cdef Frame *frame = <Frame *> top_frame
    if frame.first != NULL:
        return True
    if check_signals() < 0:
        park_raised(None)
        return True
    return False


cdef void look_for_signals() noexcept nogil:
    if check_signals() < 0:
        with gil:
            park_raised(None)


cdef bint is_main_thread() noexcept:
    return PyThread_get_thread_ident() == main_thread_ident


cdef bint signal_error(void *arg) noexcept nogil:
    with gil:
        if check_signals() < 0:
            (<PyObject **> arg)[0] = take_raised()
            return True
    return False


cdef void frame_push(Frame *frame) noexcept:
    global top_frame, held_since_ns
    frame.outer = <Frame *> top_frame
    frame.first = NULL
    frame.driver.looks_for_signals = is_main_thread()
    frame.driver.before_sleep = (
        before_sleep if frame.driver.looks_for_signals else something_is_parked)
    frame.driver.longest_sleep_ns = -1
    frame.driver.trust_ns = frame.driver.asked_ns = 0
    frame.driver.seen_events = 0
    dispatch_begin(&frame.driver.d, 1)
    if frame.driver.looks_for_signals and process_has_threads():
        frame.driver.longest_sleep_ns = SIGNAL_LOOK_NS
    top_frame = frame
    if frame.outer == NULL:
        held_since_ns = 0


cdef int frame_pop(Frame *frame) except -1:
    global top_frame
    cdef object e
    top_frame = frame.outer
    if frame.first != NULL:
        e = <object> <PyObject *> frame.first
        Py_DECREF(e)
        frame.first = NULL
        try:
            raise e
        finally:
            del e            # or the traceback would keep itself alive
    PyErr_CheckSignals()
    return 0


cdef void report_unraisable(object e, object source) noexcept:
    cdef object kind = type(e)
    cdef object traceback = e.__traceback__
    Py_INCREF(kind)
    Py_INCREF(e)
    if traceback is not None:
        Py_INCREF(traceback)
    PyErr_Restore(<PyObject *> kind, <PyObject *> e,
                  <PyObject *> traceback if traceback is not None else NULL)
    PyErr_WriteUnraisable(<PyObject *> source)


cdef void park(object e, object source) noexcept:
    cdef Frame *frame = <Frame *> top_frame
    cdef object loser = e
    if frame != NULL:
        if frame.first == NULL:
            loser = None
        elif isinstance(e, (KeyboardInterrupt, SystemExit)) and not isinstance(
                <object> <PyObject *> frame.first, (KeyboardInterrupt, SystemExit)):
            loser = <object> <PyObject *> frame.first
            Py_DECREF(loser)
    if loser is not e:
        Py_INCREF(e)
        frame.first = <void *> e
    if loser is not None:
        report_unraisable(loser, source)


cdef void park_raised(object source) noexcept:
    cdef PyObject *e = take_raised()
    park(<object> e, source)
    drop(e)


cdef long long check(long long rc, object about=None) except -1:
    if rc >= 0:
        return rc
    if about is None:
        raise OSError(-rc, os.strerror(-rc))
    raise OSError(-rc, f"{about}: {os.strerror(-rc)}")


cdef int descriptor_of(object f) except -1:
    cdef object fd = f
    if not isinstance(f, int) or isinstance(f, bool):
        try:
            fileno = f.fileno
        except AttributeError:
            raise TypeError(
                f"a descriptor is an int or has fileno(), not {type(f).__name__}") from None
        fd = fileno()
        if not isinstance(fd, int) or isinstance(fd, bool):
            raise TypeError(f"fileno() gave {type(fd).__name__}, not int")
    if fd < 0:
        raise ValueError(f"descriptor {fd} is negative")
    if fd > 0x7fffffff:
        raise OSError(errno.EBADF, f"descriptor {fd}: {os.strerror(errno.EBADF)}")
    return fd


cdef object check_callable(object callback, str name):
    if not callable(callback):
        raise TypeError(f"{name} must be callable, not {type(callback).__name__}")
    return callback


cdef int64_t wait_ns(object seconds) except? -2:
    cdef double number
    if seconds is None:
        return -1
    try:
        number = PyFloat_AsDouble(seconds)
    except TypeError:
        raise TypeError(f"timeout is a number, not {type(seconds).__name__}") from None
    except OverflowError:
        return -1 if seconds > 0 else 0
    if number != number:
        raise ValueError("timeout is not a number")
    if number >= 9e9:
        return -1
    return <int64_t> (number * 1e9) if number > 0 else 0


cdef int64_t integer(object number, str name, int64_t low, int64_t high) except? -2:
    try:
        number = operator.index(number)
    except TypeError:
        raise TypeError(f"{name} is an int, not {type(number).__name__}") from None
    if not low <= number <= high:
        raise ValueError(f"{name} {number} is out of range")
    return number


cdef class Cell:
    pass


cdef Cell cell_new(object target, object guard):
    cdef Cell cell = Cell.__new__(Cell)
    cell.target = <void *> target
    cell.guard = guard
    return cell


cdef void *cell_give(Cell cell) noexcept:
    Py_INCREF(cell)
    return <void *> cell


cdef void cell_clear(Cell cell) noexcept:
    if cell is not None:
        with cython.critical_section(cell.guard):
            cell.target = NULL


cdef void release_cell(void *opaque) noexcept nogil:
    with gil:
        Py_DECREF(<object> <PyObject *> opaque)


cdef class LoopCore:
    cdef int check_open(self) except -1:
        if self.closed:
            what = "is closed" if self.was_made else "was not initialised"
            raise RuntimeError(f"{self!r} {what}")
        return 0


# ---- at import

def _after_fork_in_child():
    global main_thread_ident
    main_thread_ident = PyThread_get_thread_ident()


cdef RuntimeOps ops
ops.attached = gil_attached
ops.enter = gil_enter
ops.leave = gil_leave
ops.interrupt = qml_interrupt()
runtime_register(ops)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
