# epoll(7): Linux's fdmon.
#
# What epoll does that one would not guess, and what follows here:
#
# * An entry belongs to the pair (number, open file), and goes when the last
#   duplicate of the file is closed.  So an entry can outlive its number, and a
#   number can come to name another file: MOD answers ENOENT then, ADD makes the new
#   entry, and the old one, if a duplicate keeps it, cannot be named any more.  Each
#   entry carries the registration's tag; the fd table tells by it what is stale,
#   and has the set rebuilt when a stale entry keeps reporting.
# * Regular files and some devices are refused with EPERM, entries over the user's
#   limit with ENOSPC; a sandbox may have an error of its own.  Whatever is refused is
#   served by poll(2), in a set whose first member is the epoll descriptor itself.
# * HUP and ERR are reported whether they are asked for or not, so an entry that
#   wants nothing must not be in the set.
# * epoll_wait(2) counts in milliseconds.  epoll_pwait2(2) has nanoseconds but is
#   missing before Linux 5.11 and in some sandboxes: ppoll(2) on the epoll descriptor
#   waits instead.
#
# epoll_ctl(2) takes effect while another thread waits, so an entry can be detached
# at any time.  What poll(2) serves cannot: its array must not move under the kernel.

from libc.errno cimport EAGAIN, EBADF, EEXIST, ENOENT, ENOMEM, ENOSYS, EPERM
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, realloc

from qemu_mainloop._core.fdmon cimport FDMon, FDMonOps, FDReady, fdmon_register
from qemu_mainloop._fdmon.pollset cimport (
    PollSet, pollset_clear, pollset_free, pollset_has, pollset_put, pollset_remove,
    pollset_report)
from qemu_mainloop._sys.linux cimport (
    EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD, EpollEvent, epoll_change, epoll_open,
    epoll_wait_ns)
from qemu_mainloop._sys.posix cimport POLLIN, PollFd, close, fd_replace, poll_wait
from qemu_mainloop._sys.thread cimport SignalMask

cdef struct Epoll:
    int ep
    PollSet refused          # member 0 is ep, once there are others
    EpollEvent *events       # the polling thread's
    int capacity

cdef bint has_pwait2 = True


cdef int epoll_open_(FDMon *mon) noexcept nogil:
    cdef Epoll *e = <Epoll *> calloc(1, sizeof(Epoll))
    if e == NULL:
        return -ENOMEM
    if grow_events(e, 64) < 64:
        return free_with(e, -ENOMEM)
    e.ep = epoll_open()
    if e.ep < 0:
        return free_with(e, e.ep)
    mon.state = e
    return 0


# How many events one call can take, at most `wanted`.
cdef int grow_events(Epoll *e, int wanted) noexcept nogil:
    cdef EpollEvent *events
    if wanted > e.capacity:
        events = <EpollEvent *> realloc(e.events, wanted * sizeof(EpollEvent))
        if events != NULL:
            e.events = events
            e.capacity = wanted
    return wanted if wanted < e.capacity else e.capacity


cdef int free_with(Epoll *e, int rc) noexcept nogil:
    free(e.events)
    free(e)
    return rc


cdef void epoll_close(FDMon *mon) noexcept nogil:
    cdef Epoll *e = <Epoll *> mon.state
    close(e.ep)
    pollset_free(&e.refused)
    free(e.events)
    free(e)


# ---- registrations

cdef int serve_by_poll(Epoll *e, int fd, uint32_t tag, int wanted) noexcept nogil:
    cdef int rc
    if e.refused.n == 0 and pollset_put(&e.refused, e.ep, 0, POLLIN) < 0:
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
    cdef uint64_t data = (<uint64_t> tag << 32) | <uint32_t> fd
    cdef int rc
    if pollset_has(&e.refused, fd):
        leave_poll(e, fd)
    if wanted == 0:
        # It may be gone with its file already, or the number may be another's.
        if now:
            epoll_change(e.ep, EPOLL_CTL_DEL, fd, 0, 0)
        return 0
    rc = epoll_change(e.ep, EPOLL_CTL_MOD if now else EPOLL_CTL_ADD, fd, wanted, data)
    if rc == -ENOENT:
        rc = epoll_change(e.ep, EPOLL_CTL_ADD, fd, wanted, data)
    elif rc == -EEXIST:
        rc = epoll_change(e.ep, EPOLL_CTL_MOD, fd, wanted, data)
    if rc < 0 and rc != -EBADF:
        return serve_by_poll(e, fd, tag, wanted)
    return rc


cdef int epoll_detach(FDMon *mon, int fd) noexcept nogil:
    cdef Epoll *e = <Epoll *> mon.state
    if pollset_has(&e.refused, fd):
        return -EAGAIN
    epoll_change(e.ep, EPOLL_CTL_DEL, fd, 0, 0)
    return 0


# ---- waiting

cdef int wait_for_epoll(Epoll *e, int64_t timeout_ns, const SignalMask *mask,
                        int max) noexcept nogil:
    global has_pwait2
    cdef int n = -ENOSYS
    cdef PollFd self_
    if has_pwait2 or (timeout_ns <= 0 and mask == NULL):
        n = epoll_wait_ns(e.ep, e.events, max, timeout_ns, mask)
        if n != -ENOSYS and n != -EPERM:
            return n
        has_pwait2 = False
    self_.fd = e.ep
    self_.events = POLLIN
    n = poll_wait(&self_, 1, timeout_ns, mask)
    return epoll_wait_ns(e.ep, e.events, max, 0, NULL) if n > 0 else n


cdef int report(Epoll *e, int n, FDReady *ready) noexcept nogil:
    cdef int i
    for i in range(n):
        ready[i].fd = <int> <uint32_t> e.events[i].data.u64
        ready[i].tag = <uint32_t> (e.events[i].data.u64 >> 32)
        ready[i].events = <int> e.events[i].events
    return n


cdef int wait_for_both(Epoll *e, int64_t timeout_ns, const SignalMask *mask, FDReady *ready,
                       int max) noexcept nogil:
    cdef int n
    cdef int from_epoll = 0
    cdef int found = poll_wait(e.refused.fds, e.refused.n, timeout_ns, mask)
    if found <= 0:
        return found
    if e.refused.fds[0].revents:
        found -= 1
        # First it grows, then its address is taken: C may look at arguments in any order.
        n = grow_events(e, max - found if max - found > 1 else 1)
        from_epoll = epoll_wait_ns(e.ep, e.events, n, 0, NULL)
        from_epoll = report(e, from_epoll, ready) if from_epoll > 0 else 0
    return from_epoll + pollset_report(&e.refused, 1, found, ready + from_epoll,
                                       max - from_epoll)


cdef int epoll_wait_(FDMon *mon, int64_t timeout_ns, const SignalMask *mask, FDReady *ready,
                     int max) noexcept nogil:
    cdef Epoll *e = <Epoll *> mon.state
    cdef int n
    if e.refused.n == 0:
        n = wait_for_epoll(e, timeout_ns, mask, grow_events(e, max))
        return report(e, n, ready) if n > 0 else n
    return wait_for_both(e, timeout_ns, mask, ready, max)


cdef int epoll_fileno(FDMon *mon) noexcept nogil:
    return (<Epoll *> mon.state).ep


cdef bint epoll_has_hidden(FDMon *mon) noexcept nogil:
    return (<Epoll *> mon.state).refused.n > 0


cdef int epoll_rebuild(FDMon *mon) noexcept nogil:
    cdef Epoll *e = <Epoll *> mon.state
    cdef int ep = epoll_open()
    if ep < 0:
        return ep
    # The number stays: a descriptor that was closed under its handler leaves a free one,
    # and nobody expects to find us behind it.
    ep = fd_replace(e.ep, ep)
    if ep == 0:
        pollset_clear(&e.refused)
    return ep


cdef FDMonOps ops
ops.name = "epoll"
ops.open = epoll_open_
ops.close = epoll_close
ops.update = epoll_update
ops.detach = epoll_detach
ops.wait = epoll_wait_
ops.fileno = epoll_fileno
ops.has_hidden = epoll_has_hidden
ops.rebuild = epoll_rebuild
fdmon_register(&ops)
