# io_uring(7): the requests to poll and the wait in one system call.
#
# A poll request completes once; what was reported is asked for again in the next wait, with
# whatever else has changed, and the kernel looks at each as it takes it.  That is what
# makes it level-triggered: a completion that has come before a wait began is not reported,
# since what made it may be gone; its descriptor is asked for again, in the same call.
#
# A request holds its file, so that a removal is told to the kernel at once: by a request of
# the polling thread's, or by a call that cancels it under a thread that waits.  And it
# belongs to the thread that made it, which the kernel uses to complete it; when another
# one polls, all are made anew.
#
# Where the kernel made a ring but lets nobody enter it (a sandbox that came later) poll(2)
# serves all.
#
# Taken when it is named.  It is not faster than what adaptive does: each event costs a
# request and a completion, which is more than its place in a poll set.

from libc.errno cimport EAGAIN, EBADF, EBUSY, EINTR, ENOMEM, ETIME
from libc.stdint cimport int64_t, uint32_t, uint64_t, uintptr_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memset

from qemu_mainloop._core.fdmon cimport FDMon, FDMonOps, FDReady, fdmon_register
from qemu_mainloop._fdmon.pollset cimport (
    PollSet, pollset_clear, pollset_free, pollset_put, pollset_remove, pollset_report)
from qemu_mainloop._fdmon.quiet cimport quiet_note_closing
from qemu_mainloop._sys.atomic cimport atomic_load_int, atomic_store_int
from qemu_mainloop._sys.clock cimport clock_monotonic_ns
from qemu_mainloop._sys.posix cimport POLLNVAL, poll_wait
from qemu_mainloop._sys.thread cimport SignalMask, thread_self
from qemu_mainloop._sys.uring cimport (
    Ring, RingResult, ring_cancel, ring_close, ring_enter, ring_has_overflown, ring_open,
    ring_poll_add, ring_poll_remove, ring_take)

cdef enum:
    ENTRIES = 256            # requests that one call takes

cdef uint64_t A_REMOVAL = <uint64_t> -1        # what it carries; no poll does
cdef int64_t BREAK_NS = 1000000                # after the kernel had no memory

cdef struct Entry:
    uint32_t tag
    int wanted               # 0: not watched; atomic, as detached
    int turn                 # atomic; of its polls: a completion of another one is stale
    int detached             # atomic; by another thread while this one waited
    int next_                # in the queue: descriptor + 1
    bint in_queue            # to be asked for in the next wait
    bint armed               # the kernel has a poll, or has completed it

cdef struct IOUring:
    Ring ring
    Entry *entries           # by descriptor
    int size
    int watched
    int first                # of the queue: descriptor + 1; 0: it is empty
    int last
    int queued
    uintptr_t thread         # whose the polls are
    bint refused             # the ring is closed, and all are in:
    PollSet polled


cdef int io_uring_open(FDMon *mon) noexcept nogil:
    cdef IOUring *u = <IOUring *> calloc(1, sizeof(IOUring))
    cdef int rc
    if u == NULL:
        return -ENOMEM
    rc = ring_open(&u.ring, ENTRIES)
    if rc < 0:
        free(u)
        return rc
    mon.state = u
    return 0


cdef void io_uring_close(FDMon *mon) noexcept nogil:
    cdef IOUring *u = <IOUring *> mon.state
    quiet_note_closing()
    ring_close(&u.ring)
    pollset_free(&u.polled)
    free(u.entries)
    free(u)


# ---- the queue of what is to be asked for

cdef void enqueue(IOUring *u, int fd) noexcept nogil:
    cdef Entry *e = &u.entries[fd]
    if e.in_queue:
        return
    e.in_queue = True
    e.next_ = 0
    if u.first == 0:
        u.first = fd + 1
    else:
        u.entries[u.last - 1].next_ = fd + 1
    u.last = fd + 1
    u.queued += 1


cdef uint64_t request_of(Entry *e, int fd) noexcept nogil:
    return (<uint64_t> <uint32_t> atomic_load_int(&e.turn) << 32) | <uint32_t> fd


# Puts requests into the ring while there is room, at most `most`, for the first `left` of
# the queue.  How many of these are left.
cdef int ask(IOUring *u, int left, int most) noexcept nogil:
    cdef Entry *e
    cdef int fd, wanted
    while left > 0 and most > 0:
        fd = u.first - 1
        e = &u.entries[fd]
        wanted = atomic_load_int(&e.wanted)
        if wanted and not e.armed:
            if ring_poll_add(&u.ring, fd, wanted, request_of(e, fd)) < 0:
                break
            e.armed = True
            most -= 1
        u.first = e.next_
        e.in_queue = False
        u.queued -= 1
        left -= 1
    return left


# The polling thread is another one now: its polls are to be its own.
cdef void take_over(IOUring *u) noexcept nogil:
    cdef int fd
    for fd in range(u.size):
        if u.entries[fd].armed:
            forget(u, fd)
            enqueue(u, fd)
    u.thread = thread_self()


# ---- registrations

# The kernel lets go of the file, at the latest when the next request reaches it.
cdef void forget(IOUring *u, int fd) noexcept nogil:
    cdef Entry *e = &u.entries[fd]
    if ring_poll_remove(&u.ring, request_of(e, fd), A_REMOVAL) < 0:
        ring_enter(&u.ring, 0, 0, NULL)
        ring_poll_remove(&u.ring, request_of(e, fd), A_REMOVAL)
    atomic_store_int(&e.turn, e.turn + 1)
    e.armed = False


cdef int grow(IOUring *u, int fd) noexcept nogil:
    cdef int size = u.size if u.size else 16
    cdef Entry *entries
    while size <= fd:
        size *= 2
    entries = <Entry *> realloc(u.entries, size * sizeof(Entry))
    if entries == NULL:
        return -ENOMEM
    memset(entries + u.size, 0, (size - u.size) * sizeof(Entry))
    u.entries = entries
    u.size = size
    return 0


cdef int io_uring_update(FDMon *mon, int fd, uint32_t tag, int now, int wanted) noexcept nogil:
    cdef IOUring *u = <IOUring *> mon.state
    cdef Entry *e
    if fd >= u.size:
        if wanted == 0:
            return 0
        if grow(u, fd) < 0:
            return -ENOMEM
    e = &u.entries[fd]
    if u.refused:
        if wanted == 0:
            pollset_remove(&u.polled, fd)
        elif pollset_put(&u.polled, fd, tag, wanted) < 0:
            return -ENOMEM
    elif e.armed:
        forget(u, fd)
        ring_enter(&u.ring, 0, 0, NULL)
        if u.ring.queued:
            u.thread = 0                 # what is left may become another thread's
    u.watched += (wanted != 0) - (e.wanted != 0)
    atomic_store_int(&e.detached, 0)
    e.tag = tag
    e.wanted = wanted
    if wanted:
        enqueue(u, fd)
    return 0


cdef int io_uring_tend(FDMon *mon) noexcept nogil:
    # The ring cannot be entered any more.
    cdef IOUring *u = <IOUring *> mon.state
    cdef int fd
    for fd in range(u.size):
        if (u.entries[fd].wanted and pollset_put(&u.polled, fd, u.entries[fd].tag,
                                                 u.entries[fd].wanted) < 0):
            return -ENOMEM
    atomic_store_int(&mon.restless, 0)
    quiet_note_closing()
    ring_close(&u.ring)
    u.refused = True
    return 0


cdef int io_uring_detach(FDMon *mon, int fd) noexcept nogil:
    # The thread that waits meanwhile changes nothing of one that is armed and not complete.
    cdef IOUring *u = <IOUring *> mon.state
    cdef Entry *e
    if fd >= u.size or u.entries[fd].wanted == 0:
        return 0
    if u.refused:
        return -EAGAIN                   # poll's array must not move under the kernel
    e = &u.entries[fd]
    atomic_store_int(&e.detached, 1)
    if ring_cancel(&u.ring, request_of(e, fd)) < 0:
        atomic_store_int(&e.detached, 0)
        return -EAGAIN                   # not asked for yet, or complete
    atomic_store_int(&e.wanted, 0)
    u.watched -= 1
    return 0


# ---- waiting

# What a completion means; True: it is reported.
cdef bint settle(IOUring *u, const RingResult *r, FDReady *ready) noexcept nogil:
    cdef int fd = <int> <uint32_t> r.data
    cdef Entry *e
    if r.data == A_REMOVAL or fd >= u.size:
        return False
    e = &u.entries[fd]
    if not e.armed or r.data != request_of(e, fd):
        return False
    e.armed = False
    atomic_store_int(&e.turn, e.turn + 1)
    if atomic_load_int(&e.detached):
        return False
    enqueue(u, fd)
    # Others than EBADF are no fault of the descriptor's: cancelled with its thread, or the
    # kernel had no memory.
    if ready == NULL or (r.result < 0 and r.result != -EBADF):
        return False
    ready.fd = fd
    ready.tag = e.tag
    ready.events = r.result if r.result >= 0 else POLLNVAL
    ready.by_number = r.result < 0
    return True


cdef int take(IOUring *u, FDReady *ready, int max) noexcept nogil:
    cdef RingResult result
    cdef int n = 0
    while n < max and ring_take(&u.ring, &result):
        n += settle(u, &result, &ready[n])
    return n


# What a wait that brought no report is to say.
cdef int nothing(FDMon *mon, int rc, int64_t timeout_ns, int64_t begin_ns,
                 const SignalMask *mask) noexcept nogil:
    cdef int64_t break_ns = BREAK_NS
    if rc == -EAGAIN or rc == -EBUSY or rc == -ENOMEM:
        if 0 <= timeout_ns < BREAK_NS:
            break_ns = timeout_ns
        return poll_wait(NULL, 0, break_ns, mask)
    if rc < 0 and rc != -EINTR and rc != -ETIME:
        atomic_store_int(&mon.restless, 1)
        return -EINTR
    if timeout_ns == 0 or rc == -ETIME:
        return 0
    # A call that took requests does not say how its wait ended.
    if rc >= 0 and timeout_ns > 0 and clock_monotonic_ns() - begin_ns >= timeout_ns:
        return 0
    return -EINTR


# What came between two waits is asked for anew.
cdef void take_stale(IOUring *u) noexcept nogil:
    cdef RingResult result
    while True:
        while ring_take(&u.ring, &result):
            settle(u, &result, NULL)
        # What found no room in the ring is in the kernel's hands until it is entered.
        if not ring_has_overflown(&u.ring) or ring_enter(&u.ring, 0, 0, NULL) < 0:
            return


cdef int io_uring_wait(FDMon *mon, int64_t timeout_ns, const SignalMask *mask, FDReady *ready,
                       int max) noexcept nogil:
    cdef IOUring *u = <IOUring *> mon.state
    cdef int64_t begin_ns = 0
    cdef int n = 0
    cdef int left, rc
    cdef bint sleeps = False
    if u.refused:
        n = poll_wait(u.polled.fds, u.polled.n, timeout_ns, mask)
        return pollset_report(&u.polled, 0, n, ready, max) if n > 0 else n
    take_stale(u)
    if u.thread != thread_self():
        take_over(u)
    left = u.queued                      # what is reported here is asked for in the next wait
    while True:
        left = ask(u, left, max - n)
        sleeps = n == 0 and timeout_ns != 0 and u.first == 0
        if sleeps and timeout_ns > 0:
            begin_ns = clock_monotonic_ns()
        rc = ring_enter(&u.ring, 1 if sleeps else 0, timeout_ns, mask)
        n += take(u, ready + n, max - n)
        if left == 0 or n == max or rc <= 0:
            break
    return n if n > 0 else nothing(mon, rc, timeout_ns, begin_ns, mask)


cdef int io_uring_fileno(FDMon *mon) noexcept nogil:
    return -1                            # the next wait has first to ask


cdef bint io_uring_has_hidden(FDMon *mon) noexcept nogil:
    return (<IOUring *> mon.state).watched > 0


cdef int io_uring_rebuild(FDMon *mon) noexcept nogil:
    cdef IOUring *u = <IOUring *> mon.state
    cdef int fd
    for fd in range(u.size):
        if u.entries[fd].armed and not u.refused:
            forget(u, fd)
        u.entries[fd].wanted = 0
    if not u.refused:
        ring_enter(&u.ring, 0, 0, NULL)
    pollset_clear(&u.polled)
    u.watched = 0
    return 0


cdef FDMonOps ops
ops.name = "io_uring"
ops.open = io_uring_open
ops.close = io_uring_close
ops.update = io_uring_update
ops.detach = io_uring_detach
ops.wait = io_uring_wait
ops.fileno = io_uring_fileno
ops.has_hidden = io_uring_has_hidden
ops.rebuild = io_uring_rebuild
ops.tend = io_uring_tend
fdmon_register(&ops)
