# What Python registers with a context: fd handlers, wait objects, polling callbacks,
# child watches.

import os

cimport cython
from cpython.ref cimport Py_DECREF, PyObject
from libc.stdint cimport uint32_t, uintptr_t

from qemu_mainloop._core.child cimport child_watch
from qemu_mainloop._sys.posix cimport STATUS_IS_EXIT_CODE, pid_t
from qemu_mainloop._core.context cimport (
    context_children, context_fds, context_is_hosted, context_polling)
from qemu_mainloop._core.dispatch cimport AnyFunction, runtime_register_callback
from qemu_mainloop._core.fdtable cimport FD_HANDLER
from qemu_mainloop._core.iohandler cimport fd_table_set
from qemu_mainloop._core.polling cimport polling_add, polling_remove
from qemu_mainloop._core.waitobj cimport wait_object_add
from qemu_mainloop._objects.callback cimport (
    Cell, LoopCore, call, call_begins, call_it, cell_clear, cell_give, cell_new, cell_target, check,
    drop, park_raised, release_cell)

cdef extern from "Python.h":
    # Not as Cython has it: what it raised stays where it is.
    int truth "PyObject_IsTrue"(object o) noexcept


cdef class FdHandler:
    def __dealloc__(self):
        cell_clear(self.cell)

    cdef void detach(self) noexcept:
        # It is not called any more (`kept` is not set), so its callbacks go; the cell when
        # no dispatch can have it any more.
        self.f = self.read = self.write = self.can_read = None


cdef FdHandler handler_new(LoopCore loop, object f, object read, object write, object can_read):
    cdef FdHandler self = FdHandler.__new__(FdHandler)
    self.cell = cell_new(self, loop.guard)
    self.f = f
    self.read = read
    self.write = write
    self.can_read = can_read
    return self


# The core has refused: its reference to the cell is given back.
cdef int refuse(FdHandler handler, int rc, str kind, int number) except -1:
    Py_DECREF(handler.cell)
    check(rc, f"{kind} {number}")
    return 0


# The adapters.  The GIL is held; see callback.pyx.

cdef enum Which:
    READ
    WRITE
    CAN_READ


cdef object callback_of(Cell cell, Which which):
    # None: it was removed meanwhile.
    cdef FdHandler self
    cdef PyObject *target
    with cython.critical_section(cell.guard):
        target = cell_target(cell)
        if target == NULL:
            return None
        self = <FdHandler> target
        if which == READ:
            return self.read
        return self.write if which == WRITE else self.can_read


cdef void on_read(void *opaque) noexcept:
    cdef object callback = callback_of(<Cell> opaque, READ)
    if callback is not None:
        call(callback)


cdef void on_write(void *opaque) noexcept:
    cdef object callback = callback_of(<Cell> opaque, WRITE)
    if callback is not None:
        call(callback)


cdef int on_can_read(void *opaque) noexcept:
    cdef object callback = callback_of(<Cell> opaque, CAN_READ)
    cdef PyObject *result
    cdef int answer = -1
    if callback is None:
        return 0
    call_begins(callback)
    result = call_it(callback)
    if result != NULL:
        answer = truth(<object> result)
        drop(result)
    if answer < 0:
        park_raised(callback)
        return 0
    return answer


cdef int on_poll(void *opaque) noexcept:
    return on_can_read(opaque)


cdef void on_child(void *opaque, pid_t pid, int status) noexcept nogil:
    # Called by the core's own C callback, so the GIL is to be taken here.
    with gil:
        child_exited(<Cell> opaque, <int> pid, status)
        Py_DECREF(<Cell> opaque)


cdef object returncode(int status):
    # As subprocess has it.
    if STATUS_IS_EXIT_CODE:
        return <uint32_t> status
    return os.waitstatus_to_exitcode(status) if status >= 0 else None


cdef int tell(object callback, int pid, int status) except -1:
    callback(pid, returncode(status))
    return 0


cdef void child_exited(Cell cell, int pid, int status) noexcept:
    cdef FdHandler self
    cdef object callback = None
    cdef PyObject *target
    with cython.critical_section(cell.guard):
        target = cell_target(cell)
        if target != NULL:
            self = <FdHandler> target
            callback = self.read
            cell.kept = False
            # `f` is the set of the loop that keeps self.
            (<set> self.f).discard(self)
    if callback is None:
        return
    call_begins(callback)
    if (<int (*)(object, int, int) noexcept> tell)(callback, pid, status) < 0:
        park_raised(callback)            # what it raised stays where it is until then


# The following in the critical section of the loop's guard.

cdef int fd_handler_set(AioContext *ctx, int fd, FdHandler self) except -1:
    cdef int rc
    rc = fd_table_set(
        context_fds(ctx), fd, FD_HANDLER,
        <void (*)(void *) noexcept nogil> <void *> on_read if self.read is not None else NULL,
        <void (*)(void *) noexcept nogil> <void *> on_write if self.write is not None else NULL,
        <int (*)(void *) noexcept nogil> <void *> on_can_read
        if self.can_read is not None else NULL,
        cell_give(self.cell), release_cell, context_is_hosted(ctx))
    if rc < 0:
        refuse(self, rc, "descriptor", fd)
    return 0


cdef int wait_object_set(AioContext *ctx, int fd, FdHandler self) except -1:
    cdef int rc
    self.is_wait_object = True
    rc = wait_object_add(context_fds(ctx), <void *> <uintptr_t> fd,
                         <void (*)(void *) noexcept nogil> <void *> on_read,
                         cell_give(self.cell), release_cell)
    if rc < 0:
        refuse(self, rc, "wait object", fd)
    return 0


cdef int polling_set(AioContext *ctx, FdHandler self) except -1:
    cdef int rc
    rc = polling_add(context_polling(ctx), <int (*)(void *) noexcept nogil> <void *> on_poll,
                     cell_give(self.cell), release_cell)
    if rc < 0:
        Py_DECREF(self.cell)
        check(rc, "polling callback")
    return 0


cdef void polling_unset(AioContext *ctx, FdHandler handler) noexcept:
    handler.cell.kept = False
    polling_remove(context_polling(ctx), <int (*)(void *) noexcept nogil> <void *> on_poll,
                   <void *> handler.cell)


cdef int child_set(AioContext *ctx, int pid, FdHandler self) except -1:
    cdef int rc
    rc = child_watch(context_children(ctx), pid, on_child, cell_give(self.cell), release_cell)
    if rc != 0:
        refuse(self, rc, "process", pid)
        raise ValueError(f"process {pid} is watched already")
    return 0


runtime_register_callback(<AnyFunction> <void *> on_read)
runtime_register_callback(<AnyFunction> <void *> on_write)
runtime_register_callback(<AnyFunction> <void *> on_can_read)
runtime_register_callback(<AnyFunction> <void *> on_poll)
