# What header.py cannot say through MainLoop: the header's calls that drive parts of
# an iteration from somebody else's loop.

from libc.stdint cimport uint32_t

from qemu_mainloop cimport iohandler, main_loop
from qemu_mainloop._objects.callback cimport Frame, check, frame_pop, frame_push

cdef extern from *:
    """
    #ifdef _WIN32
    #include <winsock2.h>
    #else
    #include <sys/select.h>
    #endif
    #define QML_SET_SIZE FD_SETSIZE
    """
    int SET_SIZE "QML_SET_SIZE"
    void fd_zero "FD_ZERO"(iohandler.fd_set *s)
    void fd_add "FD_SET"(int fd, iohandler.fd_set *s)
    bint fd_has "FD_ISSET"(int fd, iohandler.fd_set *s)


def bh_poll():
    cdef Frame frame
    cdef int rc
    frame_push(&frame)
    rc = main_loop.qemu_bh_poll()
    frame_pop(&frame)
    return check(rc, "qemu_bh_poll")


def bh_update_timeout(uint32_t timeout):
    main_loop.qemu_bh_update_timeout(&timeout)
    return timeout


cdef int fill_set(iohandler.fd_set *to, object members) except -1:
    cdef int fd
    fd_zero(to)
    for fd in members:
        if not 0 <= fd < SET_SIZE:
            raise ValueError(f"descriptor {fd} does not fit an fd_set")
        fd_add(fd, to)
    return 0


def iohandler_fill(set readfds, set writefds, set xfds):
    cdef iohandler.fd_set r, w, x
    cdef Frame frame
    cdef int nfds = -1
    cdef int fd
    fd_zero(&r)
    fd_zero(&w)
    fd_zero(&x)
    frame_push(&frame)
    iohandler.qemu_iohandler_fill(&nfds, &r, &w, &x)
    frame_pop(&frame)
    for fd in range(nfds + 1):
        if fd_has(fd, &r):
            readfds.add(fd)
        if fd_has(fd, &w):
            writefds.add(fd)
    return nfds


def iohandler_poll(readfds, writefds, xfds, int rc):
    cdef iohandler.fd_set r, w, x
    cdef Frame frame
    fill_set(&r, readfds)
    fill_set(&w, writefds)
    fill_set(&x, xfds)
    frame_push(&frame)
    iohandler.qemu_iohandler_poll(&r, &w, &x, rc)
    frame_pop(&frame)


def fd_register(int fd):
    iohandler.qemu_fd_register(fd)


def lock_is_mine():
    return bool(main_loop.qemu_mutex_iothread_locked())
