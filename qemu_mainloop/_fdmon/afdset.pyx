# Sockets, and asking the driver of all of them at once.

from libc.errno cimport EINVAL, ENOMEM
from libc.stdint cimport INT64_MAX, uintptr_t
from libc.stdlib cimport free, realloc
from libc.string cimport memset

from qemu_mainloop._fdmon.pollset cimport (
    pollset_clear, pollset_free, pollset_put, pollset_remove)
from qemu_mainloop._sys.posix cimport POLLNVAL, fd_is_open, fd_may_have_handler
from qemu_mainloop._sys.win32 cimport (
    AfdSocket, afd_ask, afd_base, afd_close, afd_end, afd_events, afd_open, afd_poll_events,
    afd_size, winsock_start)


cdef int afdset_open(AfdSet *s) noexcept nogil:
    cdef int rc = winsock_start()
    memset(s, 0, sizeof(AfdSet))
    return afd_open(&s.request) if rc == 0 else rc


cdef void afdset_close(AfdSet *s) noexcept nogil:
    afd_close(&s.request)
    pollset_free(&s.members)
    free(s.asked)
    free(s.found)


cdef int grow(AfdSet *s) noexcept nogil:
    cdef int room = 2 * s.room if s.room else 16
    cdef AfdList *asked = <AfdList *> realloc(s.asked, afd_size(room))
    cdef AfdList *found
    if asked == NULL:
        return -ENOMEM
    s.asked = asked
    found = <AfdList *> realloc(s.found, afd_size(room))
    if found == NULL:
        return -ENOMEM
    s.found = found
    s.room = room
    return 0


cdef int afdset_put(AfdSet *s, int fd, unsigned int tag, int events) noexcept nogil:
    if s.members.n == s.room and grow(s) < 0:
        return -ENOMEM
    s.stale = True
    return pollset_put(&s.members, fd, tag, events)


cdef void afdset_remove(AfdSet *s, int fd) noexcept nogil:
    s.stale = True
    pollset_remove(&s.members, fd)


cdef void afdset_clear(AfdSet *s) noexcept nogil:
    s.stale = True
    pollset_clear(&s.members)


cdef void list_members(AfdSet *s) noexcept nogil:
    cdef int i
    if not s.stale:
        return
    s.asked.count = s.members.n
    for i in range(s.members.n):
        s.asked.sockets[i].handle = afd_base(s.members.fds[i].fd)
        s.asked.sockets[i].events = afd_events(s.members.fds[i].events)
    s.stale = False


# ---- looking

# The index of the member that the driver means.
cdef int member_of(const AfdSet *s, uintptr_t handle) noexcept nogil:
    cdef int i
    # Most often its number is the handle.
    if handle < <uintptr_t> s.members.places:
        i = s.members.place[handle] - 1
        if i >= 0 and s.asked.sockets[i].handle == handle:
            return i
    for i in range(s.members.n):
        if s.asked.sockets[i].handle == handle:
            return i
    return -1


cdef void report(const AfdSet *s, int i, int events, FDReady *ready) noexcept nogil:
    ready.fd = s.members.fds[i].fd
    ready.tag = s.members.members[i].tag
    ready.events = events
    ready.by_number = True


# The driver refuses a list with one that is closed: those are to be found.
cdef int report_closed(AfdSet *s, FDReady *ready, int max) noexcept nogil:
    cdef int i, fd
    cdef int reported = 0
    for i in range(s.members.n):
        fd = s.members.fds[i].fd
        if reported < max and not (fd_is_open(fd) and fd_may_have_handler(fd)):
            report(s, i, POLLNVAL, &ready[reported])
            reported += 1
    s.stale = True               # and the number may be another socket's by now
    return reported if reported > 0 else -EINVAL


cdef int afdset_look(AfdSet *s, FDReady *ready, int max) noexcept nogil:
    cdef int reported = 0
    cdef int i, j, events, rc
    cdef const AfdSocket *socket
    if s.members.n == 0:
        return 0
    list_members(s)
    rc = afd_ask(&s.request, s.asked, s.found, 0)
    if rc < 0:
        return report_closed(s, ready, max)
    if rc == 0:
        afd_end(&s.request, s.found)
    for j in range(<int> s.found.count):
        socket = &s.found.sockets[j]
        i = member_of(s, socket.handle)
        if i < 0 or reported == max:
            continue
        events = afd_poll_events(socket.events, s.members.fds[i].events)
        if events:
            report(s, i, events, &ready[reported])
            reported += 1
    return reported


cdef bint afdset_begin_wait(AfdSet *s) noexcept nogil:
    list_members(s)
    return afd_ask(&s.request, s.asked, s.found, INT64_MAX) == 0


cdef void afdset_end_wait(AfdSet *s) noexcept nogil:
    afd_end(&s.request, s.found)
