# poll(2): the portable fdmon, which needs no kernel object of its own.
#
# The kernel copies its answer into the array while another thread could be
# registering; so nothing is detached while it waits.

from libc.errno cimport EAGAIN, ENOMEM
from libc.stdint cimport int64_t, uint32_t
from libc.stdlib cimport calloc, free

from qemu_mainloop._core.fdmon cimport FDMon, FDMonOps, FDReady, fdmon_register
from qemu_mainloop._fdmon.pollset cimport (
    PollSet, pollset_clear, pollset_free, pollset_put, pollset_remove, pollset_report)
from qemu_mainloop._sys.posix cimport poll_wait
from qemu_mainloop._sys.thread cimport SignalMask


cdef int poll_open(FDMon *mon) noexcept nogil:
    mon.state = calloc(1, sizeof(PollSet))
    return 0 if mon.state != NULL else -ENOMEM


cdef void poll_close(FDMon *mon) noexcept nogil:
    pollset_free(<PollSet *> mon.state)
    free(mon.state)


cdef int poll_update(FDMon *mon, int fd, uint32_t tag, int now, int wanted) noexcept nogil:
    cdef PollSet *s = <PollSet *> mon.state
    if wanted:
        return pollset_put(s, fd, tag, wanted)
    pollset_remove(s, fd)
    return 0


cdef int poll_detach(FDMon *mon, int fd) noexcept nogil:
    return -EAGAIN


cdef int poll_wait_(FDMon *mon, int64_t timeout_ns, const SignalMask *mask, FDReady *ready,
                    int max) noexcept nogil:
    cdef PollSet *s = <PollSet *> mon.state
    cdef int found = poll_wait(s.fds, s.n, timeout_ns, mask)
    return pollset_report(s, 0, found, ready, max) if found > 0 else found


cdef int poll_fileno(FDMon *mon) noexcept nogil:
    return -1


cdef bint poll_has_hidden(FDMon *mon) noexcept nogil:
    return (<PollSet *> mon.state).n > 0


cdef int poll_rebuild(FDMon *mon) noexcept nogil:
    pollset_clear(<PollSet *> mon.state)
    return 0


cdef FDMonOps ops
ops.name = "poll"
ops.open = poll_open
ops.close = poll_close
ops.update = poll_update
ops.detach = poll_detach
ops.wait = poll_wait_
ops.fileno = poll_fileno
ops.has_hidden = poll_has_hidden
ops.rebuild = poll_rebuild
fdmon_register(&ops)
