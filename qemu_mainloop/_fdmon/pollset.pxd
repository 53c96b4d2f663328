# A growing array for poll(2) with a tag beside each member and a way to find one
# by its descriptor: all of the poll fdmon, and what epoll refuses of the epoll one.

from libc.stdint cimport uint32_t

from qemu_mainloop._core.fdmon cimport FDReady
from qemu_mainloop._sys.posix cimport PollFd


cdef struct PollMember:
    uint32_t tag
    int heat                 # the adaptive fdmon's

cdef struct PollSet:
    PollFd *fds
    PollMember *members      # beside fds
    int n
    int capacity
    int *place               # by descriptor: index + 1; 0: not here
    int places

# 0, -ENOMEM.  Adds fd, or changes its events and tag.
cdef int pollset_put(PollSet *s, int fd, uint32_t tag, int events) noexcept nogil
cdef bint pollset_has(const PollSet *s, int fd) noexcept nogil
cdef void pollset_remove(PollSet *s, int fd) noexcept nogil
cdef void pollset_clear(PollSet *s) noexcept nogil
cdef void pollset_free(PollSet *s) noexcept nogil
# After poll(2) found `found` of the members from `first` on: reports them.
cdef int pollset_report(const PollSet *s, int first, int found, FDReady *ready,
                        int max) noexcept nogil
