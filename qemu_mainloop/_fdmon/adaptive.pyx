# The fdmon that is taken when none is named: epoll(7) for the many, poll(2) for those
# that are ready again and again, and an io_uring(7) to know without a system call that
# nothing has come.
#
# Facts.  epoll costs the same however many are idle, but of one that is ready it puts the
# entry back and polls it again at the next wait: 90 ns, and 250 ns more to begin with.
# poll(2) asks each member each time, 35 ns, ready or not.  So a descriptor that
# was reported in several waits running is worth moving, and one that is idle for most of
# them is worth moving back.  A new one begins in the hot set: many are closed before
# they have cost an epoll_ctl(2).
#
# What follows.  The hot set is a poll set whose first member is the epoll descriptor.
# What epoll refuses is in it for good.  A member's heat says how many idle waits it
# has left; a wait in which it is ready gives it some more.  Moving happens in warm and
# tend, never in wait, so that nobody changes the set but with the lock held.  Both ways of
# watching are level-triggered, and a descriptor is in one of them at a time.
#
# While another loop hosts the context all of it must show in one descriptor: then there
# is no hot set and no ring, but for what epoll refuses.
#
# What it costs: a look at each hot member in each wait, and up to `newcomers` idle ones in
# the first `fresh_heat` waits after they came.

from libc.errno cimport EAGAIN, EINTR, EINVAL, ENOMEM
from libc.stdint cimport int64_t, uint32_t
from libc.stdlib cimport calloc, free

from qemu_mainloop._core.fdmon cimport FDMon, FDMonOps, FDReady, fdmon_register
from qemu_mainloop._fdmon.epollset cimport (
    EpollSet, epollset_close, epollset_is_refusal, epollset_open, epollset_put,
    epollset_remove, epollset_renew, epollset_wait)
from qemu_mainloop._fdmon.pollset cimport (
    PollSet, pollset_clear, pollset_free, pollset_has, pollset_put, pollset_remove)
from qemu_mainloop._fdmon.quiet cimport (
    QuietRing, quiet_close, quiet_disarm, quiet_found_nothing, quiet_found_something,
    quiet_holds, quiet_init)
from qemu_mainloop._sys.atomic cimport atomic_store_int, atomic_store_ptr
from qemu_mainloop._sys.posix cimport POLLIN, poll_wait
from qemu_mainloop._sys.thread cimport SignalMask

newcomers = 512              # no more than so many begin in the hot set
fresh_heat = 16              # idle waits before a new one goes to epoll, which costs 700 ns
warm_heat = 32               # the same for one that came from there

cdef enum:
    MOST_HEAT = 64
    HEAT_OF_A_REPORT = 3     # so it stays if it is ready in one wait of four
    REFUSED_HEAT = 1 << 30   # epoll does not take it

cdef struct Adaptive:
    EpollSet cold
    PollSet hot              # member 0 is the epoll descriptor; always there
    QuietRing quiet
    bint hosted
    bint too_many            # poll(2) refused the hot set: nothing but what epoll refuses is in it


cdef int adaptive_open(FDMon *mon) noexcept nogil:
    cdef Adaptive *a = <Adaptive *> calloc(1, sizeof(Adaptive))
    cdef int rc
    if a == NULL:
        return -ENOMEM
    rc = epollset_open(&a.cold)
    if rc < 0:
        free(a)
        return rc
    if pollset_put(&a.hot, a.cold.fd, 0, POLLIN) < 0:
        epollset_close(&a.cold)
        pollset_free(&a.hot)
        free(a)
        return -ENOMEM
    quiet_init(&a.quiet)
    mon.state = a
    return 0


cdef void adaptive_close(FDMon *mon) noexcept nogil:
    cdef Adaptive *a = <Adaptive *> mon.state
    quiet_close(&a.quiet)
    epollset_close(&a.cold)
    pollset_free(&a.hot)
    free(a)


# ---- registrations; the lock is held

cdef inline bint has_hot(const Adaptive *a) noexcept nogil:
    return a.hot.n > 1


cdef int heat_up(FDMon *mon, int fd, uint32_t tag, int wanted, int heat) noexcept nogil:
    cdef Adaptive *a = <Adaptive *> mon.state
    if pollset_put(&a.hot, fd, tag, wanted) < 0:
        return -ENOMEM
    a.hot.members[a.hot.place[fd] - 1].heat = heat
    # The ring says nothing about the hot ones.  Pairs with the load in fdmon_is_quiet.
    atomic_store_ptr(<void *> &mon.bell, NULL)
    return 0


cdef int put_cold(FDMon *mon, int fd, uint32_t tag, int wanted, bint known) noexcept nogil:
    cdef Adaptive *a = <Adaptive *> mon.state
    cdef int rc = epollset_put(&a.cold, fd, tag, wanted, known)
    return heat_up(mon, fd, tag, wanted, REFUSED_HEAT) if epollset_is_refusal(rc) else rc


cdef int adaptive_update(FDMon *mon, int fd, uint32_t tag, int now, int wanted) noexcept nogil:
    cdef Adaptive *a = <Adaptive *> mon.state
    cdef int heat
    if pollset_has(&a.hot, fd):
        heat = a.hot.members[a.hot.place[fd] - 1].heat
        if wanted == 0:
            pollset_remove(&a.hot, fd)
            return 0
        if heat != REFUSED_HEAT:
            return pollset_put(&a.hot, fd, tag, wanted)
        pollset_remove(&a.hot, fd)       # the number may be another file's now
        now = 0
    if wanted == 0:
        if now:
            epollset_remove(&a.cold, fd)
        return 0
    if now == 0 and a.hot.n <= newcomers and not a.hosted and not a.too_many:
        if heat_up(mon, fd, tag, wanted, fresh_heat) == 0:
            return 0
    return put_cold(mon, fd, tag, wanted, now != 0)


cdef int adaptive_detach(FDMon *mon, int fd) noexcept nogil:
    cdef Adaptive *a = <Adaptive *> mon.state
    if pollset_has(&a.hot, fd):
        return -EAGAIN                   # poll's array must not move under the kernel
    epollset_remove(&a.cold, fd)
    return 0


cdef void adaptive_warm(FDMon *mon, int fd, uint32_t tag, int events) noexcept nogil:
    cdef Adaptive *a = <Adaptive *> mon.state
    if a.hosted or a.too_many or warm_heat == 0 or pollset_has(&a.hot, fd):
        return
    # If the entry has outlived its number nothing can take it out: leave it be.
    if epollset_remove(&a.cold, fd) < 0:
        return
    if heat_up(mon, fd, tag, events, warm_heat) < 0:
        epollset_put(&a.cold, fd, tag, events, False)


cdef int adaptive_tend(FDMon *mon) noexcept nogil:
    # Those that have cooled down go to epoll.
    cdef Adaptive *a = <Adaptive *> mon.state
    cdef int i = 1
    cdef int fd, events, rc
    cdef uint32_t tag
    atomic_store_int(&mon.restless, 0)
    while i < a.hot.n:
        if a.hot.members[i].heat > 0 and not (a.hosted and a.hot.members[i].heat < REFUSED_HEAT):
            i += 1
            continue
        fd = a.hot.fds[i].fd
        events = a.hot.fds[i].events
        tag = a.hot.members[i].tag
        rc = epollset_put(&a.cold, fd, tag, events, False)
        if rc == 0:
            pollset_remove(&a.hot, fd)   # another member has its place now
            continue
        # Refused; or closed under its handler, which poll(2) reports.
        a.hot.members[i].heat = REFUSED_HEAT
        i += 1
    return 0


# ---- waiting

cdef void ring_the_bell(FDMon *mon) noexcept nogil:
    cdef Adaptive *a = <Adaptive *> mon.state
    if a.quiet.armed and not has_hot(a):
        mon.bell_quiet = a.quiet.ring.cq_head[0]
        mon.bell_thread = a.quiet.thread
        mon.bell = a.quiet.ring.cq_tail


cdef int wait_cold(FDMon *mon, int64_t timeout_ns, const SignalMask *mask, FDReady *ready,
                   int max) noexcept nogil:
    cdef Adaptive *a = <Adaptive *> mon.state
    cdef int n
    if timeout_ns == 0:
        if quiet_holds(&a.quiet):
            if mon.bell == NULL:
                ring_the_bell(mon)
            return 0
        mon.bell = NULL
    n = epollset_wait(&a.cold, timeout_ns, mask, ready, max)
    if n > 0:
        quiet_found_something(&a.quiet)
    elif n == 0 and timeout_ns == 0 and not a.hosted:
        quiet_found_nothing(&a.quiet, a.cold.fd)
        ring_the_bell(mon)
    return n


# Reports what poll(2) found of the hot members, and lets the others cool.
cdef int report_hot(FDMon *mon, int found, FDReady *ready, int max) noexcept nogil:
    cdef Adaptive *a = <Adaptive *> mon.state
    cdef int reported = 0
    cdef int i
    for i in range(1, a.hot.n):
        if found > 0 and a.hot.fds[i].revents != 0:
            found -= 1
            if reported == max:
                continue
            ready[reported].fd = a.hot.fds[i].fd
            ready[reported].tag = a.hot.members[i].tag
            ready[reported].events = a.hot.fds[i].revents
            ready[reported].by_number = True
            reported += 1
            if a.hot.members[i].heat < MOST_HEAT:
                a.hot.members[i].heat += HEAT_OF_A_REPORT
        elif a.hot.members[i].heat < REFUSED_HEAT:
            a.hot.members[i].heat -= 1
            if a.hot.members[i].heat <= 0:
                atomic_store_int(&mon.restless, 1)
    return reported


# There are more than RLIMIT_NOFILE, which was lowered: epoll has no such limit.
cdef int cool_all(Adaptive *a, FDMon *mon) noexcept nogil:
    cdef int i
    if a.too_many:
        return -EINVAL
    a.too_many = True
    for i in range(1, a.hot.n):
        if a.hot.members[i].heat < REFUSED_HEAT:
            a.hot.members[i].heat = 0
    atomic_store_int(&mon.restless, 1)
    return -EINTR


cdef int wait_hot(FDMon *mon, int64_t timeout_ns, const SignalMask *mask, FDReady *ready,
                  int max) noexcept nogil:
    # If nothing can have come to epoll it need not be asked.
    cdef Adaptive *a = <Adaptive *> mon.state
    cdef int first = 1 if timeout_ns == 0 and quiet_holds(&a.quiet) else 0
    cdef int found = poll_wait(a.hot.fds + first, a.hot.n - first, timeout_ns, mask)
    cdef int n, room
    if found < 0:
        return cool_all(a, mon) if found == -EINVAL else found
    if first == 0 and a.hot.fds[0].revents == 0 and timeout_ns == 0 and not a.hosted:
        quiet_found_nothing(&a.quiet, a.cold.fd)
    if first == 1 or a.hot.fds[0].revents == 0:
        return report_hot(mon, found, ready, max)
    quiet_found_something(&a.quiet)
    # At least one place for epoll's, so that neither side starves.
    room = max - 1 if max > 1 else 1
    n = report_hot(mon, found - 1, ready, room)
    room = epollset_wait(&a.cold, 0, NULL, ready + n, max - n) if max > n else 0
    return n + room if room > 0 else n


cdef int adaptive_wait(FDMon *mon, int64_t timeout_ns, const SignalMask *mask, FDReady *ready,
                       int max) noexcept nogil:
    if has_hot(<Adaptive *> mon.state):
        return wait_hot(mon, timeout_ns, mask, ready, max)
    return wait_cold(mon, timeout_ns, mask, ready, max)


# ---- the rest

cdef int adaptive_fileno(FDMon *mon) noexcept nogil:
    # Whoever asks shows it to another loop, for good.
    cdef Adaptive *a = <Adaptive *> mon.state
    if not a.hosted:
        a.hosted = True
        mon.bell = NULL
        quiet_disarm(&a.quiet)
        adaptive_tend(mon)
    return a.cold.fd


cdef bint adaptive_has_hidden(FDMon *mon) noexcept nogil:
    return has_hot(<Adaptive *> mon.state)


cdef int adaptive_rebuild(FDMon *mon) noexcept nogil:
    cdef Adaptive *a = <Adaptive *> mon.state
    cdef int rc
    mon.bell = NULL
    quiet_disarm(&a.quiet)               # it watches the old one
    rc = epollset_renew(&a.cold)
    if rc == 0:
        pollset_clear(&a.hot)
        rc = pollset_put(&a.hot, a.cold.fd, 0, POLLIN)       # there is room for it
    return rc


cdef FDMonOps ops
ops.name = "adaptive"
ops.open = adaptive_open
ops.close = adaptive_close
ops.update = adaptive_update
ops.detach = adaptive_detach
ops.wait = adaptive_wait
ops.fileno = adaptive_fileno
ops.has_hidden = adaptive_has_hidden
ops.rebuild = adaptive_rebuild
ops.warm = adaptive_warm
ops.tend = adaptive_tend
fdmon_register(&ops)
