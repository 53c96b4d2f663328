# A queue of bottom halves without a loop: the test is producer, loop and fork.

from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.stdint cimport uint64_t, uintptr_t
from libc.string cimport memset

from qemu_mainloop._core.bh cimport (
    BH_CANCELLED, BH_DELETED, BH_FREE, BH_GUARDED, BH_IDLE, BH_IDLE_NS, BH_LINK_WAIT_NS, BH_NOW,
    BHQueue, QEMUBH, bh_cancel, bh_delete, bh_is_scheduled, bh_linking, bh_new,
    bh_queue_destroy, bh_queue_init, bh_queue_is_empty, bh_queue_repair, bh_run, bh_schedule,
    bh_schedule_guarded, bh_schedule_idle, bh_set_guard, bh_timeout_ns)
from qemu_mainloop._core.dispatch cimport Dispatch, dispatch_begin
from qemu_mainloop._core.fork cimport fork_generation
from qemu_mainloop._core.wakeup cimport Wakeup, wakeup_end_sleep, wakeup_prepare_sleep
from qemu_mainloop._sys.notifier cimport notifier_close, notifier_open
from qemu_mainloop._sys.thread cimport thread_self

FREE, CANCELLED, IDLE, NOW, DELETED = BH_FREE, BH_CANCELLED, BH_IDLE, BH_NOW, BH_DELETED
IDLE_NS, LINK_WAIT_NS = BH_IDLE_NS, BH_LINK_WAIT_NS


cdef void call(void *opaque) noexcept with gil:
    (<object> opaque)()


# Notes it as well, for whom it matters when.
cdef void let_go(void *opaque) noexcept with gil:
    note = getattr(<object> opaque, "note_release", None)
    if note is not None:
        note()
    Py_DECREF(<object> opaque)


cdef class Node:
    cdef QEMUBH *bh
    cdef void *below

    def schedule(self):
        with nogil:
            bh_schedule(self.bh)

    def schedule_guarded(self):
        """By the polling thread."""
        bh_set_guard(self.bh, BH_GUARDED)
        self.bh.queue.wakeup.poller = thread_self()
        bh_schedule_guarded(self.bh)
        self.bh.queue.wakeup.poller = 0

    def schedule_idle(self):
        with nogil:
            bh_schedule_idle(self.bh)

    def cancel(self):
        return bh_cancel(self.bh)

    def delete(self):
        with nogil:
            bh_delete(self.bh)

    def is_scheduled(self):
        return bh_is_scheduled(self.bh)

    @property
    def state(self):
        return self.bh.state

    # The steps of a producer, as far as it came.
    def change_state(self, int state):
        self.bh.state = state

    def mark_deleted(self):
        self.bh.deleted = 1

    def half_push(self):
        """P2 and P3."""
        self.bh.next = bh_linking()
        self.below = self.bh.queue.top
        self.bh.queue.top = self.bh

    def finish_push(self):
        """P4."""
        self.bh.next = <QEMUBH *> self.below


cdef class Queue:
    cdef BHQueue q
    cdef Wakeup w
    cdef uint64_t passes

    def __cinit__(self):
        memset(&self.q, 0, sizeof(BHQueue))
        memset(&self.w, 0, sizeof(Wakeup))
        if notifier_open(&self.w.notifier) < 0:
            raise OSError
        self.w.generation = fork_generation
        bh_queue_init(&self.q, &self.w)

    def close(self):
        with nogil:
            bh_queue_destroy(&self.q)
        notifier_close(&self.w.notifier)

    def new(self, fn, bint oneshot=False):
        cdef Node node = Node.__new__(Node)
        Py_INCREF(fn)
        node.bh = bh_new(&self.q, call, <void *> fn, let_go, oneshot)
        return node

    def run(self):
        """A phase of its own."""
        self.passes += 1
        return self.run_nested()

    def run_nested(self):
        """Once more with the same number."""
        cdef Dispatch d
        cdef bint progress
        cdef uint64_t pass_ = self.passes
        with nogil:
            dispatch_begin(&d, 0)
            progress = bh_run(&self.q, pass_, &d)
        return progress

    def timeout_ns(self):
        cdef long long timeout_ns
        with nogil:
            timeout_ns = bh_timeout_ns(&self.q)
        return timeout_ns

    def lose_own_tail(self):
        """One was linked behind it, or was the first, and no more."""
        self.q.own_tail = <QEMUBH *> <uintptr_t> 1

    def repair(self):
        with nogil:
            bh_queue_repair(&self.q)

    def is_empty(self):
        return bh_queue_is_empty(&self.q)

    def pop_head(self):
        """L2: the loop has taken the oldest one, and not yet freed its state."""
        self.q.head = self.q.head.next

    def lose_list(self):
        """The loop was changing its own list."""
        self.q.head = self.q.tail = NULL

    def fall_asleep(self):
        wakeup_prepare_sleep(&self.w)

    def wake_up(self):
        wakeup_end_sleep(&self.w)

    def poll_in_another_thread(self, bint another):
        self.w.poller = <uintptr_t> 1 if another else 0

    @property
    def count(self):
        return self.q.count

    @property
    def notifier(self):
        return self.w.notifier.read_fd
