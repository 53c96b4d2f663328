# A queue and what it is told; the facts are in kqueueset.pxd.

from libc.errno cimport ENOMEM
from libc.stdlib cimport free, realloc
from libc.string cimport memset

from qemu_mainloop._core.fork cimport fork_generation
from qemu_mainloop._sys.atomic cimport atomic_store_release_int
from qemu_mainloop._sys.kqueue cimport (
    kevent_bit, kevent_events, kevent_fd, kevent_is_answer, kevent_tag, kqueue_call,
    kqueue_change, kqueue_open)
from qemu_mainloop._sys.posix cimport POLLIN, POLLOUT, close


cdef int kqueueset_open(KqueueSet *q) noexcept nogil:
    cdef int rc
    memset(q, 0, sizeof(KqueueSet))
    q.generation = fork_generation
    q.fd = rc = kqueue_open()
    if rc >= 0:
        rc = kqueueset_grow(q, 63)
    if rc < 0:
        kqueueset_close(q)
        return rc
    return 0


cdef void kqueueset_close(KqueueSet *q) noexcept nogil:
    if q.fd >= 0 and q.generation == fork_generation:
        close(q.fd)
    free(q.slots)
    free(q.pending)
    free(q.changes)
    free(q.events)


cdef int kqueueset_make_room(KqueueSet *q, int wanted) noexcept nogil:
    cdef KEvent *events
    if wanted > q.room:
        events = <KEvent *> realloc(q.events, wanted * sizeof(KEvent))
        if events == NULL:
            return -ENOMEM
        q.events = events
        q.room = wanted
    return 0


cdef int kqueueset_grow(KqueueSet *q, int fd) noexcept nogil:
    # Whatever was enlarged stays so: a failure changes nothing that can be seen.
    cdef int places = 2 * q.places if q.places else 64
    cdef KqueueSlot *slots
    cdef int *pending
    cdef KEvent *changes
    while places <= fd:
        places *= 2
    slots = <KqueueSlot *> realloc(q.slots, places * sizeof(KqueueSlot))
    if slots == NULL:
        return -ENOMEM
    q.slots = slots
    pending = <int *> realloc(q.pending, places * sizeof(int))
    if pending == NULL:
        return -ENOMEM
    q.pending = pending
    changes = <KEvent *> realloc(q.changes, 2 * places * sizeof(KEvent))
    if changes == NULL:
        return -ENOMEM
    q.changes = changes
    if kqueueset_make_room(q, 2 * places) < 0:
        return -ENOMEM
    memset(slots + q.places, 0, (places - q.places) * sizeof(KqueueSlot))
    q.places = places
    return 0


# ---- telling

cdef void kqueueset_settle(KqueueSlot *s) noexcept nogil:
    cdef int state = KQUEUE_SETTLED if s.inside else KQUEUE_NONE
    if s.pending or s.by_poll:
        state = KQUEUE_BUSY
    # Pairs with the load in queue_detach, which reads what was written before.
    atomic_store_release_int(&s.state, state)


cdef void kqueueset_note(KqueueSet *q, int fd) noexcept nogil:
    cdef KqueueSlot *s = &q.slots[fd]
    if not s.pending:
        s.pending = True
        q.pending[q.n_pending] = fd
        q.n_pending += 1
        kqueueset_settle(s)


cdef int kqueueset_changes(KqueueSet *q, bint receipt) noexcept nogil:
    cdef KqueueSlot *s
    cdef int i, fd, bit, side
    cdef int n = 0
    for i in range(q.n_pending):
        fd = q.pending[i]
        s = &q.slots[fd]
        s.failed = 0
        for side in range(2):
            bit = POLLIN if side == 0 else POLLOUT
            if (s.wanted | s.inside) & bit:
                kqueue_change(&q.changes[n], fd, bit, s.wanted & bit != 0, s.tag, receipt)
                n += 1
    return n


cdef int kqueueset_answers(KqueueSet *q, int n) noexcept nogil:
    cdef KqueueSlot *s
    cdef int i, error
    cdef int failed = 0
    for i in range(n):
        if kevent_is_answer(&q.events[i], &error) and error:
            failed += 1
            s = &q.slots[kevent_fd(&q.events[i])]
            if s.wanted & kevent_bit(&q.events[i]):
                s.failed |= <int16_t> kevent_bit(&q.events[i])
                s.error = error
    return failed


cdef void kqueueset_forget(KqueueSet *q, int fd) noexcept nogil:
    # That it is not there (any more) is no error.
    cdef KEvent change, answer
    cdef KqueueSlot *s = &q.slots[fd]
    if s.inside & POLLIN:
        kqueue_change(&change, fd, POLLIN, False, 0, True)
        kqueue_call(q.fd, &change, 1, &answer, 1, 0)
    if s.inside & POLLOUT:
        kqueue_change(&change, fd, POLLOUT, False, 0, True)
        kqueue_call(q.fd, &change, 1, &answer, 1, 0)
    s.wanted = s.inside = 0
    atomic_store_release_int(&s.state, KQUEUE_NONE)


# ---- what it tells

cdef void kqueueset_put(FDReady *r, int fd, uint32_t tag, int events) noexcept nogil:
    r.fd = fd
    r.tag = tag
    r.events = events
    r.by_number = True


cdef int kqueueset_report(KqueueSet *q, int n, FDReady *ready, int max) noexcept nogil:
    cdef int i, fd, place
    cdef int reported = 0
    for i in range(n):
        fd = kevent_fd(&q.events[i])
        place = q.slots[fd].seen - 1
        if 0 <= place < reported and ready[place].fd == fd:
            ready[place].events |= kevent_events(&q.events[i])
        elif reported < max:
            kqueueset_put(&ready[reported], fd, kevent_tag(&q.events[i]),
                          kevent_events(&q.events[i]))
            reported += 1
            q.slots[fd].seen = reported
    return reported
