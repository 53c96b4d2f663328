# An epoll descriptor and waiting with it; the facts are in epollset.pxd.

from libc.errno cimport EBADF, EEXIST, EINVAL, ENOENT, ENOMEM, ENOSYS, EPERM
from libc.stdint cimport uint64_t
from libc.stdlib cimport free, realloc

from qemu_mainloop._fdmon.quiet cimport quiet_closed_lately
from qemu_mainloop._sys.linux cimport (
    EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD, epoll_change, epoll_open, epoll_wait_ns)
from qemu_mainloop._sys.posix cimport POLLIN, PollFd, close, fd_replace, poll_wait

cdef bint has_pwait2 = True


# How many events one call can take, at most `wanted`.
cdef int grow_events(EpollSet *e, int wanted) noexcept nogil:
    cdef EpollEvent *events
    if wanted > e.capacity:
        events = <EpollEvent *> realloc(e.events, wanted * sizeof(EpollEvent))
        if events != NULL:
            e.events = events
            e.capacity = wanted
    return wanted if wanted < e.capacity else e.capacity


cdef int epollset_open(EpollSet *e) noexcept nogil:
    e.events = NULL
    e.capacity = 0
    if grow_events(e, 64) < 64:
        return -ENOMEM
    e.fd = epoll_open()
    if e.fd < 0:
        free(e.events)
        return e.fd
    return 0


cdef void epollset_close(EpollSet *e) noexcept nogil:
    close(e.fd)
    free(e.events)


cdef int epollset_renew(EpollSet *e) noexcept nogil:
    cdef int fresh = epoll_open()
    return fresh if fresh < 0 else fd_replace(e.fd, fresh)


cdef bint epollset_is_refusal(int rc) noexcept nogil:
    return rc < 0 and rc != -EBADF


cdef int epollset_put(EpollSet *e, int fd, uint32_t tag, int wanted, bint known) noexcept nogil:
    cdef uint64_t data = (<uint64_t> tag << 32) | <uint32_t> fd
    cdef int rc = epoll_change(e.fd, EPOLL_CTL_MOD if known else EPOLL_CTL_ADD, fd, wanted, data)
    if rc == -ENOENT:
        return epoll_change(e.fd, EPOLL_CTL_ADD, fd, wanted, data)
    if rc == -EEXIST:
        return epoll_change(e.fd, EPOLL_CTL_MOD, fd, wanted, data)
    return rc


cdef int epollset_remove(EpollSet *e, int fd) noexcept nogil:
    return epoll_change(e.fd, EPOLL_CTL_DEL, fd, 0, 0)


cdef int wait(EpollSet *e, int64_t timeout_ns, const SignalMask *mask, int max) noexcept nogil:
    global has_pwait2
    cdef int n
    cdef PollFd self_
    if timeout_ns == 0:
        # No mask: what is held back comes when the caller lets it through, and the call that
        # takes one may be missing.
        return epoll_wait_ns(e.fd, e.events, max, 0, NULL)
    # Where a ring's end could be taken for a signal ppoll waits, which knows them apart.
    if has_pwait2 and not quiet_closed_lately():
        n = epoll_wait_ns(e.fd, e.events, max, timeout_ns, mask)
        if n != -ENOSYS and n != -EPERM:
            return n
        has_pwait2 = False
    self_.fd = e.fd
    self_.events = POLLIN
    n = poll_wait(&self_, 1, timeout_ns, mask)
    if n == -EINVAL and has_pwait2:
        return epoll_wait_ns(e.fd, e.events, max, timeout_ns, mask)      # RLIMIT_NOFILE is 0
    return epoll_wait_ns(e.fd, e.events, max, 0, NULL) if n > 0 else n


cdef int epollset_wait(EpollSet *e, int64_t timeout_ns, const SignalMask *mask, FDReady *ready,
                       int max) noexcept nogil:
    cdef int n = wait(e, timeout_ns, mask, grow_events(e, max))
    cdef int i
    for i in range(n):
        ready[i].fd = <int> <uint32_t> e.events[i].data.u64
        ready[i].tag = <uint32_t> (e.events[i].data.u64 >> 32)
        ready[i].events = <int> e.events[i].events
        ready[i].by_number = False
    return n
