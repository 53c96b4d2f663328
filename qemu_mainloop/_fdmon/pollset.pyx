# A growing array for poll(2).

from libc.errno cimport ENOMEM
from libc.stdlib cimport free, realloc
from libc.string cimport memset


cdef int grow_places(PollSet *s, int fd) noexcept nogil:
    cdef int places = 2 * s.places if s.places else 64
    cdef int *place
    while places <= fd:
        places *= 2
    place = <int *> realloc(s.place, places * sizeof(int))
    if place == NULL:
        return -ENOMEM
    memset(place + s.places, 0, (places - s.places) * sizeof(int))
    s.place = place
    s.places = places
    return 0


cdef int grow(PollSet *s) noexcept nogil:
    cdef int capacity = 2 * s.capacity if s.capacity else 16
    cdef PollFd *fds = <PollFd *> realloc(s.fds, capacity * sizeof(PollFd))
    cdef PollMember *members
    if fds == NULL:
        return -ENOMEM
    s.fds = fds
    members = <PollMember *> realloc(s.members, capacity * sizeof(PollMember))
    if members == NULL:
        return -ENOMEM
    s.members = members
    s.capacity = capacity
    return 0


cdef bint pollset_has(const PollSet *s, int fd) noexcept nogil:
    return fd < s.places and s.place[fd] != 0


cdef int pollset_put(PollSet *s, int fd, uint32_t tag, int events) noexcept nogil:
    cdef int i
    if fd >= s.places and grow_places(s, fd) < 0:
        return -ENOMEM
    if s.place[fd] == 0:
        if s.n == s.capacity and grow(s) < 0:
            return -ENOMEM
        s.members[s.n].heat = 0
        s.n += 1
        s.place[fd] = s.n
    i = s.place[fd] - 1
    s.fds[i].fd = fd
    s.fds[i].events = <short> events
    s.fds[i].revents = 0
    s.members[i].tag = tag
    return 0


cdef void pollset_remove(PollSet *s, int fd) noexcept nogil:
    cdef int i
    if not pollset_has(s, fd):
        return
    i = s.place[fd] - 1
    s.place[fd] = 0
    s.n -= 1
    if i < s.n:
        s.fds[i] = s.fds[s.n]
        s.members[i] = s.members[s.n]
        s.place[s.fds[i].fd] = i + 1


cdef void pollset_clear(PollSet *s) noexcept nogil:
    cdef int i
    for i in range(s.n):
        s.place[s.fds[i].fd] = 0
    s.n = 0


cdef void pollset_free(PollSet *s) noexcept nogil:
    free(s.fds)
    free(s.members)
    free(s.place)
    s.fds = NULL
    s.members = NULL
    s.place = NULL
    s.n = s.capacity = s.places = 0


cdef int pollset_report(const PollSet *s, int first, int found, FDReady *ready,
                        int max) noexcept nogil:
    cdef int reported = 0
    cdef int i = first
    while i < s.n and reported < found and reported < max:
        if s.fds[i].revents != 0:
            ready[reported].fd = s.fds[i].fd
            ready[reported].tag = s.members[i].tag
            ready[reported].events = s.fds[i].revents
            ready[reported].by_number = True
            reported += 1
        i += 1
    return reported
