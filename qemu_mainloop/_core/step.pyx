# What concerns the timers of all contexts: enabling a clock, stepping the virtual one.

from libc.errno cimport EBUSY, EINVAL
from libc.stdint cimport uint64_t, uintptr_t

from qemu_mainloop._core.clock cimport (
    CLOCKS, NEVER_NS, VIRTUAL, ClockWaiter, clock_begin_waiting, clock_count_stop,
    clock_end_waiting, clock_switch, clock_virtual_now, clock_virtual_set, clock_wait_for_runner,
    clock_waiters, clocks_lock, enabled_clocks)
from qemu_mainloop._core.dispatch cimport dispatch_forked, runtime_resume, runtime_suspend
from qemu_mainloop._core.timer cimport (
    TimerGroup, TimerList, timer_groups, timer_list_next_after, timer_list_run_until)
from qemu_mainloop._core.wakeup cimport wakeup_notify, wakeup_notify_others
from qemu_mainloop._sys.atomic cimport (
    atomic_add_seq_int, atomic_exchange_seq_i64, atomic_load_i64, atomic_load_size,
    atomic_store_i64)
from qemu_mainloop._sys.leaflock cimport leaf_lock, leaf_unlock
from qemu_mainloop._sys.thread cimport mutex_lock, mutex_unlock, thread_self


cdef void step_enable(int clock, bint enabled) noexcept nogil:
    cdef Dispatch d
    cdef ClockWaiter me
    cdef int64_t stop
    if clock < 0 or clock >= CLOCKS:
        return
    enabled = enabled != 0
    mutex_lock(&clocks_lock)
    clock_switch(clock, enabled)
    if enabled:
        wake_groups(clock)
        mutex_unlock(&clocks_lock)
        return
    forget_steps(clock)
    stop = clock_count_stop()
    if not runs_elsewhere(clock, stop):
        mutex_unlock(&clocks_lock)
        return
    mutex_unlock(&clocks_lock)
    runtime_suspend(&d)
    mutex_lock(&clocks_lock)
    clock_begin_waiting(&me, clock, stop)
    while runs_elsewhere(clock, stop):
        clock_wait_for_runner()
    clock_end_waiting(&me)
    mutex_unlock(&clocks_lock)
    runtime_resume(&d)


cdef void wake_groups(int clock) noexcept nogil:
    cdef TimerGroup *g = timer_groups.next
    while g != &timer_groups:
        if atomic_load_i64(&g.lists[clock].earliest_ns) != NEVER_NS:
            wakeup_notify_others(g.wakeup)
        g = g.next


cdef void forget_steps(int clock) noexcept nogil:
    cdef TimerGroup *g = timer_groups.next
    while g != &timer_groups:
        atomic_store_i64(&g.lists[clock].stepped_to_ns, -1)
        g = g.next


# The thread that runs a callback which began before that stop of a clock: somebody may
# have started the clock since, and others may have begun.  0: none.
cdef inline uintptr_t runner_of(TimerGroup *g, int clock, int64_t stop) noexcept nogil:
    cdef TimerList *list = &g.lists[clock]
    cdef uintptr_t runner
    leaf_lock(g.lock)
    runner = list.runner if list.runner_stop < stop else 0
    leaf_unlock(g.lock)
    return runner


cdef int last_walk = 0


cdef bint runs_elsewhere(int clock, int64_t stop) noexcept nogil:
    # In a callback that the calling thread has to wait for.  Not in one that waits for
    # the calling thread itself, as when two callbacks disable each other's clock: there
    # it is the one that comes last that goes on, and the other one waits for it.
    global last_walk
    cdef TimerGroup *g = timer_groups.next
    cdef uintptr_t runner
    while g != &timer_groups:
        runner = runner_of(g, clock, stop)
        last_walk += 1
        if runner != 0 and runner != thread_self() and not waits_for_me(runner):
            return True
        g = g.next
    return False


# Does the thread wait for a callback of the calling one, or for a thread that does?
cdef bint waits_for_me(uintptr_t thread) noexcept nogil:
    cdef ClockWaiter *w = clock_waiters
    cdef TimerGroup *g = timer_groups.next
    cdef uintptr_t runner
    while w != NULL and w.thread != thread:
        w = w.next
    if w == NULL or w.asked == last_walk:
        return False
    w.asked = last_walk
    while g != &timer_groups:
        runner = runner_of(g, w.clock, w.stop)
        if runner == thread_self() or (
                runner != 0 and runner != thread and waits_for_me(runner)):
            return True
        g = g.next
    return False


# ---- stepping the stopped virtual clock

cdef inline bint is_stepped_here(TimerGroup *g) noexcept nogil:
    return g.is_main or atomic_load_size(&g.home) == thread_self()


cdef bint in_virtual_callback() noexcept nogil:
    cdef TimerGroup *g = timer_groups.next
    while g != &timer_groups:
        if runner_of(g, VIRTUAL, NEVER_NS) == thread_self():
            return True
        g = g.next
    return False


cdef int64_t earliest_after(TimerGroup *g, int64_t after_ns) noexcept nogil:
    cdef TimerList *list = &g.lists[VIRTUAL]
    cdef int64_t first_ns
    leaf_lock(g.lock)
    first_ns = list.earliest_ns
    if first_ns <= after_ns:
        # Somebody armed it for the past: who is behind it in the heap?
        first_ns = timer_list_next_after(list, after_ns)
    leaf_unlock(g.lock)
    return first_ns


cdef int64_t next_instant(int64_t after_ns) noexcept nogil:
    cdef TimerGroup *g = timer_groups.next
    cdef int64_t first_ns = NEVER_NS
    cdef int64_t ns
    while g != &timer_groups:
        if is_stepped_here(g):
            ns = earliest_after(g, after_ns)
            first_ns = ns if ns < first_ns else first_ns
        g = g.next
    return first_ns


cdef bint is_something_due(int64_t now_ns) noexcept nogil:
    cdef TimerGroup *g = timer_groups.next
    while g != &timer_groups:
        if is_stepped_here(g) and atomic_load_i64(&g.lists[VIRTUAL].earliest_ns) <= now_ns:
            return True
        g = g.next
    return False


cdef void run_here(int64_t now_ns, uint64_t turn, Dispatch *d) noexcept nogil:
    # A callback may make and free contexts: after each group the search starts anew,
    # and a group remembers the turn in which it was run.
    cdef TimerGroup *g
    cdef bint held = False
    while not dispatch_forked(d):
        mutex_lock(&clocks_lock)
        g = timer_groups.next
        while g != &timer_groups and (g.turn == turn or not is_stepped_here(g)):
            g = g.next
        if g != &timer_groups:
            g.turn = turn
            held = g.hold(g.context)
            if held:
                g.stepper = thread_self()
                atomic_add_seq_int(&g.stepping, 1)
        mutex_unlock(&clocks_lock)
        if g == &timer_groups:
            return
        if held:
            timer_list_run_until(&g.lists[VIRTUAL], now_ns, d, True)
            atomic_add_seq_int(&g.stepping, -1)
            g.let_go(g.context)


cdef void wake_the_others(int64_t now_ns) noexcept nogil:
    cdef TimerGroup *g = timer_groups.next
    while g != &timer_groups:
        if not is_stepped_here(g):
            atomic_exchange_seq_i64(&g.lists[VIRTUAL].stepped_to_ns, now_ns)
            if atomic_load_i64(&g.lists[VIRTUAL].earliest_ns) <= now_ns:
                wakeup_notify(g.wakeup)
        g = g.next


cdef uint64_t last_turn = 0


cdef int64_t step_advance(int64_t ns, bint relative, Dispatch *d) noexcept nogil:
    global last_turn
    cdef int64_t virtual_ns, target_ns, instant_ns
    cdef uint64_t turn
    mutex_lock(&clocks_lock)
    if enabled_clocks[VIRTUAL] or in_virtual_callback():
        mutex_unlock(&clocks_lock)
        return -EBUSY
    virtual_ns = clock_virtual_now()
    if relative:
        target_ns = NEVER_NS if ns > NEVER_NS - virtual_ns else virtual_ns + ns
    else:
        target_ns = ns
    if target_ns < virtual_ns or (relative and ns < 0):
        mutex_unlock(&clocks_lock)
        return -EINVAL
    instant_ns = virtual_ns if is_something_due(virtual_ns) else next_instant(virtual_ns)
    while instant_ns <= target_ns and instant_ns != NEVER_NS:
        virtual_ns = instant_ns
        clock_virtual_set(virtual_ns)
        last_turn += 1
        turn = last_turn
        mutex_unlock(&clocks_lock)
        run_here(instant_ns, turn, d)
        mutex_lock(&clocks_lock)
        if dispatch_forked(d) or enabled_clocks[VIRTUAL] or clock_virtual_now() != virtual_ns:
            # A callback forked, or started the clock, be it for a while, or another thread
            # stepped it: it is not ours any more, and must not go back.
            target_ns = clock_virtual_now()
            mutex_unlock(&clocks_lock)
            return target_ns
        # A timer that a callback arms for now or earlier makes no instant of its own,
        # or it would hold the clock here for ever: it runs at the next one.
        instant_ns = next_instant(virtual_ns)
    if target_ns > virtual_ns:
        clock_virtual_set(target_ns)
    wake_the_others(target_ns)
    mutex_unlock(&clocks_lock)
    return target_ns
