# kqueue(2): the fdmon of macOS and the BSDs.
#
# What update() is told reaches the kernel with the next wait, in one call; once fileno() was
# asked for, at once.  A file on disk is not ready at its end, for a queue, and some devices
# it refuses: these are served by poll(2), in a set whose first member is the queue.  A wait
# with a signal mask, which the call does not take, is a poll(2) of the queue.

from libc.errno cimport EAGAIN, EBADF, EINTR, ENOMEM
from libc.stdint cimport int16_t, int64_t, uint32_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from qemu_mainloop._core.fdmon cimport FDMon, FDMonOps, FDReady, fdmon_register
from qemu_mainloop._fdmon.kqueueset cimport (
    KQUEUE_BUSY, KQUEUE_SETTLED, KqueueSet, KqueueSlot, kqueueset_answers, kqueueset_changes,
    kqueueset_close, kqueueset_forget, kqueueset_grow, kqueueset_make_room, kqueueset_note,
    kqueueset_open, kqueueset_put, kqueueset_report, kqueueset_settle)
from qemu_mainloop._fdmon.pollset cimport (
    PollSet, pollset_clear, pollset_free, pollset_put, pollset_remove, pollset_report)
from qemu_mainloop._sys.atomic cimport atomic_load_acquire_int
from qemu_mainloop._sys.kqueue cimport kqueue_call, kqueue_suits
from qemu_mainloop._sys.posix cimport POLLIN, POLLNVAL, PollFd, poll_wait
from qemu_mainloop._sys.thread cimport SignalMask

cdef struct Kqueue:
    KqueueSet set
    PollSet refused          # member 0 is the queue, once there are others
    bint shown               # fileno() was asked for


cdef int queue_open(FDMon *mon) noexcept nogil:
    cdef Kqueue *k = <Kqueue *> calloc(1, sizeof(Kqueue))
    cdef int rc
    if k == NULL:
        return -ENOMEM
    rc = kqueueset_open(&k.set)
    if rc < 0:
        free(k)
        return rc
    mon.state = k
    return 0


cdef void queue_close(FDMon *mon) noexcept nogil:
    cdef Kqueue *k = <Kqueue *> mon.state
    kqueueset_close(&k.set)
    pollset_free(&k.refused)
    free(k)


# ---- what poll(2) serves

cdef int serve_by_poll(Kqueue *k, int fd, uint32_t tag, int wanted) noexcept nogil:
    cdef int rc
    if k.refused.n == 0 and pollset_put(&k.refused, k.set.fd, 0, POLLIN) < 0:
        return -ENOMEM
    rc = pollset_put(&k.refused, fd, tag, wanted)
    if rc == 0:
        k.set.slots[fd].by_poll = True
        kqueueset_settle(&k.set.slots[fd])
    clear_if_alone(k)
    return rc


cdef void leave_poll(Kqueue *k, int fd) noexcept nogil:
    k.set.slots[fd].by_poll = False
    pollset_remove(&k.refused, fd)
    clear_if_alone(k)
    kqueueset_settle(&k.set.slots[fd])


cdef void clear_if_alone(Kqueue *k) noexcept nogil:
    if k.refused.n == 1:
        pollset_clear(&k.refused)


# ---- what the kernel is to be told

# After the changes were made.  Of a number that is not open a report is made, if there is
# room for it, and else it stays to be told; one that the kernel refuses is poll's.
# How many reports, or -ENOMEM.
cdef int settle(Kqueue *k, FDReady *ready, int max) noexcept nogil:
    cdef KqueueSlot *s
    cdef int i, fd, wanted
    cdef int kept = 0
    cdef int closed = 0
    cdef int rc = 0
    for i in range(k.set.n_pending):
        fd = k.set.pending[i]
        s = &k.set.slots[fd]
        wanted = s.wanted
        s.inside = <int16_t> (wanted & ~s.failed)
        if s.failed and s.error == EBADF:
            if closed == max:
                k.set.pending[kept] = fd
                kept += 1
                continue
            kqueueset_put(&ready[closed], fd, s.tag, POLLNVAL)
            closed += 1
            s.wanted = s.inside = 0
        elif s.failed:
            s.wanted = 0
            if serve_by_poll(k, fd, s.tag, wanted) < 0:
                s.wanted = <int16_t> wanted
                rc = -ENOMEM
            if rc < 0 or s.inside:
                k.set.pending[kept] = fd
                kept += 1
                continue
        s.pending = False
        kqueueset_settle(s)
    k.set.n_pending = kept
    return rc if rc < 0 else closed


# Makes the changes without waiting.  As settle, or another negative errno.
cdef int flush(Kqueue *k, FDReady *ready, int max) noexcept nogil:
    cdef int _round, n
    cdef int rc = 0
    for _round in range(2):              # the second takes out what is poll's since the first
        if k.set.n_pending == 0 or rc != 0:
            break
        n = kqueueset_changes(&k.set, True)
        rc = kqueue_call(k.set.fd, k.set.changes, n, k.set.events, k.set.room, 0)
        if rc < 0:
            return rc
        kqueueset_answers(&k.set, rc)
        rc = settle(k, ready, max)
    return rc


cdef int queue_update(FDMon *mon, int fd, uint32_t tag, int now, int wanted) noexcept nogil:
    cdef Kqueue *k = <Kqueue *> mon.state
    cdef KqueueSlot *s
    cdef bint fresh
    cdef int rc = 1
    if fd >= k.set.places:
        if wanted == 0:
            return 0
        if kqueueset_grow(&k.set, fd) < 0:
            return -ENOMEM
    s = &k.set.slots[fd]
    fresh = now == 0 or s.tag != tag
    if s.by_poll:
        if wanted and not fresh:
            return pollset_put(&k.refused, fd, tag, wanted)
        leave_poll(k, fd)
    if wanted and fresh:
        rc = kqueue_suits(fd)
    s.tag = tag
    s.wanted = <int16_t> (wanted if rc > 0 else 0)
    if s.wanted or s.inside:
        kqueueset_note(&k.set, fd)
    if rc <= 0:
        return serve_by_poll(k, fd, tag, wanted) if rc == 0 else rc
    return tell_at_once(k, fd) if k.shown else 0


cdef int tell_at_once(Kqueue *k, int fd) noexcept nogil:
    cdef KqueueSlot *s = &k.set.slots[fd]
    cdef int rc = flush(k, NULL, 0)
    if s.pending and s.failed and s.error == EBADF:
        s.wanted = s.inside = 0
        return -EBADF
    return rc


cdef int queue_detach(FDMon *mon, int fd) noexcept nogil:
    cdef Kqueue *k = <Kqueue *> mon.state
    cdef KqueueSlot *s
    cdef int state
    if fd >= k.set.places:
        return 0
    s = &k.set.slots[fd]
    state = atomic_load_acquire_int(&s.state)
    if state == KQUEUE_BUSY:
        return -EAGAIN
    if state == KQUEUE_SETTLED:
        kqueueset_forget(&k.set, fd)
    return 0


# ---- waiting

# Tells the kernel what is to be told and waits, in one call.
cdef int tell_and_wait(Kqueue *k, int64_t timeout_ns, FDReady *ready, int max) noexcept nogil:
    cdef int closed = 0
    cdef int n, changes, failed, most
    kqueueset_make_room(&k.set, 2 * max)                # without it there are fewer at a time
    while True:
        changes = kqueueset_changes(&k.set, False)
        most = 2 * max if 2 * max > changes else changes
        most = most if most < k.set.room else k.set.room
        n = kqueue_call(k.set.fd, k.set.changes, changes, k.set.events, most, timeout_ns)
        if changes == 0 or (n < 0 and n != -EINTR):
            return kqueueset_report(&k.set, n, ready, max) if n > 0 else n
        failed = kqueueset_answers(&k.set, n)
        closed = settle(k, ready, max)
        if closed or n < 0:
            return closed if closed else n
        if failed == 0:
            return kqueueset_report(&k.set, n, ready, max)
        if k.refused.n:
            return 0                     # poll's are to be waited for, too


cdef int queue_wait(FDMon *mon, int64_t timeout_ns, const SignalMask *mask, FDReady *ready,
                    int max) noexcept nogil:
    cdef Kqueue *k = <Kqueue *> mon.state
    cdef PollFd self_
    cdef int n, found
    if k.refused.n == 0 and (mask == NULL or timeout_ns == 0):
        n = tell_and_wait(k, timeout_ns, ready, max)
        # Unless the kernel has just refused something, and said nothing else.
        if n != 0 or k.refused.n == 0:
            return n
    n = flush(k, ready, max)
    if n != 0:
        return n
    if k.refused.n == 0:
        self_.fd = k.set.fd
        self_.events = POLLIN
        found = poll_wait(&self_, 1, timeout_ns, mask)
        return tell_and_wait(k, 0, ready, max) if found > 0 else found
    return wait_for_both(k, timeout_ns, mask, ready, max)


cdef int wait_for_both(Kqueue *k, int64_t timeout_ns, const SignalMask *mask, FDReady *ready,
                       int max) noexcept nogil:
    cdef int n
    cdef int from_queue = 0
    cdef int found = poll_wait(k.refused.fds, k.refused.n, timeout_ns, mask)
    if found <= 0:
        return found
    if k.refused.fds[0].revents:
        found -= 1
        n = max - found if max - found > 1 else 1
        from_queue = tell_and_wait(k, 0, ready, n)
        from_queue = from_queue if from_queue > 0 else 0
    return from_queue + pollset_report(&k.refused, 1, found, ready + from_queue,
                                       max - from_queue)


cdef int queue_fileno(FDMon *mon) noexcept nogil:
    cdef Kqueue *k = <Kqueue *> mon.state
    k.shown = True
    flush(k, NULL, 0)
    return k.set.fd


cdef bint queue_has_hidden(FDMon *mon) noexcept nogil:
    # Shown, nothing is left to be told but what the kernel could not be told.
    cdef Kqueue *k = <Kqueue *> mon.state
    return k.refused.n > 0 or (k.shown and k.set.n_pending > 0)


cdef int queue_rebuild(FDMon *mon) noexcept nogil:
    cdef Kqueue *k = <Kqueue *> mon.state
    cdef int fd
    for fd in range(k.set.places):
        if k.set.slots[fd].inside:
            kqueueset_forget(&k.set, fd)
    memset(k.set.slots, 0, k.set.places * sizeof(KqueueSlot))
    k.set.n_pending = 0
    pollset_clear(&k.refused)
    return 0


cdef FDMonOps ops
ops.name = "kqueue"
ops.open = queue_open
ops.close = queue_close
ops.update = queue_update
ops.detach = queue_detach
ops.wait = queue_wait
ops.fileno = queue_fileno
ops.has_hidden = queue_has_hidden
ops.rebuild = queue_rebuild
fdmon_register(&ops)
