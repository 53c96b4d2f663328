# fd handlers: registering, asking, dispatching.

from libc.errno cimport EBADF, EBUSY, EEXIST, ENOMEM
from libc.stdint cimport int16_t, uint8_t, uint64_t
from libc.stdlib cimport calloc, free

from qemu_mainloop._core.dispatch cimport (
    AnyFunction, dispatch_forked, dispatch_switch, runtime_owns)
from qemu_mainloop._core.fdmon cimport FDReady
from qemu_mainloop._core.fdtable cimport (
    FD_HANDLER, FD_INTERNAL, FD_NOTIFIER, FD_WAIT_OBJECT, STALE_WAITS, FdSlot,
    fd_table_apply_all, fd_table_apply_one, fd_table_bury, fd_table_grow, fd_table_has_hidden,
    fd_table_is_stale, fd_table_mute, fd_table_note, fd_table_open, fd_table_rebuild_later,
    fd_table_revive, fd_table_shut)
from qemu_mainloop._core.fork cimport fork_generation
from qemu_mainloop._core.wakeup cimport wakeup_is_mine, wakeup_notify_others
from qemu_mainloop._sys.atomic cimport (
    atomic_exchange_seq_int, atomic_load_acquire_int, atomic_load_acquire_ptr,
    atomic_load_acquire_size, atomic_store_int, atomic_store_ptr, cpu_prefetch)
from qemu_mainloop._sys.leaflock cimport leaf_lock, leaf_unlock
from qemu_mainloop._sys.notifier cimport notifier_clear
from qemu_mainloop._sys.posix cimport (
    POLLERR, POLLHUP, POLLIN, POLLNVAL, POLLOUT, WAIT_CONSUMES, fd_is_open, fd_may_have_handler)

cdef enum:
    # A handler that was called this often is verified: its descriptor may have been
    # closed while a duplicate keeps the file, and the kernel's entry, alive.
    VERIFY_CALLS = 8
    # So many reports before its own a handler's memory is asked for; a slot's at twice that.
    AHEAD = 4


# ---- registering

cdef void gate_join(FdTable *t, FdHandler *h) noexcept nogil:
    # In front: the walk in fd_table_ask, which goes on from an old node, never
    # meets a new one.
    h.gate_prev = NULL
    h.gate_next = t.gates
    if t.gates != NULL:
        t.gates.gate_prev = h
    t.gates = h
    atomic_store_int(&t.gate_count, t.gate_count + 1)


cdef void gate_leave(FdTable *t, FdHandler *h) noexcept nogil:
    # h keeps its gate_next, for a walk that stands on it.
    atomic_store_int(&t.gate_count, t.gate_count - 1)
    if h.gate_prev != NULL:
        h.gate_prev.gate_next = h.gate_next
    else:
        t.gates = h.gate_next
    if h.gate_next != NULL:
        h.gate_next.gate_prev = h.gate_prev


cdef void count(FdTable *t, const FdHandler *h, int by) noexcept nogil:
    if h.kind <= FD_WAIT_OBJECT:
        atomic_store_int(&t.count, t.count + by)
    if h.kind != FD_NOTIFIER:
        atomic_store_int(&t.sources, t.sources + by)


cdef void retire(FdTable *t, FdHandler *h) noexcept nogil:
    # Pairs with the loads in fd_table_dispatch.
    atomic_exchange_seq_int(&h.removed, 1)
    if h.can_read != NULL:
        gate_leave(t, h)
    count(t, h, -1)
    h.retired_next = t.retired
    atomic_store_ptr(&t.retired, h)


cdef FdHandler *take_retired(FdTable *t) noexcept nogil:
    # While somebody is in an iteration a dispatch may see them.
    cdef FdHandler *h = t.retired
    if atomic_load_acquire_size(&t.wakeup.poller) != 0:
        return NULL
    atomic_store_ptr(&t.retired, NULL)
    return h


cdef void free_retired(FdHandler *h) noexcept nogil:
    cdef FdHandler *next_
    while h != NULL:
        next_ = h.retired_next
        if h.release != NULL:
            h.release(h.opaque)
        free(h)
        h = next_


cdef void fd_table_sweep(FdTable *t) noexcept nogil:
    cdef FdHandler *h
    if atomic_load_acquire_ptr(&t.retired) == NULL:
        return
    leaf_lock(t.lock)
    h = t.retired
    atomic_store_ptr(&t.retired, NULL)
    leaf_unlock(t.lock)
    free_retired(h)


cdef int remove(FdTable *t, int fd, int kind) noexcept nogil:
    cdef FdSlot *slot
    if fd >= t.size or t.slots[fd].handler == NULL:
        return 0
    slot = &t.slots[fd]
    if slot.handler.kind != kind:
        return -EBUSY
    retire(t, slot.handler)
    slot.handler = NULL
    fd_table_revive(t, slot)
    if slot.kernel_events == 0 and not slot.changed:
        return 0
    if t.wakeup.generation != fork_generation or t.mon.ops == NULL:
        fd_table_note(t, fd)               # the kernel's set is the parent's: not ours to touch
        return 0
    if wakeup_is_mine(t.wakeup):
        fd_table_apply_one(t, fd)
    elif t.mon.ops.detach(&t.mon, fd) == 0:
        if t.mirror.ops == NULL or t.mirror.ops.detach(&t.mirror, fd) == 0:
            slot.kernel_events = 0
    if slot.kernel_events != 0:
        fd_table_note(t, fd)
    return 0


cdef int add(FdTable *t, int fd, FdHandler *h) noexcept nogil:
    cdef FdSlot *slot = &t.slots[fd] if fd < t.size else NULL
    if slot == NULL or slot.handler == NULL or slot.is_dead:
        # Before the table grows: the kernel's numbers are bounded, the caller's are not.
        if not fd_is_open(fd) or (h.kind == FD_HANDLER and not fd_may_have_handler(fd)):
            return -EBADF
    if slot == NULL:
        if fd_table_grow(t, fd) < 0:
            return -ENOMEM
        slot = &t.slots[fd]
    if (slot.handler != NULL and not slot.is_dead and slot.handler.kind != h.kind
            and h.kind < FD_INTERNAL):
        return -EBUSY
    if h.kind == FD_WAIT_OBJECT and slot.handler != NULL and not slot.is_dead:
        return -EEXIST                   # other kinds replace
    if slot.handler != NULL:
        # The context's own descriptors come from the kernel: who registered the
        # number before has closed it without a word.
        retire(t, slot.handler)
    fd_table_revive(t, slot)
    t.last_tag += 1
    h.tag = t.last_tag
    slot.handler = h
    count(t, h, 1)
    if h.can_read != NULL:
        gate_join(t, h)
    fd_table_note(t, fd)
    return 0


cdef FdHandler *handler_new(int fd, int kind, FdCallback io_read, FdCallback io_write,
                            GateCallback can_read, void *opaque,
                            FdCallback release) noexcept nogil:
    cdef FdHandler *h = <FdHandler *> calloc(1, sizeof(FdHandler))
    if h == NULL:
        return NULL
    h.fd = fd
    h.kind = <uint8_t> kind
    h.io_read = io_read
    h.io_write = io_write
    h.can_read = can_read if io_read != NULL else NULL
    h.opaque = opaque
    h.release = release
    h.in_runtime = <uint8_t> runtime_owns(<AnyFunction> (io_read if io_read != NULL else io_write))
    return h


cdef int fd_table_set(FdTable *t, int fd, int kind, FdCallback io_read, FdCallback io_write,
                      GateCallback can_read, void *opaque, FdCallback release,
                      bint apply) noexcept nogil:
    cdef FdHandler *h = NULL
    cdef FdHandler *gone
    cdef bint removes = io_read == NULL and io_write == NULL
    cdef bint news = False
    cdef int rc
    if fd < 0:
        return -EBADF
    if not removes:
        h = handler_new(fd, kind, io_read, io_write, can_read, opaque, release)
        if h == NULL:
            return -ENOMEM
    fd_table_open(t)
    rc = remove(t, fd, kind) if removes else add(t, fd, h)
    if rc == 0 and apply and t.wakeup.generation == fork_generation:
        if wakeup_is_mine(t.wakeup):
            fd_table_apply_all(t)
    gone = take_retired(t)
    # Decided under the lock: the loop may apply it, and sleep, as soon as it is free.
    if rc == 0:
        news = t.slots[fd].changed if fd < t.size else False
        news = news or (h != NULL and h.can_read != NULL) or (apply and fd_table_has_hidden(t))
    fd_table_shut(t)
    if rc < 0:
        free(h)
    elif news:
        wakeup_notify_others(t.wakeup)
    free_retired(gone)
    return rc


# ---- asking whether to read

# h was asked, and may have been replaced by its own callback: then its successor has
# the answer.  The lock is held.
cdef void take_answer(FdTable *t, FdHandler *h, bint answer) noexcept nogil:
    cdef FdHandler *now = t.slots[h.fd].handler
    if now == NULL or now.can_read == NULL or (now != h and now.was_asked):
        return
    now.was_asked = True
    if answer and t.slots[h.fd].muted_until_ns:
        # What it reported then is what it may be read for now.
        fd_table_revive(t, &t.slots[h.fd])
        fd_table_note(t, h.fd)
    if now.open_gate != answer:
        now.open_gate = <uint8_t> answer
        fd_table_note(t, h.fd)


cdef bint fd_table_ask(FdTable *t, Dispatch *d) noexcept nogil:
    # A callback may remove any gate, its own included, and add some: removed nodes
    # keep their place in the walk until the sweep, new ones stand before it.
    cdef FdHandler *h
    cdef bint answer
    leaf_lock(t.lock)
    h = t.gates
    while h != NULL:
        if not h.removed:
            leaf_unlock(t.lock)
            dispatch_switch(d, h.in_runtime)
            answer = h.can_read(h.opaque) != 0
            if dispatch_forked(d):
                return False
            leaf_lock(t.lock)
            take_answer(t, h, answer)
        h = h.gate_next
    # The newest stand in front; whoever was not asked did not have its turn.
    h = t.gates
    while h != NULL and h.was_asked:
        h = h.gate_next
    leaf_unlock(t.lock)
    return h == NULL


# ---- reports

cdef void fd_table_collect(FdTable *t, int n) noexcept nogil:
    cdef int i, fd
    cdef int last = n - 2 * AHEAD
    cdef const char *h
    cdef bint stale = False
    t.looks += 1
    leaf_lock(t.lock)
    t.waits += 1
    for i in range(n):
        # Of many each one's slot and handler are in lines that no report before has touched;
        # those that are ready again and again, which come by number, are in the caches.
        if i < last and not t.reports[i].by_number:
            cpu_prefetch(&t.slots[t.reports[i + 2 * AHEAD].fd])
            fd = t.reports[i + AHEAD].fd
            if 0 <= fd < t.size:
                h = <const char *> t.slots[fd].handler
                cpu_prefetch(h)
                cpu_prefetch(h + 64)
        stale = collect_one(t, &t.reports[i]) or stale
    t.stale_waits = t.stale_waits + 1 if stale else 0
    if t.stale_waits >= STALE_WAITS:
        t.stale_waits = 0
        fd_table_rebuild_later(t)
    leaf_unlock(t.lock)


# h was reported so often: it may have been closed while a duplicate keeps the file; else it
# is worth watching in the way for busy ones.  False: it is dead.
cdef bint verify(FdTable *t, FdHandler *h) noexcept nogil:
    cdef bint in_a_row = t.waits - h.counted_from == VERIFY_CALLS - 1
    h.calls = 0
    if not fd_is_open(h.fd):
        fd_table_bury(t, h.fd)
        fd_table_rebuild_later(t)
        return False
    if in_a_row and t.mon.ops.warm != NULL:
        t.mon.ops.warm(&t.mon, h.fd, h.tag, t.slots[h.fd].kernel_events)
    return True


# True: the report fits no registration.
cdef bint collect_one(FdTable *t, const FDReady *r) noexcept nogil:
    cdef FdSlot *slot
    cdef FdHandler *h
    if r.fd < 0 or r.fd >= t.size:
        return False
    slot = &t.slots[r.fd]
    h = slot.handler
    if r.tag != slot.kernel_tag or slot.kernel_events == 0:
        return fd_table_is_stale(t, r)
    if h == NULL or h.tag != r.tag:
        return False                     # replaced while we waited: applied next time
    if h.kind == FD_NOTIFIER:
        notifier_clear(&t.wakeup.notifier)
        return False
    if r.events & POLLNVAL:
        fd_table_bury(t, r.fd)
        return False
    if not r.by_number:
        if h.calls == 0:
            h.counted_from = t.waits
        h.calls += 1
        if h.calls == VERIFY_CALLS and not verify(t, h):
            return False
    h.revents = <int16_t> r.events
    h.watched = slot.kernel_events
    if not h.is_ready:
        h.is_ready = True
        h.ready_next = NULL
        if t.ready_first == NULL:
            t.ready_first = h
        else:
            t.ready_last.ready_next = h
        t.ready_last = h
    return False


cdef void mute(FdTable *t, FdHandler *h) noexcept nogil:
    cdef FdSlot *slot = &t.slots[h.fd]
    leaf_lock(t.lock)
    if slot.handler == h and slot.muted_until_ns == 0 and not slot.is_dead:
        fd_table_mute(t, h.fd)
    leaf_unlock(t.lock)


cdef int fd_table_dispatch(FdTable *t, Dispatch *d, bint *progress) noexcept nogil:
    # A nested iteration continues this list, so nothing is dispatched twice.
    cdef FdHandler *h
    cdef int revents
    cdef bint reads, writes
    cdef uint64_t looks
    cdef int descriptors = 0
    while t.ready_first != NULL:
        h = t.ready_first
        t.ready_first = h.ready_next
        h.is_ready = False
        revents = h.revents
        h.revents = 0
        if atomic_load_acquire_int(&h.removed):
            continue
        reads = (h.io_read != NULL and revents & (POLLIN | POLLHUP | POLLERR)
                 and (h.can_read == NULL or h.open_gate))
        writes = h.io_write != NULL and revents & (POLLOUT | POLLERR)
        if not reads and not writes:
            # Unless a nested iteration closed the gate that was open when it was
            # reported: then the next wait does not watch it anyway.
            if not (h.can_read != NULL and h.watched & POLLIN):
                mute(t, h)
            continue
        progress[0] = True
        if t.ready_first != NULL:
            cpu_prefetch(t.ready_first.opaque)       # the next one's user's
        if WAIT_CONSUMES and h.kind != FD_HANDLER:
            t.mon.ops.taken(&t.mon, h.fd)
        if h.kind <= FD_WAIT_OBJECT:
            descriptors += 1
        if reads:
            looks = t.looks
            dispatch_switch(d, h.in_runtime)
            h.io_read(h.opaque)
            if dispatch_forked(d):
                return descriptors
            # A nested iteration that has looked anew has served it, or found it not ready.
            writes = writes and t.looks == looks
        if writes and not atomic_load_acquire_int(&h.removed):
            dispatch_switch(d, h.in_runtime)
            h.io_write(h.opaque)
            if dispatch_forked(d):
                return descriptors
    return descriptors


cdef void fd_table_forget(FdTable *t) noexcept nogil:
    cdef FdHandler *h
    t.looks += 1
    while t.ready_first != NULL:
        h = t.ready_first
        t.ready_first = h.ready_next
        h.is_ready = False


cdef void fd_table_repair(FdTable *t) noexcept nogil:
    # The polling thread may have been anywhere in the list.
    cdef FdHandler *h
    cdef int fd
    t.ready_first = t.ready_last = NULL
    for fd in range(t.size):
        h = t.slots[fd].handler
        if h != NULL:
            h.is_ready = False


cdef void fd_table_destroy(FdTable *t) noexcept nogil:
    cdef int fd
    for fd in range(t.size):
        if t.slots[fd].handler != NULL:
            retire(t, t.slots[fd].handler)
    free_retired(t.retired)
    free(t.slots)
    free(t.changes)
    free(t.reports)
    t.slots = NULL
    t.size = 0
