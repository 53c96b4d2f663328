# The fd table: what is wanted of each descriptor, and telling the kernel.

from libc.errno cimport EBADF, ENOMEM
from libc.stdlib cimport realloc
from libc.string cimport memset

from qemu_mainloop._sys.atomic cimport (
    atomic_exchange_seq_int, atomic_load_int, atomic_store_int, atomic_store_release_int)
from qemu_mainloop._sys.clock cimport clock_monotonic_ns
from qemu_mainloop._sys.leaflock cimport LeafLock, leaf_lock, leaf_unlock
from qemu_mainloop._sys.posix cimport POLLIN, POLLOUT, fd_is_open


cdef void fd_table_init(FdTable *t, LeafLock *lock, Wakeup *wakeup) noexcept nogil:
    memset(t, 0, sizeof(FdTable))
    t.lock = lock
    t.wakeup = wakeup


cdef void fd_table_open(FdTable *t) noexcept nogil:
    leaf_lock(t.lock)
    # Pairs with the load in fd_table_apply.
    atomic_exchange_seq_int(&t.unsettled, 1)


cdef void fd_table_shut(FdTable *t) noexcept nogil:
    # A poller that reads 0 takes no lock, and sees what was changed under it: pairs with the
    # load in fd_table_apply.
    atomic_store_release_int(
        &t.unsettled, t.changed != 0 or t.muted != 0 or t.must_rebuild
        or atomic_load_int(&t.mon.restless) or t.max_reports == 0)
    leaf_unlock(t.lock)


cdef int fd_table_grow(FdTable *t, int fd) noexcept nogil:
    cdef int size = 2 * t.size if t.size else 64
    cdef FdSlot *slots
    cdef int *changes
    while size <= fd:
        size *= 2
    # Whatever was enlarged stays so: a failure changes nothing that can be seen.
    slots = <FdSlot *> realloc(t.slots, size * sizeof(FdSlot))
    if slots == NULL:
        return -ENOMEM
    t.slots = slots
    changes = <int *> realloc(t.changes, size * sizeof(int))
    if changes == NULL:
        return -ENOMEM
    t.changes = changes
    memset(slots + t.size, 0, (size - t.size) * sizeof(FdSlot))
    t.size = size
    return 0


# ---- what is wanted, and telling the kernel; the lock is held

cdef void fd_table_note(FdTable *t, int fd) noexcept nogil:
    cdef FdSlot *slot = &t.slots[fd]
    if not slot.changed:
        slot.changed = True
        t.changes[t.changed] = fd
        t.changed += 1
        atomic_store_int(&t.unsettled, 1)


cdef int wanted_events(const FdSlot *slot) noexcept nogil:
    cdef const FdHandler *h = slot.handler
    cdef int events = 0
    if h == NULL or slot.is_dead or slot.muted_until_ns != 0:
        return 0
    if h.io_read != NULL and (h.can_read == NULL or h.open_gate):
        events = POLLIN
    if h.io_write != NULL:
        events |= POLLOUT
    return events


cdef void fd_table_bury(FdTable *t, int fd) noexcept nogil:
    cdef FdSlot *slot = &t.slots[fd]
    if slot.handler != NULL and not slot.is_dead:
        slot.is_dead = True
        t.dead += 1
        fd_table_note(t, fd)


cdef void fd_table_revive(FdTable *t, FdSlot *slot) noexcept nogil:
    if slot.is_dead:
        slot.is_dead = False
        t.dead -= 1
    if slot.muted_until_ns:
        slot.muted_until_ns = 0
        atomic_store_int(&t.muted, t.muted - 1)


cdef void fd_table_mute(FdTable *t, int fd) noexcept nogil:
    cdef FdSlot *slot = &t.slots[fd]
    if slot.muted_until_ns == 0:
        atomic_store_int(&t.muted, t.muted + 1)
    slot.muted_until_ns = clock_monotonic_ns() + MUTE_NS
    if not slot.in_muted:
        slot.in_muted = True
        slot.muted_next = t.muted_first
        t.muted_first = fd + 1
    fd_table_note(t, fd)


cdef void unmute(FdTable *t, int64_t now_ns) noexcept nogil:
    # Whose time has come; who was revived meanwhile leaves the list here, too.
    cdef FdSlot *slot
    cdef int fd
    cdef int *link = &t.muted_first
    while link[0] != 0:
        fd = link[0] - 1
        slot = &t.slots[fd]
        if slot.muted_until_ns > now_ns:
            link = &slot.muted_next
            continue
        link[0] = slot.muted_next
        slot.in_muted = False
        if slot.muted_until_ns:
            slot.muted_until_ns = 0
            atomic_store_int(&t.muted, t.muted - 1)
            fd_table_note(t, fd)


# 0, or the kernel has no memory even to be told.
cdef int fd_table_apply_one(FdTable *t, int fd) noexcept nogil:
    cdef FdSlot *slot = &t.slots[fd]
    cdef uint32_t tag = slot.handler.tag if slot.handler != NULL else 0
    cdef int wanted = wanted_events(slot)
    cdef int now = slot.kernel_events
    cdef int rc
    if wanted == now and (wanted == 0 or tag == slot.kernel_tag):
        return 0
    rc = t.mon.ops.update(&t.mon, fd, tag, now, wanted)
    if rc == 0 and t.mirror.ops != NULL:
        # A number that is not open: the fdmon's wait tells.
        if t.mirror.ops.update(&t.mirror, fd, tag, now, wanted) == -ENOMEM:
            rc = -ENOMEM                 # both are told again before the next wait
    if rc == -EBADF:
        # Closed under its handler.  The kernel has nothing, which is what is wanted now.
        slot.kernel_events = 0
        slot.is_dead = True
        t.dead += 1
        return 0
    if rc == 0:
        slot.kernel_events = <int16_t> wanted
        slot.kernel_tag = tag
    return rc


cdef int fd_table_apply_all(FdTable *t) noexcept nogil:
    cdef int i, fd, rc
    cdef int kept = 0
    cdef int result = 0
    cdef int n = t.changed
    for i in range(n):
        fd = t.changes[i]
        t.slots[fd].changed = False
    t.changed = 0
    for i in range(n):
        fd = t.changes[i]
        rc = fd_table_apply_one(t, fd)
        if rc < 0:
            # No memory: it stays a change, and is tried again before the next wait.
            result = rc
            t.slots[fd].changed = True
            t.changes[kept] = fd
            kept += 1
    t.changed = kept
    return result


cdef int fd_table_settle(FdTable *t) noexcept nogil:
    cdef int rc
    leaf_lock(t.lock)
    if t.muted:
        unmute(t, clock_monotonic_ns())
    rc = grow_reports(t)
    if rc == 0:
        if t.must_rebuild:
            rebuild(t)
        rc = fd_table_apply_all(t)
    if rc == 0 and atomic_load_int(&t.mon.restless):
        rc = t.mon.ops.tend(&t.mon)
    fd_table_shut(t)
    return rc


cdef int grow_reports(FdTable *t) noexcept nogil:
    # Here and not in grow: nobody but the polling thread may move what it waits with.
    cdef FDReady *reports
    if t.max_reports >= t.size:
        return 0
    reports = <FDReady *> realloc(t.reports, t.size * sizeof(FDReady))
    if reports == NULL:
        return 0 if t.max_reports else -ENOMEM   # fewer at a time, then
    t.reports = reports
    t.max_reports = t.size
    return 0


cdef void rebuild(FdTable *t) noexcept nogil:
    # Without a descriptor for a new set the old one, stale entries and all, serves on,
    # and the next wait tries again.
    if t.mon.ops.rebuild(&t.mon) < 0:
        return
    t.must_rebuild = t.mirror.ops != NULL and t.mirror.ops.rebuild(&t.mirror) < 0
    t.rebuilds += 1
    fd_table_restart(t)


cdef void fd_table_restart(FdTable *t) noexcept nogil:
    cdef int fd
    atomic_store_int(&t.unsettled, 1)
    for fd in range(t.size):
        t.slots[fd].kernel_events = 0
        if t.slots[fd].handler != NULL:
            fd_table_note(t, fd)


cdef bint fd_table_is_stale(const FdTable *t, const FDReady *r) noexcept nogil:
    cdef const FdSlot *slot
    if r.fd < 0 or r.fd >= t.size:
        return False
    slot = &t.slots[r.fd]
    return (r.tag != slot.kernel_tag or slot.kernel_events == 0) and not slot.changed


cdef void fd_table_rebuild_later(FdTable *t) noexcept nogil:
    t.must_rebuild = True
    atomic_store_int(&t.unsettled, 1)


cdef int64_t fd_table_timeout_ns(FdTable *t) noexcept nogil:
    return MUTE_NS if t.muted else -1


# Hosted: what is ready but shows in no descriptor, so that the host must be told.
cdef bint fd_table_has_hidden(FdTable *t) noexcept nogil:
    cdef FDMon *mon = &t.mirror if t.mirror.ops != NULL else &t.mon
    # There is none in a forked child that could not make its kernel objects yet.
    return mon.ops != NULL and mon.ops.has_hidden(mon)


cdef int fd_table_wants(FdTable *t, int fd, uint32_t *tag) noexcept nogil:
    cdef FdSlot *slot
    cdef int events = 0
    fd_table_open(t)
    if fd >= t.size:
        fd_table_shut(t)
        return -1
    slot = &t.slots[fd]
    if slot.handler != NULL and not slot.is_dead:
        if fd_is_open(fd):
            events = slot.kernel_events
            tag[0] = slot.kernel_tag
        else:
            fd_table_bury(t, fd)
    fd_table_shut(t)
    return events


cdef int fd_table_verify(FdTable *t) noexcept nogil:
    cdef int fd, dead
    fd_table_open(t)
    for fd in range(t.size):
        if t.slots[fd].handler != NULL and not t.slots[fd].is_dead and not fd_is_open(fd):
            fd_table_bury(t, fd)
            t.must_rebuild = True
    dead = t.dead
    fd_table_shut(t)
    return dead
