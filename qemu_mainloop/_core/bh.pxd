# Bottom halves: scheduled from any thread or signal handler, run by the loop.
#
# The queue is a stack that producers push on with one atomic exchange and the
# loop takes whole with another, then turns round: first in, first out.
#
#   producer                              loop
#   P1 state := NOW by exchange           L1 top := NULL by exchange, follow next
#   P2 state was FREE: next := LINKING    L2 unlink a node from its own list
#   P3 top := node by exchange            L3 state := FREE by exchange
#   P4 next := the old top                L4 NOW, IDLE: run it; DELETED: free it
#   P5 the loop sleeps? wake it
#
# A node's state leaves FREE before it is linked and becomes FREE after it is
# unlinked, so it is in the queue at most once.  P1 and L3 are exchanges on the
# same word, hence full fences: a producer that finds NOW there knows that L3 is
# still to come, and that the run after it sees what the producer wrote before.
#
# Deleting is the same exchange with DELETED.  If the state was FREE the node is
# pushed for the loop to free, unless the loop cannot be about to run it.  The
# exchange, or P4, is the deleter's last touch.
#
# Between P3 and P4 the older nodes cannot be reached.  The loop waits a moment;
# if the producer was preempted there, the queue counts as work for later: the loop
# does not sleep for longer than BH_LINK_WAIT_NS, and P5 follows P4.
#
# Guarded ones are those whose producers exclude each other, and are no signal handlers.  The
# poller, as such a producer, finds the state changed by nobody, and puts the node into a list
# of its own, for which it needs no exchange.  Not if there is anything on top: that is older.
# Where a runtime's lock is what excludes them, L3 needs no exchange either while it is held.

from libc.stdint cimport int64_t, uint64_t, uintptr_t

from qemu_mainloop._core.dispatch cimport Dispatch
from qemu_mainloop._core.wakeup cimport Wakeup, wakeup_kick
from qemu_mainloop._sys.atomic cimport (
    atomic_exchange_seq_int, atomic_exchange_seq_ptr, atomic_load_acquire_int,
    atomic_load_acquire_ptr, atomic_load_int, atomic_load_seq_ptr, atomic_load_size,
    atomic_store_int, atomic_store_ptr, atomic_store_release_ptr)
from qemu_mainloop._sys.thread cimport Mutex, thread_self

ctypedef void (*BHCallback)(void *opaque) noexcept nogil

cdef enum BHState:
    BH_FREE = 0             # not in the queue
    BH_CANCELLED = 1        # in the queue, nothing to run
    BH_IDLE = 2             # in the queue, within 10 ms
    BH_NOW = 3              # in the queue, at once
    BH_DELETED = 4          # in the queue, to be freed

cdef enum BHGuard:
    BH_UNGUARDED = 0
    BH_GUARDED = 1          # by something that the loop does not hold
    BH_RUNTIME = 2          # by the runtime's lock

cdef enum:
    BH_IDLE_NS = 10000000
    BH_LINK_WAIT_NS = 50000

cdef struct QEMUBH "QEMUBH":
    # Wherever a block begins, what producers write is on one cache line, and the queue, which
    # they read, on none that the loop writes.
    QEMUBH *next
    int state
    int deleted             # set before the state is: not to be run any more
    uint64_t last_pass      # the loop's: the iteration that ran it last
    int64_t made_in         # the last phase that had begun when it was made
    BHCallback cb
    void *opaque
    bint in_runtime
    bint oneshot            # free it once it has run
    bint reached            # bh_queue_repair's mark
    int guard               # BHGuard
    BHCallback release      # called with opaque when nothing refers to it; or NULL
    QEMUBH *all_next        # the list of all, under the queue's lock
    BHQueue *queue
    QEMUBH *all_prev

cdef struct BHQueue:
    QEMUBH *top             # producers
    Wakeup *wakeup
    char apart[48]          # producers and the loop on cache lines of their own
    QEMUBH *unlinked        # taken, but a producer is between P3 and P4
    QEMUBH *newer           # what was on top of it
    QEMUBH *head            # in order, not yet run
    QEMUBH *tail
    QEMUBH *later           # ran in this pass, scheduled again: the next one's
    QEMUBH *later_tail
    QEMUBH *own             # scheduled by the poller, in order: older than top
    QEMUBH *own_tail
    uint64_t running        # the iteration whose phase is in progress; 0: none, or a nested one was
    int64_t phase           # counts the phases begun; read by any thread
    QEMUBH *all
    int count
    Mutex lock              # guards all and count

cdef void bh_queue_init(BHQueue *q, Wakeup *wakeup) noexcept nogil
# Frees every bottom half there is.  Nobody may be using the queue.
cdef void bh_queue_destroy(BHQueue *q) noexcept nogil
# In a forked child: makes the queue whole again from the list of all.
cdef void bh_queue_repair(BHQueue *q) noexcept nogil

cdef QEMUBH *bh_new(BHQueue *q, BHCallback cb, void *opaque, BHCallback release,
                    bint oneshot) noexcept nogil
# Its opaque is a zeroed part of so many bytes of the bottom half itself: there as long as the
# callback may be called.
cdef QEMUBH *bh_new_with_room(BHQueue *q, BHCallback cb, size_t room) noexcept nogil
# Before it is scheduled first; and back, before a signal handler gets to know it.
cdef inline void bh_set_guard(QEMUBH *bh, BHGuard guard) noexcept nogil:
    bh.guard = guard


# True: it was scheduled, and is not any more.
cdef bint bh_cancel(QEMUBH *bh) noexcept nogil
# Cancels and gives up.
cdef void bh_delete(QEMUBH *bh) noexcept nogil
cdef void bh_schedule_idle(QEMUBH *bh) noexcept nogil

# The loop's side.  Nanoseconds the loop may sleep for bottom halves' sake; -1: any.
cdef int64_t bh_timeout_ns(BHQueue *q) noexcept nogil
# Runs what is scheduled, each at most once; true: one that was not idle ran.
cdef bint bh_run(BHQueue *q, uint64_t pass_, Dispatch *d) noexcept nogil


cdef inline bint bh_is_scheduled(QEMUBH *bh) noexcept nogil:
    cdef int state = atomic_load_acquire_int(&bh.state)
    return state == BH_IDLE or state == BH_NOW


cdef inline QEMUBH *bh_linking() noexcept nogil:
    return <QEMUBH *> 1                      # no node has this address


cdef inline void bh_push(BHQueue *q, QEMUBH *bh) noexcept nogil:
    atomic_store_ptr(&bh.next, bh_linking())                         # P2
    cdef void *below = atomic_exchange_seq_ptr(&q.top, bh)           # P3: pairs with L1
    atomic_store_release_ptr(&bh.next, below)                        # P4


cdef inline void bh_schedule(QEMUBH *bh) noexcept nogil:
    cdef BHQueue *q = bh.queue               # bh may be gone once it is queued
    cdef int before = atomic_exchange_seq_int(&bh.state, BH_NOW)     # P1: pairs with L3
    if before == BH_NOW:
        return                               # whoever made it NOW wakes the loop
    if before == BH_FREE:
        bh_push(q, bh)
    wakeup_kick(q.wakeup)                                            # P5


cdef inline void bh_link(QEMUBH **first, QEMUBH **last, QEMUBH *bh) noexcept nogil:
    # Whole before it is linked: another thread may fork here.
    if first[0] == NULL:
        atomic_store_release_ptr(first, bh)
    else:
        atomic_store_release_ptr(&last[0].next, bh)
    last[0] = bh


# Of one that is guarded, by a producer whose turn it is.
cdef inline void bh_schedule_guarded(QEMUBH *bh) noexcept nogil:
    cdef BHQueue *q = bh.queue
    cdef int before
    if (bh.guard == BH_UNGUARDED or atomic_load_size(&q.wakeup.poller) != thread_self()
            or atomic_load_acquire_ptr(&q.top) != NULL or q.unlinked != NULL):
        bh_schedule(bh)
        return
    before = atomic_load_int(&bh.state)
    if before == BH_NOW:
        return
    atomic_store_int(&bh.state, BH_NOW)
    if before == BH_FREE:
        bh.next = NULL
        # The phase would put it there when its turn came.
        if q.own == NULL and q.head == NULL and q.running and bh.last_pass >= q.running:
            bh_link(&q.later, &q.later_tail, bh)
        else:
            bh_link(&q.own, &q.own_tail, bh)
    wakeup_kick(q.wakeup)                    # on the way to sleep: a signal's doing


# The loop's: one that ran in the last pass was scheduled again meanwhile.
cdef inline bint bh_queue_goes_on(const BHQueue *q) noexcept nogil:
    return q.later != NULL and atomic_load_acquire_int(&q.later.state) == BH_NOW


cdef inline bint bh_queue_is_empty(const BHQueue *q) noexcept nogil:
    # Pairs with P3; together with the exchange in wakeup_prepare_sleep: S3.
    # One branch for the loop's own: most often all are empty.
    return (atomic_load_seq_ptr(<void *> &q.top) == NULL
            and (<uintptr_t> q.head | <uintptr_t> q.later | <uintptr_t> q.own
                 | <uintptr_t> q.unlinked) == 0)
