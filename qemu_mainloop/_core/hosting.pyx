# Being hosted by another loop.

from qemu_mainloop._core.bh cimport bh_timeout_ns
from qemu_mainloop._core.fork cimport fork_generation
from qemu_mainloop._core.fdmon cimport fdmon_close, fdmon_find, fdmon_open
from qemu_mainloop._core.fdtable cimport (
    STALE_WAITS, fd_table_is_stale, fd_table_rebuild_later, fd_table_restart,
    fd_table_timeout_ns)
from qemu_mainloop._core.clock cimport CLOCKS
from qemu_mainloop._core.timer cimport timer_list_deadline_ns
from qemu_mainloop._core.wakeup cimport wakeup_is_notified, wakeup_prepare_sleep
from qemu_mainloop._sys.atomic cimport atomic_load_int, atomic_store_int
from qemu_mainloop._sys.clock cimport clock_monotonic_ns
from qemu_mainloop._sys.fdsource cimport (
    source_close, timerfd_arm, timerfd_clear, timerfd_open)
from qemu_mainloop._sys.hostfd cimport hostfd_add, hostfd_open, hostfd_remove
from qemu_mainloop._sys.leaflock cimport leaf_lock, leaf_unlock
from qemu_mainloop._sys.notifier cimport notifier_set
from qemu_mainloop._sys.thread cimport mutex_init, mutex_lock, mutex_unlock

cdef int64_t FAR_NS = 1 << 62    # an alarm at or beyond it is none


cdef void hosting_init(Hosting *h, FdTable *fds, TimerGroup *timers, BHQueue *bhs,
                       Wakeup *wakeup) noexcept nogil:
    h.fd = h.timer_fd = h.shown_fd = -1
    h.idle_until_ns = -1
    mutex_init(&h.lock)
    h.fds = fds
    h.timers = timers
    h.bhs = bhs
    h.wakeup = wakeup


cdef int hosting_open(Hosting *h) noexcept nogil:
    cdef int rc
    h.fd = hostfd_open()
    if h.fd < 0:
        rc = h.fd
        h.fd = -1
        return rc
    h.timer_fd = timerfd_open()
    rc = h.timer_fd
    if rc >= 0:
        rc = timerfd_arm(h.timer_fd, -1)
    if rc >= 0:
        rc = hostfd_add(h.fd, h.timer_fd)
    if rc >= 0:
        rc = hostfd_add(h.fd, h.wakeup.notifier.read_fd)
    if rc >= 0:
        rc = hosting_show(h)
    if rc < 0:
        hosting_close(h)
        return rc
    atomic_store_int(&h.wakeup.hosted, 1)
    h.timers.owner = h
    h.timers.rearm = hosting_rearm
    return h.fd


# Of the fdmons that show in a descriptor; asked for by name, for there may be none here.
cdef const char *mirror_name() noexcept nogil:
    return "epoll" if fdmon_find("epoll") != NULL else "kqueue"


cdef int hosting_show(Hosting *h) noexcept nogil:
    cdef int rc
    cdef int fd
    leaf_lock(h.fds.lock)
    fd = h.fds.mon.ops.fileno(&h.fds.mon)
    leaf_unlock(h.fds.lock)
    if fd < 0:
        if h.fds.mirror.ops == NULL:
            rc = fdmon_open(&h.fds.mirror, mirror_name())
            if rc < 0:
                return rc
            leaf_lock(h.fds.lock)
            fd_table_restart(h.fds)
            leaf_unlock(h.fds.lock)
        fd = h.fds.mirror.ops.fileno(&h.fds.mirror)
    # A rebuilt epoll may have got the old one's number: it is a new member all the same.
    if h.shown_fd >= 0:
        hostfd_remove(h.fd, h.shown_fd)
    h.shown_fd = fd
    rc = hostfd_add(h.fd, fd)
    if rc >= 0:
        h.shown_rebuilds = h.fds.rebuilds
    return rc


cdef void hosting_close(Hosting *h) noexcept nogil:
    cdef bint of_parent = h.wakeup.generation != fork_generation
    if h.fd >= 0:
        source_close(h.fd, of_parent)
    if h.timer_fd >= 0:
        source_close(h.timer_fd, of_parent)
    if h.fds.mirror.ops != NULL:
        fdmon_close(&h.fds.mirror)
    h.fd = h.timer_fd = h.shown_fd = -1


cdef void hosting_rearm(void *hosting) noexcept nogil:
    # Computed and set in one step: of two threads the second sees both changes.
    cdef Hosting *h = <Hosting *> hosting
    cdef int64_t first_ns = -1
    cdef int64_t now_ns, left_ns
    cdef int clock
    if h.wakeup.generation != fork_generation:
        return                           # the timerfd is the parent's
    mutex_lock(&h.lock)
    now_ns = clock_monotonic_ns()
    for clock in range(CLOCKS):
        left_ns = timer_list_deadline_ns(&h.timers.lists[clock])
        if 0 <= left_ns < FAR_NS and (first_ns < 0 or now_ns + left_ns < first_ns):
            first_ns = now_ns + left_ns
    if h.idle_until_ns >= 0 and (first_ns < 0 or h.idle_until_ns < first_ns):
        first_ns = h.idle_until_ns
    if timerfd_arm(h.timer_fd, first_ns) < 0 and h.timer_fd >= 0:
        notifier_set(&h.wakeup.notifier)     # then the host comes by all the time
    mutex_unlock(&h.lock)


cdef void hosting_clear(Hosting *h) noexcept nogil:
    timerfd_clear(h.timer_fd)
    if h.fds.mirror.ops != NULL:
        look_at_mirror(h)


cdef void look_at_mirror(Hosting *h) noexcept nogil:
    # Nothing is taken from it but the news of entries that outlived their number: poll(2)
    # has none, and so does not tell.
    cdef FdTable *t = h.fds
    cdef bint stale = False
    cdef int i
    cdef int n = t.mirror.ops.wait(&t.mirror, 0, NULL, t.reports, t.max_reports)
    leaf_lock(t.lock)
    for i in range(n):
        stale = stale or fd_table_is_stale(t, &t.reports[i])
    h.stale_looks = h.stale_looks + 1 if stale else 0
    if h.stale_looks >= STALE_WAITS:
        h.stale_looks = 0
        fd_table_rebuild_later(t)
    leaf_unlock(t.lock)


cdef void hosting_sleep(Hosting *h) noexcept nogil:
    cdef int64_t bh_ns
    wakeup_prepare_sleep(h.wakeup)
    bh_ns = bh_timeout_ns(h.bhs)
    mutex_lock(&h.lock)
    h.idle_until_ns = -1
    if atomic_load_int(&h.fds.muted) and (bh_ns < 0 or bh_ns > fd_table_timeout_ns(h.fds)):
        bh_ns = fd_table_timeout_ns(h.fds)
    if bh_ns > 0:
        h.idle_until_ns = clock_monotonic_ns() + bh_ns
    mutex_unlock(&h.lock)
    hosting_rearm(h)
    if bh_ns == 0 or wakeup_is_notified(h.wakeup) or has_hidden(h):
        notifier_set(&h.wakeup.notifier)


cdef bint has_hidden(Hosting *h) noexcept nogil:
    # Always ready, or unknown: what neither the fdmon's descriptor nor the mirror shows,
    # and all of it while a set that was made anew is not shown yet.
    if h.shown_rebuilds != h.fds.rebuilds:
        return True
    if h.fds.mirror.ops != NULL:
        return h.fds.mirror.ops.has_hidden(&h.fds.mirror)
    return h.fds.mon.ops.has_hidden(&h.fds.mon)
