# epoll(7): Linux's fdmon.
#
# What epoll refuses is served by poll(2), in a set whose first member is the epoll
# descriptor itself.  An entry of epoll's can be detached while another thread waits; one of
# poll's cannot, since its array must not move under the kernel.

from libc.errno cimport EAGAIN, ENOMEM
from libc.stdint cimport int64_t, uint32_t
from libc.stdlib cimport calloc, free

from qemu_mainloop._core.fdmon cimport FDMon, FDMonOps, FDReady, fdmon_register
from qemu_mainloop._fdmon.epollset cimport (
    EpollSet, epollset_close, epollset_is_refusal, epollset_open, epollset_put,
    epollset_remove, epollset_renew, epollset_wait)
from qemu_mainloop._fdmon.pollset cimport (
    PollSet, pollset_clear, pollset_free, pollset_has, pollset_put, pollset_remove,
    pollset_report)
from qemu_mainloop._sys.posix cimport POLLIN, poll_wait
from qemu_mainloop._sys.thread cimport SignalMask

cdef struct Epoll:
    EpollSet set
    PollSet refused          # member 0 is the epoll descriptor, once there are others


cdef int epoll_open(FDMon *mon) noexcept nogil:
    cdef Epoll *e = <Epoll *> calloc(1, sizeof(Epoll))
    cdef int rc
    if e == NULL:
        return -ENOMEM
    rc = epollset_open(&e.set)
    if rc < 0:
        free(e)
        return rc
    mon.state = e
    return 0


cdef void epoll_close(FDMon *mon) noexcept nogil:
    cdef Epoll *e = <Epoll *> mon.state
    epollset_close(&e.set)
    pollset_free(&e.refused)
    free(e)


# ---- registrations

cdef int serve_by_poll(Epoll *e, int fd, uint32_t tag, int wanted) noexcept nogil:
    cdef int rc
    if e.refused.n == 0 and pollset_put(&e.refused, e.set.fd, 0, POLLIN) < 0:
        return -ENOMEM
    rc = pollset_put(&e.refused, fd, tag, wanted)
    clear_if_alone(e)
    return rc


cdef void leave_poll(Epoll *e, int fd) noexcept nogil:
    pollset_remove(&e.refused, fd)
    clear_if_alone(e)


cdef void clear_if_alone(Epoll *e) noexcept nogil:
    if e.refused.n == 1:
        pollset_clear(&e.refused)


cdef int epoll_update(FDMon *mon, int fd, uint32_t tag, int now, int wanted) noexcept nogil:
    cdef Epoll *e = <Epoll *> mon.state
    cdef int rc
    if pollset_has(&e.refused, fd):
        leave_poll(e, fd)
    if wanted == 0:
        if now:
            epollset_remove(&e.set, fd)
        return 0
    rc = epollset_put(&e.set, fd, tag, wanted, now != 0)
    return serve_by_poll(e, fd, tag, wanted) if epollset_is_refusal(rc) else rc


cdef int epoll_detach(FDMon *mon, int fd) noexcept nogil:
    cdef Epoll *e = <Epoll *> mon.state
    if pollset_has(&e.refused, fd):
        return -EAGAIN
    epollset_remove(&e.set, fd)
    return 0


# ---- waiting

cdef int wait_for_both(Epoll *e, int64_t timeout_ns, const SignalMask *mask, FDReady *ready,
                       int max) noexcept nogil:
    cdef int n
    cdef int from_epoll = 0
    cdef int found = poll_wait(e.refused.fds, e.refused.n, timeout_ns, mask)
    if found <= 0:
        return found
    if e.refused.fds[0].revents:
        found -= 1
        n = max - found if max - found > 1 else 1
        from_epoll = epollset_wait(&e.set, 0, NULL, ready, n)
        from_epoll = from_epoll if from_epoll > 0 else 0
    return from_epoll + pollset_report(&e.refused, 1, found, ready + from_epoll,
                                       max - from_epoll)


cdef int epoll_wait(FDMon *mon, int64_t timeout_ns, const SignalMask *mask, FDReady *ready,
                    int max) noexcept nogil:
    cdef Epoll *e = <Epoll *> mon.state
    if e.refused.n == 0:
        return epollset_wait(&e.set, timeout_ns, mask, ready, max)
    return wait_for_both(e, timeout_ns, mask, ready, max)


cdef int epoll_fileno(FDMon *mon) noexcept nogil:
    return (<Epoll *> mon.state).set.fd


cdef bint epoll_has_hidden(FDMon *mon) noexcept nogil:
    return (<Epoll *> mon.state).refused.n > 0


cdef int epoll_rebuild(FDMon *mon) noexcept nogil:
    cdef Epoll *e = <Epoll *> mon.state
    cdef int rc = epollset_renew(&e.set)
    if rc == 0:
        pollset_clear(&e.refused)
    return rc


cdef FDMonOps ops
ops.name = "epoll"
ops.open = epoll_open
ops.close = epoll_close
ops.update = epoll_update
ops.detach = epoll_detach
ops.wait = epoll_wait
ops.fileno = epoll_fileno
ops.has_hidden = epoll_has_hidden
ops.rebuild = epoll_rebuild
fdmon_register(&ops)
