# Timers of one context: the queue of due ones, one timer, running.

from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memset

from qemu_mainloop._core.clock cimport (
    clock_get_ns, clock_is_awaited, clock_is_enabled, clock_last_stop, clock_runner_done,
    clocks_lock)
from qemu_mainloop._core.dispatch cimport (
    AnyFunction, dispatch_forked, dispatch_switch, runtime_owns)
from qemu_mainloop._core.heap cimport (
    HEAP_NOWHERE, HeapNode, heap_free, heap_remove, heap_reserve, heap_set, heap_take_due)
from qemu_mainloop._core.wakeup cimport wakeup_notify, wakeup_notify_others
from qemu_mainloop._sys.atomic cimport atomic_exchange_seq_i64, atomic_store_i64
from qemu_mainloop._sys.leaflock cimport LeafLock, leaf_lock, leaf_unlock
from qemu_mainloop._sys.thread cimport mutex_lock, mutex_unlock, thread_self


# ---- the queue of due ones; the lock is held.  The index of such a one is -2 - its place.

cdef inline bint is_due(const QEMUTimer *ts) noexcept nogil:
    return ts.node.index < HEAP_NOWHERE


cdef inline void due_skip_gone(TimerList *list) noexcept nogil:
    while list.due_first < list.due_end and list.due[list.due_first] == NULL:
        list.due_first += 1
    if list.due_first == list.due_end:
        list.due_first = list.due_end = 0


cdef void due_remove(TimerList *list, QEMUTimer *ts) noexcept nogil:
    list.due[-2 - ts.node.index] = NULL
    ts.node.index = HEAP_NOWHERE
    due_skip_gone(list)


cdef void due_close_gaps(TimerList *list) noexcept nogil:
    cdef int i
    cdef int kept = 0
    for i in range(list.due_first, list.due_end):
        if list.due[i] != NULL:
            list.due[kept] = list.due[i]
            list.due[kept].index = -2 - kept
            kept += 1
    list.due_first = 0
    list.due_end = kept


cdef void due_collect(TimerList *list, int64_t now_ns) noexcept nogil:
    # Room for all there are: who is in the queue is not in the heap.
    cdef int i, n
    if list.heap.count == 0 or list.heap.slots[0].at_ns > now_ns:
        return
    due_close_gaps(list)
    n = heap_take_due(&list.heap, now_ns, list.due + list.due_end)
    for i in range(list.due_end, list.due_end + n):
        list.due[i].index = -2 - i
    list.due_end += n


cdef void set_earliest(TimerList *list) noexcept nogil:
    cdef int64_t earliest_ns = NEVER_NS
    if list.due_first < list.due_end:
        earliest_ns = (<QEMUTimer *> list.due[list.due_first]).expire_ns
    elif list.heap.count > 0:
        earliest_ns = list.heap.slots[0].at_ns
    # Read by the loop before it sleeps; who lowers it from another thread notifies.
    atomic_store_i64(&list.earliest_ns, earliest_ns)


cdef int timer_list_armed(TimerList *list) noexcept nogil:
    cdef int i
    cdef int n = list.heap.count
    for i in range(list.due_first, list.due_end):
        n += list.due[i] != NULL
    return n


cdef int64_t timer_list_next_after(TimerList *list, int64_t after_ns) noexcept nogil:
    cdef int64_t first_ns = NEVER_NS
    cdef int i
    for i in range(list.heap.count):
        if after_ns < list.heap.slots[i].at_ns < first_ns:
            first_ns = list.heap.slots[i].at_ns
    return first_ns


# ---- one timer

# Room for one more; the lock is held.
cdef bint make_room(TimerList *list) noexcept nogil:
    cdef int capacity
    cdef HeapNode **due
    cdef QEMUTimer **all_
    if list.timers < list.heap.capacity:
        return True
    # What was enlarged stays so: a failure changes nothing that can be seen.
    capacity = 2 * list.heap.capacity if list.heap.capacity else 16
    due = <HeapNode **> realloc(list.due, capacity * sizeof(HeapNode *))
    if due == NULL:
        return False
    list.due = due
    all_ = <QEMUTimer **> realloc(list.all, capacity * sizeof(QEMUTimer *))
    if all_ == NULL:
        return False
    list.all = all_
    return heap_reserve(&list.heap, capacity) == 0


cdef QEMUTimer *timer_create(TimerGroup *g, int clock, int scale, TimerCallback cb,
                             void *opaque) noexcept nogil:
    cdef QEMUTimer *ts = timer_create_with_room(g, clock, scale, cb, 0)
    if ts != NULL:
        ts.opaque = opaque
    return ts


cdef QEMUTimer *timer_create_with_room(TimerGroup *g, int clock, int scale, TimerCallback cb,
                                       size_t room) noexcept nogil:
    cdef TimerList *list
    cdef QEMUTimer *ts
    cdef bint fits
    if clock < 0 or clock >= CLOCKS or scale < 1:
        return NULL
    ts = <QEMUTimer *> calloc(1, sizeof(QEMUTimer) + room)
    if ts == NULL:
        return NULL
    list = &g.lists[clock]
    ts.expire_ns = -1
    ts.node.scale = scale
    ts.cb = cb
    ts.opaque = ts + 1
    ts.in_runtime = <uint8_t> runtime_owns(<AnyFunction> cb)
    ts.list = list
    ts.node.index = HEAP_NOWHERE
    leaf_lock(list.lock)
    fits = make_room(list)
    if fits:
        ts.place = list.timers
        list.all[ts.place] = ts
        list.timers += 1
    leaf_unlock(list.lock)
    if not fits:
        free(ts)
        return NULL
    return ts


cdef bint disarm_locked(TimerList *list, QEMUTimer *ts) noexcept nogil:
    cdef bint was_first
    if ts.expire_ns < 0:
        return False
    was_first = ts.expire_ns == list.earliest_ns
    if is_due(ts):
        due_remove(list, ts)
    else:
        heap_remove(&list.heap, &ts.node)
    atomic_store_i64(&ts.expire_ns, -1)
    if was_first:
        set_earliest(list)
    return True


cdef bint timer_disarm(QEMUTimer *ts) noexcept nogil:
    # The loop is not told: at worst it wakes once for nothing.
    cdef TimerList *list = ts.list
    cdef bint was_armed
    leaf_lock(list.lock)
    was_armed = disarm_locked(list, ts)
    leaf_unlock(list.lock)
    return was_armed


cdef bint timer_disarm_to_rest(QEMUTimer *ts) noexcept nogil:
    cdef TimerList *list = ts.list
    cdef bint rests
    leaf_lock(list.lock)
    disarm_locked(list, ts)
    rests = ts.runs == 0
    leaf_unlock(list.lock)
    return rests


cdef void timer_destroy(QEMUTimer *ts) noexcept nogil:
    cdef TimerList *list
    cdef QEMUTimer *last
    cdef bint runs
    if ts == NULL:
        return
    list = ts.list
    leaf_lock(list.lock)
    disarm_locked(list, ts)
    list.timers -= 1
    last = list.all[list.timers]
    last.place = ts.place
    list.all[last.place] = last
    ts.doomed = True
    runs = ts.runs > 0
    leaf_unlock(list.lock)
    if not runs:
        free(ts)


cdef void timer_arm(QEMUTimer *ts, int64_t expire_ns, bint only_earlier) noexcept nogil:
    cdef TimerList *list = ts.list
    cdef int64_t earliest_before
    cdef bint was_first, sooner, changed
    if expire_ns < 0:
        expire_ns = 0
    leaf_lock(list.lock)
    if only_earlier and 0 <= ts.expire_ns <= expire_ns:
        leaf_unlock(list.lock)
        return
    was_first = ts.node.index == 0
    if is_due(ts):
        due_remove(list, ts)
        was_first = True
    atomic_store_i64(&ts.expire_ns, expire_ns)
    list.order += 1
    ts.node.order = list.order
    heap_set(&list.heap, &ts.node, expire_ns)
    if not was_first and ts.node.index != 0 and list.due_end == 0:
        leaf_unlock(list.lock)           # another is the earliest, as before
        return
    earliest_before = list.earliest_ns
    set_earliest(list)
    sooner = list.earliest_ns < earliest_before
    changed = list.earliest_ns != earliest_before
    leaf_unlock(list.lock)
    if changed:
        tell_of_the_earliest(list, sooner)


# Without the lock: the loop, or the one that hosts it, may sleep for too long.
cdef void tell_of_the_earliest(TimerList *list, bint sooner) noexcept nogil:
    cdef TimerGroup *g = list.group
    if g.rearm != NULL:
        g.rearm(g.owner)
        if list.clock == HOST:
            wakeup_notify(g.wakeup)      # an iteration begins to watch the wall clock
    elif sooner and clock_is_enabled(list.clock):
        wakeup_notify_others(g.wakeup)


cdef int64_t timer_scaled(int64_t expire, int scale) noexcept nogil:
    if expire > NEVER_NS // scale:
        return NEVER_NS
    return expire * scale if expire > 0 else 0


# ---- running

cdef int64_t timer_list_deadline_ns(TimerList *list) noexcept nogil:
    cdef int64_t earliest_ns = atomic_load_i64(&list.earliest_ns)
    cdef int64_t now_ns
    if earliest_ns == NEVER_NS:
        return -1
    if not clock_is_enabled(list.clock):
        return 0 if earliest_ns <= atomic_load_i64(&list.stepped_to_ns) else -1
    now_ns = clock_get_ns(list.clock)
    return earliest_ns - now_ns if earliest_ns > now_ns else 0


cdef bint timer_list_run(TimerList *list, Dispatch *d) noexcept nogil:
    cdef int64_t until_ns
    if atomic_load_i64(&list.earliest_ns) == NEVER_NS:
        return False
    if clock_is_enabled(list.clock):
        return timer_list_run_until(list, clock_get_ns(list.clock), d, False)
    # Stopped: what somebody stepped it over, once.
    until_ns = atomic_exchange_seq_i64(&list.stepped_to_ns, -1)
    return until_ns >= 0 and timer_list_run_until(list, until_ns, d, True)


cdef bint timer_list_run_until(TimerList *list, int64_t now_ns, Dispatch *d,
                               bint stopped) noexcept nogil:
    cdef QEMUTimer *ts
    cdef TimerCallback cb
    cdef void *opaque
    cdef bint in_runtime
    cdef uintptr_t outer
    cdef int64_t outer_stop, stop
    cdef bint gone
    cdef bint ran = False
    leaf_lock(list.lock)
    due_collect(list, now_ns)
    while list.due_first < list.due_end:
        # In this order: who finds the clock enabled after a stop has been counted was
        # enabled anew, and is not waited for.
        stop = clock_last_stop()
        if not stopped and not clock_is_enabled(list.clock):
            break
        ts = <QEMUTimer *> list.due[list.due_first]
        ts.node.index = HEAP_NOWHERE
        list.due_first += 1
        due_skip_gone(list)
        atomic_store_i64(&ts.expire_ns, -1)
        set_earliest(list)
        cb = ts.cb
        opaque = ts.opaque
        in_runtime = ts.in_runtime
        outer = list.runner
        outer_stop = list.runner_stop
        list.runner = thread_self()
        list.runner_stop = stop
        ts.runs += 1
        leaf_unlock(list.lock)
        dispatch_switch(d, in_runtime)
        cb(opaque)
        ran = True
        leaf_lock(list.lock)
        list.runner = outer
        list.runner_stop = outer_stop
        ts.runs -= 1
        gone = ts.doomed and ts.runs == 0
        if gone or clock_is_awaited():
            leaf_unlock(list.lock)
            if gone:
                free(ts)
            clock_runner_done()
            leaf_lock(list.lock)
        if dispatch_forked(d):
            break
    set_earliest(list)
    leaf_unlock(list.lock)
    return ran


# ---- a context's group

cdef void timer_group_init(TimerGroup *g, LeafLock *lock, Wakeup *wakeup, bint is_main,
                           void *owner) noexcept nogil:
    cdef int clock
    cdef TimerList *list
    for clock in range(CLOCKS):
        list = &g.lists[clock]
        memset(list, 0, sizeof(TimerList))
        list.lock = lock
        list.clock = clock
        list.earliest_ns = NEVER_NS
        list.stepped_to_ns = -1
        list.group = g
    g.lock = lock
    g.wakeup = wakeup
    g.is_main = is_main
    g.home = thread_self()
    g.turn = 0
    g.stepping = 0
    g.stepper = 0
    g.rearm = NULL
    g.owner = owner
    mutex_lock(&clocks_lock)
    g.next = &timer_groups
    g.prev = timer_groups.prev
    timer_groups.prev.next = g
    timer_groups.prev = g
    mutex_unlock(&clocks_lock)


cdef void timer_group_destroy(TimerGroup *g) noexcept nogil:
    cdef int clock, i
    cdef TimerList *list
    mutex_lock(&clocks_lock)
    g.prev.next = g.next
    g.next.prev = g.prev
    mutex_unlock(&clocks_lock)
    for clock in range(CLOCKS):
        list = &g.lists[clock]
        for i in range(list.timers):
            free(list.all[i])
        free(list.all)
        free(list.due)
        heap_free(&list.heap)


cdef void timer_group_repair(TimerGroup *g) noexcept nogil:
    cdef int clock
    for clock in range(CLOCKS):
        if g.lists[clock].runner != thread_self():
            g.lists[clock].runner = 0


timer_groups.next = timer_groups.prev = &timer_groups
