# Timers of one context: a heap a clock.
#
# A timer knows its place in the heap, so that re-arming and deleting cost a few
# comparisons.  Room for it is reserved when it is made: arming cannot
# fail.
#
# One pass collects what is due at one reading of the clock into a queue, then runs
# the queue: a timer that a callback arms for the past goes to the heap and runs in
# the next pass.  A nested pass continues the queue of the outer one.

from libc.stdint cimport int64_t, uint8_t, uint64_t, uintptr_t

from qemu_mainloop._core.clock cimport CLOCKS, HOST, NEVER_NS, REALTIME, VIRTUAL
from qemu_mainloop._core.dispatch cimport Dispatch
from qemu_mainloop._core.heap cimport HeapNode, TimerHeap
from qemu_mainloop._core.wakeup cimport Wakeup
from qemu_mainloop._sys.atomic cimport atomic_load_i64
from qemu_mainloop._sys.clock cimport clock_monotonic_coarse_ns
from qemu_mainloop._sys.leaflock cimport LeafLock

ctypedef void (*TimerCallback)(void *opaque) noexcept nogil

# What arming and disarming touch comes first.
cdef struct QEMUTimer "QEMUTimer":
    HeapNode node            # first: the heap's pointers are ours
    int64_t expire_ns        # -1: not armed; read without the lock
    TimerList *list
    TimerCallback cb
    void *opaque
    int place                # in the list's array of all
    int runs                 # of its callback, about to begin or on some stack
    uint8_t in_runtime
    uint8_t doomed           # destroyed meanwhile: freed after the last of them

cdef struct TimerList:
    int64_t earliest_ns      # of heap and due queue; NEVER_NS: none; read without the lock
    LeafLock *lock           # the context's
    TimerHeap heap
    uint64_t order           # of the last arming
    HeapNode **due           # first due first; NULL: disarmed since.  Room for all there are
    QEMUTimer **all          # in no order
    int due_first
    int due_end
    int timers               # made and not freed: the heap has room for as many
    int clock
    uintptr_t runner         # the thread that runs a callback
    int64_t runner_stop      # the last stop of a clock when that callback was begun
    int64_t stepped_to_ns    # somebody stepped the stopped clock: run until here, once
    TimerGroup *group

cdef struct TimerGroup:
    TimerList lists[CLOCKS]
    LeafLock *lock              # the context's
    Wakeup *wakeup
    bint is_main
    uintptr_t home           # the thread that polls it; clock_step runs it there
    uint64_t turn            # of clock_advance, that ran it last
    # Hosted: the earliest time changed.  Called without the lock.
    void (*rearm)(void *owner) noexcept nogil
    void *owner
    int stepping             # clock_advance runs its timers: it must not go
    uintptr_t stepper        # in this thread
    bint (*hold)(void *context) noexcept nogil    # false: it is going already
    void (*let_go)(void *context) noexcept nogil
    void *context
    TimerGroup *next         # the process's list
    TimerGroup *prev

cdef void timer_group_init(TimerGroup *g, LeafLock *lock, Wakeup *wakeup, bint is_main,
                           void *owner) noexcept nogil
# Frees every timer there is.
cdef void timer_group_destroy(TimerGroup *g) noexcept nogil
cdef void timer_group_repair(TimerGroup *g) noexcept nogil

cdef QEMUTimer *timer_create(TimerGroup *g, int clock, int scale, TimerCallback cb,
                             void *opaque) noexcept nogil
# Its opaque is a zeroed part of so many bytes of the timer itself: there as long as the
# callback may be called, or runs.
cdef QEMUTimer *timer_create_with_room(TimerGroup *g, int clock, int scale, TimerCallback cb,
                                       size_t room) noexcept nogil
cdef void timer_destroy(QEMUTimer *ts) noexcept nogil
cdef void timer_arm(QEMUTimer *ts, int64_t expire_ns, bint only_earlier) noexcept nogil
# True: it was armed, and is not any more.
cdef bint timer_disarm(QEMUTimer *ts) noexcept nogil
# The same; true: nor does its callback run, nor is it about to.
cdef bint timer_disarm_to_rest(QEMUTimer *ts) noexcept nogil
cdef inline int64_t timer_in_ns(const QEMUTimer *ts, int64_t expire) noexcept nogil:
    return timer_scaled(expire, ts.node.scale)


cdef inline int64_t timer_armed_for_ns(QEMUTimer *ts) noexcept nogil:
    return atomic_load_i64(&ts.expire_ns)        # -1: not armed


cdef int64_t timer_scaled(int64_t expire, int scale) noexcept nogil


cdef inline bint timer_list_is_empty(const TimerList *list) noexcept nogil:
    return atomic_load_i64(&list.earliest_ns) == NEVER_NS


cdef inline bint timer_group_is_empty(const TimerGroup *g) noexcept nogil:
    return (timer_list_is_empty(&g.lists[VIRTUAL]) and timer_list_is_empty(&g.lists[REALTIME])
            and timer_list_is_empty(&g.lists[HOST]))


# How many are armed; the lock is held.
cdef int timer_list_armed(TimerList *list) noexcept nogil
# The earliest time after after_ns of those in the heap; NEVER_NS: none.  The lock is held.
cdef int64_t timer_list_next_after(TimerList *list, int64_t after_ns) noexcept nogil

# Nanoseconds until the list's next timer, 0: due; -1: none, or the clock is disabled.
cdef int64_t timer_list_deadline_ns(TimerList *list) noexcept nogil
# Runs what is due; true: a callback ran.
cdef bint timer_list_run(TimerList *list, Dispatch *d) noexcept nogil

# The same up to now_ns; stopped: the clock is meant to be disabled, else nothing runs once
# it is.
cdef bint timer_list_run_until(TimerList *list, int64_t now_ns, Dispatch *d,
                               bint stopped) noexcept nogil

# The process's list of groups: the head of a ring, under the clocks' lock.
cdef TimerGroup timer_groups


cdef inline bint timer_group_is_quiet(TimerGroup *g) noexcept nogil:
    # May say no too often.  An armed timer is looked at by the coarse clock first;
    # within COARSE_MARGIN_NS of its time, or past it, the precise one decides.
    cdef int64_t first_ns = atomic_load_i64(&g.lists[REALTIME].earliest_ns)
    return (atomic_load_i64(&g.lists[VIRTUAL].earliest_ns) == NEVER_NS
            and atomic_load_i64(&g.lists[HOST].earliest_ns) == NEVER_NS
            and (first_ns == NEVER_NS
                 or first_ns - clock_monotonic_coarse_ns() > COARSE_MARGIN_NS))

cdef enum:
    COARSE_MARGIN_NS = 20000000
