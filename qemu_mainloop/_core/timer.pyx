# Timers of one context: the heap, the list of due ones, running.

from libc.stdlib cimport calloc, free, realloc

from qemu_mainloop._core.clock cimport (
    clock_get_ns, clock_is_awaited, clock_is_enabled, clock_last_stop, clock_runner_done,
    clocks_lock)
from qemu_mainloop._core.dispatch cimport (
    AnyFunction, dispatch_forked, dispatch_switch, runtime_owns)
from qemu_mainloop._core.wakeup cimport wakeup_notify, wakeup_notify_others
from qemu_mainloop._sys.atomic cimport atomic_exchange_seq_i64, atomic_store_i64
from qemu_mainloop._sys.thread cimport mutex_lock, mutex_unlock, thread_self


# ---- the heap; the group's lock is held

cdef inline bint before(TimerSlot *a, TimerSlot *b) noexcept nogil:
    if a.expire_ns != b.expire_ns:
        return a.expire_ns < b.expire_ns
    return a.timer.order < b.timer.order


cdef inline void put(TimerList *list, int i, TimerSlot slot) noexcept nogil:
    list.heap[i] = slot
    slot.timer.index = i


cdef void sift_up(TimerList *list, int i, TimerSlot slot) noexcept nogil:
    cdef int parent
    while i > 0:
        parent = (i - 1) >> 2
        if not before(&slot, &list.heap[parent]):
            break
        put(list, i, list.heap[parent])
        i = parent
    put(list, i, slot)


cdef void sift_down(TimerList *list, int i, TimerSlot slot) noexcept nogil:
    cdef int child, best, end
    while True:
        child = 4 * i + 1
        if child >= list.armed:
            break
        best = child
        end = child + 4 if child + 4 < list.armed else list.armed
        child += 1
        while child < end:
            if before(&list.heap[child], &list.heap[best]):
                best = child
            child += 1
        if not before(&list.heap[best], &slot):
            break
        put(list, i, list.heap[best])
        i = best
    put(list, i, slot)


cdef void heap_place(TimerList *list, int i, TimerSlot slot) noexcept nogil:
    if i > 0 and before(&slot, &list.heap[(i - 1) >> 2]):
        sift_up(list, i, slot)
    else:
        sift_down(list, i, slot)


cdef void heap_remove(TimerList *list, QEMUTimer *ts) noexcept nogil:
    cdef int i = ts.index
    ts.index = -1
    list.armed -= 1
    if i < list.armed:
        heap_place(list, i, list.heap[list.armed])


# ---- the list of due ones; the group's lock is held

cdef void due_append(TimerList *list, QEMUTimer *ts) noexcept nogil:
    ts.due = True
    ts.next = NULL
    ts.prev = list.due_last
    if list.due_last == NULL:
        list.due_first = ts
    else:
        list.due_last.next = ts
    list.due_last = ts


cdef void due_remove(TimerList *list, QEMUTimer *ts) noexcept nogil:
    ts.due = False
    if ts.prev == NULL:
        list.due_first = ts.next
    else:
        ts.prev.next = ts.next
    if ts.next == NULL:
        list.due_last = ts.prev
    else:
        ts.next.prev = ts.prev


cdef void set_earliest(TimerList *list) noexcept nogil:
    cdef int64_t earliest_ns = NEVER_NS
    if list.due_first != NULL:
        earliest_ns = list.due_first.expire_ns
    elif list.armed > 0:
        earliest_ns = list.heap[0].expire_ns
    # Read by the loop before it sleeps; who lowers it from another thread notifies.
    atomic_store_i64(&list.earliest_ns, earliest_ns)


# ---- one timer

cdef QEMUTimer *timer_create(TimerGroup *g, int clock, int scale, TimerCallback cb,
                             void *opaque, TimerCallback release) noexcept nogil:
    cdef TimerList *list
    cdef TimerSlot *heap
    cdef QEMUTimer *ts
    cdef int capacity
    if clock < 0 or clock >= CLOCKS or scale < 1:
        return NULL
    ts = <QEMUTimer *> calloc(1, sizeof(QEMUTimer))
    if ts == NULL:
        return NULL
    list = &g.lists[clock]
    ts.expire_ns = -1
    ts.index = -1
    ts.scale = scale
    ts.cb = cb
    ts.opaque = opaque
    ts.release = release
    ts.in_runtime = runtime_owns(<AnyFunction> cb)
    ts.list = list
    mutex_lock(g.lock)
    if list.timers == list.capacity:
        capacity = 2 * list.capacity if list.capacity else 16
        heap = <TimerSlot *> realloc(list.heap, capacity * sizeof(TimerSlot))
        if heap == NULL:
            mutex_unlock(g.lock)
            free(ts)
            return NULL
        list.heap = heap
        list.capacity = capacity
    list.timers += 1
    ts.all_next = list.all
    if list.all != NULL:
        list.all.all_prev = ts
    list.all = ts
    mutex_unlock(g.lock)
    return ts


cdef bint disarm_locked(TimerList *list, QEMUTimer *ts) noexcept nogil:
    if ts.due:
        due_remove(list, ts)
    elif ts.index >= 0:
        heap_remove(list, ts)
    else:
        return False
    atomic_store_i64(&ts.expire_ns, -1)
    set_earliest(list)
    return True


cdef bint timer_disarm(QEMUTimer *ts) noexcept nogil:
    # The loop is not told: at worst it wakes once for nothing.
    cdef TimerList *list = ts.list
    cdef bint was_armed
    mutex_lock(list.group.lock)
    was_armed = disarm_locked(list, ts)
    mutex_unlock(list.group.lock)
    return was_armed


cdef void free_timer(QEMUTimer *ts) noexcept nogil:
    if ts.release != NULL:
        ts.release(ts.opaque)
    free(ts)


cdef void timer_destroy(QEMUTimer *ts) noexcept nogil:
    cdef TimerList *list
    cdef bint runs
    if ts == NULL:
        return
    list = ts.list
    mutex_lock(list.group.lock)
    disarm_locked(list, ts)
    list.timers -= 1
    if ts.all_prev != NULL:
        ts.all_prev.all_next = ts.all_next
    else:
        list.all = ts.all_next
    if ts.all_next != NULL:
        ts.all_next.all_prev = ts.all_prev
    ts.doomed = True
    runs = ts.runs > 0
    mutex_unlock(list.group.lock)
    if not runs:
        free_timer(ts)


cdef void timer_arm(QEMUTimer *ts, int64_t expire_ns, bint only_earlier) noexcept nogil:
    cdef TimerList *list = ts.list
    cdef TimerGroup *g = list.group
    cdef TimerSlot slot
    cdef int64_t earliest_before
    cdef bint sooner, changed
    if expire_ns < 0:
        expire_ns = 0
    mutex_lock(g.lock)
    if only_earlier and ts.expire_ns >= 0 and ts.expire_ns <= expire_ns:
        mutex_unlock(g.lock)
        return
    earliest_before = list.earliest_ns
    if ts.due:
        due_remove(list, ts)
    list.order += 1
    ts.order = list.order
    atomic_store_i64(&ts.expire_ns, expire_ns)
    slot.expire_ns = expire_ns
    slot.timer = ts
    if ts.index >= 0:
        heap_place(list, ts.index, slot)
    else:
        list.armed += 1
        sift_up(list, list.armed - 1, slot)
    set_earliest(list)
    sooner = list.earliest_ns < earliest_before
    changed = list.earliest_ns != earliest_before
    mutex_unlock(g.lock)
    if changed and g.rearm != NULL:
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
    cdef TimerGroup *g = list.group
    cdef QEMUTimer *ts
    cdef TimerCallback cb
    cdef void *opaque
    cdef bint in_runtime
    cdef uintptr_t outer
    cdef int64_t outer_stop, stop
    cdef bint gone
    cdef bint ran = False
    mutex_lock(g.lock)
    while list.armed > 0 and list.heap[0].expire_ns <= now_ns:
        ts = list.heap[0].timer
        heap_remove(list, ts)
        due_append(list, ts)
    while list.due_first != NULL:
        # In this order: who finds the clock enabled after a stop has been counted was
        # enabled anew, and is not waited for.
        stop = clock_last_stop()
        if not stopped and not clock_is_enabled(list.clock):
            break
        ts = list.due_first
        due_remove(list, ts)
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
        mutex_unlock(g.lock)
        dispatch_switch(d, in_runtime)
        cb(opaque)
        ran = True
        mutex_lock(g.lock)
        list.runner = outer
        list.runner_stop = outer_stop
        ts.runs -= 1
        gone = ts.doomed and ts.runs == 0
        if gone or clock_is_awaited():
            mutex_unlock(g.lock)
            if gone:
                free_timer(ts)
            clock_runner_done()
            mutex_lock(g.lock)
        if dispatch_forked(d):
            break
    set_earliest(list)
    mutex_unlock(g.lock)
    return ran


# ---- a context's group

cdef void timer_group_init(TimerGroup *g, Mutex *lock, Wakeup *wakeup, bint is_main,
                           void *owner) noexcept nogil:
    cdef int clock
    cdef TimerList *list
    for clock in range(CLOCKS):
        list = &g.lists[clock]
        list.heap = NULL
        list.all = NULL
        list.armed = list.capacity = list.timers = 0
        list.clock = clock
        list.earliest_ns = NEVER_NS
        list.order = 0
        list.due_first = list.due_last = NULL
        list.runner = 0
        list.runner_stop = 0
        list.stepped_to_ns = -1
        list.group = g
    g.lock = lock
    g.wakeup = wakeup
    g.is_main = is_main
    g.home = thread_self()
    g.turn = 0
    g.stepping = 0
    g.rearm = NULL
    g.owner = owner
    mutex_lock(&clocks_lock)
    g.next = &timer_groups
    g.prev = timer_groups.prev
    timer_groups.prev.next = g
    timer_groups.prev = g
    mutex_unlock(&clocks_lock)


cdef void timer_group_destroy(TimerGroup *g) noexcept nogil:
    cdef int clock
    cdef TimerList *list
    cdef QEMUTimer *ts
    mutex_lock(&clocks_lock)
    g.prev.next = g.next
    g.next.prev = g.prev
    mutex_unlock(&clocks_lock)
    for clock in range(CLOCKS):
        list = &g.lists[clock]
        while list.all != NULL:
            ts = list.all
            list.all = ts.all_next
            free_timer(ts)
        free(list.heap)


cdef void timer_group_repair(TimerGroup *g) noexcept nogil:
    cdef int clock
    for clock in range(CLOCKS):
        if g.lists[clock].runner != thread_self():
            g.lists[clock].runner = 0


timer_groups.next = timer_groups.prev = &timer_groups
