# The main loop's fd handlers under a foreign select(); see iohandler.pxd.

from libc.stdint cimport uint32_t

from qemu_mainloop._core.context cimport AioContext
from qemu_mainloop._core.iteration cimport (
    iteration_dispatch_reports, iteration_prepare_foreign_wait)
from qemu_mainloop._core.fdtable cimport FdTable, fd_table_wants
from qemu_mainloop._core.mainloop cimport main_context
from qemu_mainloop._sys.posix cimport (
    POLLIN, POLLOUT, fd_may_have_handler, fd_fits_set as fits)

cdef extern from *:
    void fd_add "FD_SET"(int fd, fd_set *set) noexcept nogil
    bint fd_has "FD_ISSET"(int fd, fd_set *set) noexcept nogil


cdef void qemu_fd_register(int fd) noexcept nogil:
    pass


cdef void qemu_iohandler_fill(int *pnfds, fd_set *readfds, fd_set *writefds,
                              fd_set *xfds) noexcept nogil:
    cdef AioContext *ctx = main_context
    cdef int events
    cdef uint32_t tag = 0
    cdef int fd = 0
    if ctx == NULL:
        return
    iteration_prepare_foreign_wait(ctx)
    events = fd_table_wants(&ctx.fds, fd, &tag)
    while events >= 0:
        if events and fits(fd) and fd_may_have_handler(fd):
            if events & POLLIN:
                fd_add(fd, readfds)
            if events & POLLOUT:
                fd_add(fd, writefds)
            if fd > pnfds[0]:
                pnfds[0] = fd
        fd += 1
        events = fd_table_wants(&ctx.fds, fd, &tag)


cdef struct Found:
    fd_set *readfds
    fd_set *writefds


cdef int fill_reports(FdTable *t, void *found) noexcept nogil:
    cdef Found *f = <Found *> found
    cdef int events
    cdef uint32_t tag = 0
    cdef int fd = 0
    cdef int n = 0
    cdef int wanted = fd_table_wants(t, fd, &tag)
    while wanted >= 0 and fits(fd) and n < t.max_reports:
        events = 0
        if fd_has(fd, f.readfds):
            events |= POLLIN
        if fd_has(fd, f.writefds):
            events |= POLLOUT
        if events & wanted:
            t.reports[n].fd = fd
            t.reports[n].tag = tag
            t.reports[n].events = events
            n += 1
        fd += 1
        wanted = fd_table_wants(t, fd, &tag)
    return n


cdef void qemu_iohandler_poll(fd_set *readfds, fd_set *writefds, fd_set *xfds,
                              int rc) noexcept nogil:
    cdef AioContext *ctx = main_context
    cdef Found found
    if ctx == NULL or rc <= 0:
        return
    found.readfds = readfds
    found.writefds = writefds
    iteration_dispatch_reports(ctx, fill_reports, &found)
