# The process's clocks.

from qemu_mainloop._core.fork cimport ForkMember, fork_join
from qemu_mainloop._sys.atomic cimport (
    atomic_add_seq_int, atomic_exchange_seq_i64, atomic_exchange_seq_int, atomic_load_seq_i64,
    atomic_load_seq_int)
from qemu_mainloop._sys.clock cimport clock_monotonic_ns, clock_wall_ns
from qemu_mainloop._sys.thread cimport (
    Cond, cond_broadcast, cond_init, cond_wait, mutex_init, mutex_lock, mutex_unlock,
    thread_self)

cdef int64_t virtual_ns = 0      # while stopped: its time; else: its time at started_ns
cdef int64_t started_ns = 0
cdef Cond runner_done
cdef int waiters = 0
cdef int64_t stops = 0           # of any clock, counted; changed under the clocks' lock
cdef ForkMember fork_member

clock_waiters = NULL
clock_wall_shift_ns = 0


cdef int64_t clock_get_ns(int clock) noexcept nogil:
    cdef int64_t now_ns
    if clock == VIRTUAL:
        mutex_lock(&clocks_lock)
        now_ns = clock_virtual_now()
        mutex_unlock(&clocks_lock)
        return now_ns
    if clock == HOST:
        return clock_wall_ns() + clock_wall_shift_ns
    return clock_monotonic_ns()


cdef int64_t clock_virtual_now() noexcept nogil:
    cdef int64_t since_ns
    if not enabled_clocks[VIRTUAL]:
        return virtual_ns
    since_ns = clock_monotonic_ns() - started_ns
    return virtual_ns + since_ns if since_ns < NEVER_NS - virtual_ns else NEVER_NS


cdef void clock_virtual_set(int64_t ns) noexcept nogil:
    global virtual_ns
    virtual_ns = ns


cdef bint clock_switch(int clock, bint enabled) noexcept nogil:
    global virtual_ns, started_ns
    if clock == VIRTUAL and enabled != enabled_clocks[VIRTUAL]:
        virtual_ns = clock_virtual_now()
        started_ns = clock_monotonic_ns()
    # A runner reads it under its group's lock, which who disables it takes after this.
    return atomic_exchange_seq_int(&enabled_clocks[clock], enabled) != enabled


# ---- waiting for callbacks in other threads

cdef bint clock_is_awaited() noexcept nogil:
    # Pairs with the addition in clock_begin_waiting: the runner has taken its name out
    # under its group's lock before, so a waiter that still saw it there is counted.
    return atomic_load_seq_int(&waiters) != 0


cdef void clock_runner_done() noexcept nogil:
    if clock_is_awaited():
        mutex_lock(&clocks_lock)
        cond_broadcast(&runner_done)
        mutex_unlock(&clocks_lock)


cdef int64_t clock_count_stop() noexcept nogil:
    cdef int64_t stop = stops + 1
    atomic_exchange_seq_i64(&stops, stop)        # pairs with clock_last_stop
    return stop


cdef int64_t clock_last_stop() noexcept nogil:
    return atomic_load_seq_i64(&stops)


cdef void clock_begin_waiting(ClockWaiter *me, int clock, int64_t stop) noexcept nogil:
    global clock_waiters
    me.thread = thread_self()
    me.clock = clock
    me.stop = stop
    me.asked = 0
    me.next = clock_waiters
    clock_waiters = me
    atomic_add_seq_int(&waiters, 1)


cdef void clock_wait_for_runner() noexcept nogil:
    cond_wait(&runner_done, &clocks_lock)


cdef void clock_end_waiting(ClockWaiter *me) noexcept nogil:
    cdef ClockWaiter **link = &clock_waiters
    while link[0] != me:
        link = &link[0].next
    link[0] = me.next
    atomic_add_seq_int(&waiters, -1)


# ---- fork

cdef void lock_clocks(void *owner) noexcept nogil:
    mutex_lock(&clocks_lock)


cdef void unlock_clocks(void *owner) noexcept nogil:
    mutex_unlock(&clocks_lock)


cdef void repair_clocks(void *owner) noexcept nogil:
    global waiters, clock_waiters
    waiters = 0
    clock_waiters = NULL
    cond_init(&runner_done)


enabled_clocks[REALTIME] = enabled_clocks[HOST] = 1
enabled_clocks[VIRTUAL] = 0
mutex_init(&clocks_lock)
cond_init(&runner_done)
fork_member.lock = lock_clocks
fork_member.unlock = unlock_clocks
fork_member.child = repair_clocks
fork_join(&fork_member)
