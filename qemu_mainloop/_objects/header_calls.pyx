# What header.py cannot say through MainLoop: the header's calls that drive parts of
# an iteration from somebody else's loop.

from libc.errno cimport EBUSY
from libc.stdint cimport uint32_t

from qemu_mainloop cimport iohandler, main_loop
from qemu_mainloop._objects.callback cimport (
    Frame, check, descriptor_of, frame_pop, frame_push, integer)
from qemu_mainloop._sys.posix cimport fd_fits_set

cdef extern from *:
    void fd_zero "FD_ZERO"(iohandler.fd_set *s)
    void fd_add "FD_SET"(int fd, iohandler.fd_set *s)
    bint fd_has "FD_ISSET"(int fd, iohandler.fd_set *s)


def bh_poll(loop):
    cdef Frame frame
    cdef int rc
    frame_push(&frame)
    rc = main_loop.qemu_bh_poll()
    frame_pop(&frame)
    if rc == -EBUSY:
        raise RuntimeError(f"{loop!r} is polled by another thread")
    return check(rc, "qemu_bh_poll")


def bh_update_timeout(timeout):
    cdef uint32_t ms = <uint32_t> integer(timeout, "timeout", 0, 0xffffffff)
    main_loop.qemu_bh_update_timeout(&ms)
    return ms


cdef int fill_set(iohandler.fd_set *to, object members) except -1:
    cdef int fd
    fd_zero(to)
    for member in members:
        fd = descriptor_of(member)
        if not fd_fits_set(fd):
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


def iohandler_poll(readfds, writefds, xfds, rc):
    cdef iohandler.fd_set r, w, x
    cdef int ready = integer(rc, "rc", -0x80000000, 0x7fffffff)
    cdef Frame frame
    fill_set(&r, readfds)
    fill_set(&w, writefds)
    fill_set(&x, xfds)
    frame_push(&frame)
    iohandler.qemu_iohandler_poll(&r, &w, &x, ready)
    frame_pop(&frame)


def fd_register(f):
    iohandler.qemu_fd_register(descriptor_of(f))


def lock_is_mine():
    return bool(main_loop.qemu_mutex_iothread_locked())
