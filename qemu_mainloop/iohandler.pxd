# Drive the main loop's fd handlers from somebody else's select() loop.
#
#     FD_ZERO(&r); ...; nfds = -1
#     qemu_iohandler_fill(&nfds, &r, &w, &x)
#     rc = select(nfds + 1, &r, &w, &x, timeout)
#     qemu_iohandler_poll(&r, &w, &x, rc)
#     qemu_bh_poll()
#
# Kept apart from main_loop.pxd because it needs fd_set.  A descriptor that does not
# fit an fd_set is left out.  Context: the loop's thread, with the iothread lock.

from qemu_mainloop.main_loop cimport qemu_mainloop_abi_1


cdef extern from *:
    """
    #ifndef QEMU_MAINLOOP_IOHANDLER_TYPES
    #define QEMU_MAINLOOP_IOHANDLER_TYPES
    #ifdef _WIN32
    #include <winsock2.h>
    #else
    #include <sys/select.h>
    #endif
    #endif
    """
    ctypedef struct fd_set:
        pass


# Nothing to do: a socket wakes the loop as it is, and its blocking mode is left alone.
cdef void qemu_fd_register(int fd) noexcept nogil
# Adds every watched descriptor (fd_read_poll callbacks are asked) and raises *pnfds
# to the highest one; clears no set.
cdef void qemu_iohandler_fill(int *pnfds, fd_set *readfds, fd_set *writefds,
                              fd_set *xfds) noexcept nogil
# Runs the callbacks of what select() left in the sets; rc is its result, and
# nothing is done unless it is positive.
cdef void qemu_iohandler_poll(fd_set *readfds, fd_set *writefds, fd_set *xfds,
                              int rc) noexcept nogil
