# C callbacks in a loop that Python drives, and Python callbacks in one that C drives.

from posix.unistd cimport close

from qemu_mainloop.main_loop cimport (
    QEMUBH, main_loop_wait, qemu_bh_delete, qemu_bh_new, qemu_bh_schedule, qemu_set_fd_handler)

cdef extern from "Python.h":
    int PyGILState_Check() noexcept nogil

cdef extern from "<sys/eventfd.h>" nogil:
    int eventfd(unsigned int count, int flags)

cdef int gil_in_bh = -1
cdef int gil_in_handler = -1
cdef QEMUBH *bh = NULL
cdef int fd = -1
calls = []


cdef void look_from_bh(void *opaque) noexcept nogil:
    global gil_in_bh
    gil_in_bh = PyGILState_Check()


cdef void look_from_handler(void *opaque) noexcept nogil:
    global gil_in_handler
    gil_in_handler = PyGILState_Check()


def probe(drive):
    """PyGILState_Check() in a bottom half and an fd handler, while drive() drives."""
    global bh, fd, gil_in_bh, gil_in_handler
    gil_in_bh = gil_in_handler = -1
    fd = eventfd(1, 0)
    bh = qemu_bh_new(look_from_bh, NULL)
    qemu_bh_schedule(bh)
    qemu_set_fd_handler(fd, look_from_handler, NULL, NULL)
    try:
        drive()
    finally:
        qemu_set_fd_handler(fd, NULL, NULL, NULL)
        qemu_bh_delete(bh)
        close(fd)
    return gil_in_bh, gil_in_handler


cdef void append(void *opaque) noexcept with gil:
    calls.append(PyGILState_Check())


def with_gil_callbacks():
    """What functions marked "with gil" note, driven without the GIL and from Python."""
    cdef QEMUBH *one
    calls.clear()
    one = qemu_bh_new(append, NULL)
    with nogil:
        qemu_bh_schedule(one)
        main_loop_wait(True)
    qemu_bh_schedule(one)
    main_loop_wait(True)                   # with the GIL held by the caller
    qemu_bh_delete(one)
    return list(calls)


def wait_without_the_gil():
    with nogil:
        main_loop_wait(True)


def wait_with_the_gil():
    main_loop_wait(True)
    return PyGILState_Check()


class Scheduled:
    """A C bottom half between Python ones: schedule() puts it into the queue."""

    def __init__(self):
        global bh
        bh = qemu_bh_new(look_from_bh, NULL)

    def schedule(self):
        qemu_bh_schedule(bh)

    def delete(self):
        qemu_bh_delete(bh)
