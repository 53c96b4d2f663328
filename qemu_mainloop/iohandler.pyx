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
    cdef int fd, events
    cdef uint32_t tag = 0
    if ctx == NULL:
        return
    iteration_prepare_foreign_wait(ctx)
    for fd in range(ctx.fds.size):
        events = fd_table_wants(&ctx.fds, fd, &tag)
        if events == 0 or not fits(fd) or not fd_may_have_handler(fd):
            continue
        if events & POLLIN:
            fd_add(fd, readfds)
        if events & POLLOUT:
            fd_add(fd, writefds)
        if fd > pnfds[0]:
            pnfds[0] = fd


cdef void qemu_iohandler_poll(fd_set *readfds, fd_set *writefds, fd_set *xfds,
                              int rc) noexcept nogil:
    cdef AioContext *ctx = main_context
    cdef FdTable *t
    cdef int fd, events
    cdef uint32_t tag = 0
    cdef int n = 0
    if ctx == NULL or rc <= 0:
        return
    t = &ctx.fds
    for fd in range(t.size):
        if not fits(fd) or n == t.max_reports:
            break
        events = 0
        if fd_has(fd, readfds):
            events |= POLLIN
        if fd_has(fd, writefds):
            events |= POLLOUT
        if events & fd_table_wants(t, fd, &tag):
            t.reports[n].fd = fd
            t.reports[n].tag = tag
            t.reports[n].events = events
            n += 1
    iteration_dispatch_reports(ctx, n)
