# An epoll descriptor with what belongs to it: its entries, waiting with nanoseconds.
#
# What epoll(7) does that one would not guess, and what follows here:
#
# * An entry belongs to the pair (number, open file), and goes when the last
#   duplicate of the file is closed.  So an entry can outlive its number, and a
#   number can come to name another file: MOD answers ENOENT then, ADD makes the new
#   entry, and the old one, if a duplicate keeps it, cannot be named any more.  Each
#   entry carries the registration's tag; the fd table tells by it what is stale,
#   and has the set rebuilt when a stale entry keeps reporting.
# * Regular files and some devices are refused with EPERM, entries over the user's
#   limit with ENOSPC; a sandbox may have an error of its own.  Whoever uses this
#   serves what is refused by poll(2).
# * HUP and ERR are reported whether they are asked for or not, so an entry that
#   wants nothing must not be in the set.
# * epoll_wait(2) counts in milliseconds.  epoll_pwait2(2) has nanoseconds but is
#   missing before Linux 5.11 and in some sandboxes: ppoll(2) on the epoll descriptor
#   waits instead.
# * epoll_ctl(2) takes effect while another thread waits, so an entry can be removed at
#   any time.

from libc.stdint cimport int64_t, uint32_t

from qemu_mainloop._core.fdmon cimport FDReady
from qemu_mainloop._sys.linux cimport EpollEvent
from qemu_mainloop._sys.thread cimport SignalMask


cdef struct EpollSet:
    int fd
    EpollEvent *events       # the polling thread's
    int capacity

# 0 or negative errno.
cdef int epollset_open(EpollSet *e) noexcept nogil
cdef void epollset_close(EpollSet *e) noexcept nogil
# A new, empty one under the same number: a descriptor that was closed under its handler
# leaves a free number, and nobody expects to find us behind it.
cdef int epollset_renew(EpollSet *e) noexcept nogil

# known: there is an entry already, as far as we know.  0; -EBADF; or a refusal.
cdef int epollset_put(EpollSet *e, int fd, uint32_t tag, int wanted, bint known) noexcept nogil
cdef bint epollset_is_refusal(int rc) noexcept nogil
# 0 or negative errno: the entry may be gone with its file, or the number be another's.
cdef int epollset_remove(EpollSet *e, int fd) noexcept nogil

# Count or negative errno.
cdef int epollset_wait(EpollSet *e, int64_t timeout_ns, const SignalMask *mask, FDReady *ready,
                       int max) noexcept nogil
