# Bottom halves; the protocol and its proof are in bh.pxd.

from libc.stdlib cimport calloc, free

from qemu_mainloop._core.dispatch cimport (
    AnyFunction, dispatch_forked, dispatch_switch, runtime_owns)
from qemu_mainloop._core.wakeup cimport wakeup_is_mine
from qemu_mainloop._sys.atomic cimport (
    atomic_cas_seq_int, atomic_exchange_seq_int, atomic_exchange_seq_ptr, atomic_load_acquire_int,
    atomic_load_acquire_ptr, atomic_load_i64, atomic_load_int, atomic_load_seq_int,
    atomic_load_seq_ptr, atomic_store_i64, atomic_store_int, atomic_store_release_int,
    cpu_relax)
from qemu_mainloop._sys.thread cimport mutex_destroy, mutex_init, mutex_lock, mutex_unlock

cdef enum:
    LINK_SPINS = 128        # enough for a producer that runs; see bh.pxd
    MOST_FRESH = 1000       # bottom halves made in a phase that also run in it


cdef void bh_queue_init(BHQueue *q, Wakeup *wakeup) noexcept nogil:
    q.top = q.unlinked = q.newer = q.head = q.tail = NULL
    q.later = q.later_tail = q.own = q.own_tail = q.all = NULL
    q.count = 0
    q.phase = 0
    q.running = 0
    q.wakeup = wakeup
    mutex_init(&q.lock)


cdef QEMUBH *bh_new(BHQueue *q, BHCallback cb, void *opaque, BHCallback release,
                    bint oneshot) noexcept nogil:
    cdef QEMUBH *bh = <QEMUBH *> calloc(1, sizeof(QEMUBH))
    if bh != NULL:
        bh.opaque = opaque
        bh.release = release
        bh.oneshot = oneshot
        join(q, bh, cb)
    return bh


cdef QEMUBH *bh_new_with_room(BHQueue *q, BHCallback cb, size_t room) noexcept nogil:
    cdef QEMUBH *bh = <QEMUBH *> calloc(1, sizeof(QEMUBH) + room)
    if bh != NULL:
        bh.opaque = bh + 1
        join(q, bh, cb)
    return bh


cdef void join(BHQueue *q, QEMUBH *bh, BHCallback cb) noexcept nogil:
    bh.cb = cb
    bh.queue = q
    bh.in_runtime = runtime_owns(<AnyFunction> cb)
    bh.made_in = atomic_load_i64(&q.phase)
    mutex_lock(&q.lock)
    bh.all_next = q.all
    if q.all != NULL:
        q.all.all_prev = bh
    q.all = bh
    q.count += 1
    mutex_unlock(&q.lock)


cdef void leave_all(QEMUBH *bh) noexcept nogil:
    cdef BHQueue *q = bh.queue
    mutex_lock(&q.lock)
    if bh.all_prev != NULL:
        bh.all_prev.all_next = bh.all_next
    else:
        q.all = bh.all_next
    if bh.all_next != NULL:
        bh.all_next.all_prev = bh.all_prev
    q.count -= 1
    mutex_unlock(&q.lock)


cdef void let_go(QEMUBH *bh) noexcept nogil:
    if bh.release != NULL:
        bh.release(bh.opaque)
    free(bh)


cdef void discard(QEMUBH *bh) noexcept nogil:
    leave_all(bh)
    let_go(bh)


cdef void bh_schedule_idle(QEMUBH *bh) noexcept nogil:
    cdef BHQueue *q = bh.queue
    cdef int before
    while True:
        before = atomic_load_seq_int(&bh.state)
        # Setting NOW to NOW is no change but a fence, as in bh_schedule.
        if atomic_cas_seq_int(&bh.state, before, BH_NOW if before == BH_NOW else BH_IDLE):
            break
    if before == BH_FREE:
        bh_push(q, bh)
    if before < BH_IDLE:
        wakeup_kick(q.wakeup)                # so that its 10 ms hold


cdef bint bh_cancel(QEMUBH *bh) noexcept nogil:
    cdef int before
    while True:
        before = atomic_load_seq_int(&bh.state)
        if before != BH_NOW and before != BH_IDLE:
            return False
        if atomic_cas_seq_int(&bh.state, before, BH_CANCELLED):
            return True


cdef void bh_delete(QEMUBH *bh) noexcept nogil:
    cdef BHQueue *q = bh.queue
    atomic_store_release_int(&bh.deleted, 1)     # pairs with the load in bh_run
    if atomic_exchange_seq_int(&bh.state, BH_DELETED) != BH_FREE:
        return                                   # the loop meets it in the queue
    if wakeup_is_mine(q.wakeup):
        discard(bh)                              # nobody can be about to run it
    else:
        bh_push(q, bh)


# L1.  Moves what producers pushed to the loop's own list, oldest first.  Both the chain
# that was not linked last time and what came since: S3 rests on nothing being left out.
cdef void collect(BHQueue *q) noexcept nogil:
    if q.own != NULL:
        if q.head == NULL:
            q.head = q.own
        else:
            q.tail.next = q.own
        q.tail = q.own_tail
        q.own = NULL
    if q.unlinked != NULL and not turn_round(q, q.unlinked, q.newer):
        return
    if atomic_load_seq_ptr(&q.top) != NULL:                          # S3: pairs with P3
        turn_round(q, <QEMUBH *> atomic_exchange_seq_ptr(&q.top, NULL), NULL)


# Appends the chain from top down to the loop's list, behind it what is newer and turned
# round already.  False: a producer is not done yet, the chain is kept as unlinked.
cdef bint turn_round(BHQueue *q, QEMUBH *top, QEMUBH *newer) noexcept nogil:
    cdef QEMUBH *below
    cdef int spins = 0
    while top != NULL:
        below = <QEMUBH *> atomic_load_acquire_ptr(&top.next)        # pairs with P4
        if below == bh_linking():
            spins += 1
            if spins < LINK_SPINS:
                cpu_relax()
                continue
            q.unlinked = top
            q.newer = newer
            return False
        top.next = newer
        newer = top
        top = below
    q.unlinked = q.newer = NULL
    if q.head == NULL:
        q.head = newer
    else:
        q.tail.next = newer
    while newer != NULL:
        q.tail = newer
        newer = newer.next
    return True


# Takes a cancelled or deleted node, which is in no list of the loop's, out of
# circulation; false: there is something to run.
cdef bint drop_if_void(BHQueue *q, QEMUBH *bh) noexcept nogil:
    cdef int state = atomic_load_acquire_int(&bh.state)
    if state == BH_DELETED:
        discard(bh)
        return True
    # A producer may make it NOW again at any time: then it stays.
    return state == BH_CANCELLED and atomic_cas_seq_int(&bh.state, BH_CANCELLED, BH_FREE)


cdef int64_t bh_timeout_ns(BHQueue *q) noexcept nogil:
    cdef QEMUBH *bh
    cdef QEMUBH *kept = NULL
    cdef QEMUBH *next_
    cdef int64_t timeout_ns = -1
    if q.later != NULL:
        take_later(q)
    collect(q)
    if q.unlinked != NULL:
        timeout_ns = BH_LINK_WAIT_NS
    bh = q.head
    q.head = NULL
    while bh != NULL:
        next_ = bh.next
        if not drop_if_void(q, bh):
            if kept == NULL:
                q.head = bh
            else:
                kept.next = bh
            kept = bh
            bh.next = NULL
            if atomic_load_seq_int(&bh.state) == BH_NOW:
                bh.next = next_
                return 0                     # the rest of the list is as it was
            if timeout_ns < 0:
                timeout_ns = BH_IDLE_NS
        bh = next_
    q.tail = kept
    return timeout_ns


cdef void take_later(BHQueue *q) noexcept nogil:
    q.later_tail.next = q.head
    if q.head == NULL:
        q.tail = q.later_tail
    q.head = q.later
    q.later = q.later_tail = NULL


cdef void put_later(BHQueue *q, QEMUBH *bh) noexcept nogil:
    bh.next = NULL
    bh_link(&q.later, &q.later_tail, bh)


cdef inline int take_out(QEMUBH *bh, const Dispatch *d) noexcept nogil:
    cdef int state
    if bh.guard == BH_RUNTIME and d.holds == 1:
        state = atomic_load_int(&bh.state)
        atomic_store_int(&bh.state, BH_FREE)
    else:
        state = atomic_exchange_seq_int(&bh.state, BH_FREE)          # L3: pairs with P1
    return state


# One-shots wait for the next phase.  Others that were made in this one run at once, but
# a chain of new ones must not hold the phase for ever.
cdef bint is_too_fresh(const QEMUBH *bh, int64_t phase, int *fresh) noexcept nogil:
    if bh.made_in < phase:
        return False
    fresh[0] += 1
    return bh.oneshot or fresh[0] > MOST_FRESH


cdef bint bh_run(BHQueue *q, uint64_t pass_, Dispatch *d) noexcept nogil:
    cdef QEMUBH *bh
    cdef BHCallback cb
    cdef void *opaque
    cdef bint in_runtime, oneshot
    cdef int state
    cdef int fresh = 0
    cdef bint progress = False
    # Not the iteration's number: one that is nested before our phase has a later one, but
    # what is made between the two has waited for this phase.
    cdef int64_t phase = q.phase + 1
    atomic_store_i64(&q.phase, phase)
    q.running = pass_
    if q.later != NULL:
        take_later(q)
    while True:
        if q.head == NULL:
            collect(q)
            if q.head == NULL:
                q.running = 0
                return progress
        bh = q.head
        q.head = bh.next                                             # L2
        if drop_if_void(q, bh):
            continue
        if bh.last_pass >= pass_ or is_too_fresh(bh, phase, &fresh):
            put_later(q, bh)
            continue
        bh.last_pass = pass_
        cb = bh.cb
        opaque = bh.opaque
        in_runtime = bh.in_runtime
        state = take_out(bh, d)
        oneshot = bh.oneshot
        if state == BH_DELETED:
            discard(bh)
        elif atomic_load_acquire_int(&bh.deleted):
            continue                         # its deleter is about to push it
        if state != BH_NOW and state != BH_IDLE:
            continue
        progress = progress or state == BH_NOW
        dispatch_switch(d, in_runtime)
        cb(opaque)                                                   # L4
        # The callback may have deleted any other; a one-shot is known to nobody else.
        if oneshot:
            discard(bh)
        if dispatch_forked(d):
            q.running = 0
            return progress


cdef void bh_queue_destroy(BHQueue *q) noexcept nogil:
    cdef QEMUBH *bh = q.all
    cdef QEMUBH *next_
    while bh != NULL:
        next_ = bh.all_next
        let_go(bh)
        bh = next_
    mutex_destroy(&q.lock)


cdef void bh_queue_repair(BHQueue *q) noexcept nogil:
    # Which threads were where no longer matters: they are not in this process, and the
    # loop's own lists may be half changed if it was one of them.  What can be reached
    # keeps its order, what cannot goes behind.
    cdef QEMUBH *chains[5]
    cdef QEMUBH *bh = q.all
    cdef QEMUBH *next_
    cdef int i
    q.running = 0
    chains[0] = q.later
    chains[1] = q.head
    chains[2] = q.own
    q.head = q.tail = q.later = q.later_tail = q.own = q.own_tail = NULL
    collect(q)                               # what was pushed, oldest first
    chains[3] = q.head
    chains[4] = q.newer if q.unlinked != NULL else NULL
    q.top = q.unlinked = q.newer = q.head = q.tail = NULL
    for i in range(5):
        bh = chains[i]
        while bh != NULL and not bh.reached:
            next_ = bh.next
            append(q, bh)
            bh = next_
    bh = q.all
    while bh != NULL:
        if not bh.reached:
            append(q, bh)
        bh = bh.all_next
    bh = q.all
    while bh != NULL:
        bh.reached = False
        bh = bh.all_next


cdef void append(BHQueue *q, QEMUBH *bh) noexcept nogil:
    bh.reached = True
    if bh.state == BH_FREE:
        return
    bh.next = NULL
    if q.head == NULL:
        q.head = bh
    else:
        q.tail.next = bh
    q.tail = bh
