# The timers of one context; the test says what time it is.

from libc.stdint cimport INT64_MAX, int64_t
from libc.string cimport memset

from qemu_mainloop._core.clock cimport CLOCKS, HOST, REALTIME, VIRTUAL
from qemu_mainloop._core.dispatch cimport Dispatch, dispatch_begin
from qemu_mainloop._core.timer cimport (
    QEMUTimer, TimerGroup, TimerList, timer_arm, timer_armed_for_ns, timer_create, timer_destroy,
    timer_list_armed,
    timer_disarm, timer_group_destroy, timer_group_init, timer_in_ns, timer_list_deadline_ns,
    timer_list_run_until)
from qemu_mainloop._core.wakeup cimport Wakeup, wakeup_is_notified
from qemu_mainloop._sys.leaflock cimport LeafLock, leaf_init

NEVER = INT64_MAX
NUMBERS = {"REALTIME": REALTIME, "VIRTUAL": VIRTUAL, "HOST": HOST, "CLOCKS": CLOCKS}


cdef void call(void *opaque) noexcept with gil:
    (<object> opaque)()


cdef class Timer:
    cdef QEMUTimer *ts

    def arm(self, int64_t expire_ns, bint only_earlier=False):
        with nogil:
            timer_arm(self.ts, expire_ns, only_earlier)

    def arm_scaled(self, int64_t expire):
        self.arm(timer_in_ns(self.ts, expire))

    def disarm(self):
        return timer_disarm(self.ts)

    def destroy(self):
        with nogil:
            timer_destroy(self.ts)

    def armed_for(self):
        return timer_armed_for_ns(self.ts)


cdef class Group:
    cdef TimerGroup g
    cdef LeafLock lock
    cdef Wakeup w
    cdef list callbacks

    def __cinit__(self):
        self.callbacks = []
        memset(&self.g, 0, sizeof(TimerGroup))
        memset(&self.w, 0, sizeof(Wakeup))
        leaf_init(&self.lock)
        timer_group_init(&self.g, &self.lock, &self.w, False, NULL)

    def close(self):
        with nogil:
            timer_group_destroy(&self.g)

    def new(self, fn, int clock=VIRTUAL, int scale=1):
        """None: refused."""
        cdef Timer timer = Timer.__new__(Timer)
        timer.ts = timer_create(&self.g, clock, scale, call, <void *> fn)
        if timer.ts == NULL:
            return None
        self.callbacks.append(fn)
        return timer

    def run_until(self, int64_t now_ns, int clock=VIRTUAL):
        cdef Dispatch d
        cdef bint ran
        with nogil:
            dispatch_begin(&d, 0)
            ran = timer_list_run_until(&self.g.lists[clock], now_ns, &d, True)
        return ran

    def earliest(self, int clock=VIRTUAL):
        return self.g.lists[clock].earliest_ns

    def deadline(self, int clock=VIRTUAL):
        return timer_list_deadline_ns(&self.g.lists[clock])

    def is_notified(self):
        return wakeup_is_notified(&self.w)

    def claim_for_another(self):
        self.w.poller = 1

    def room(self, int clock=VIRTUAL):
        """(made, places in the heap, armed)"""
        cdef TimerList *list = &self.g.lists[clock]
        return list.timers, list.heap.capacity, timer_list_armed(list)

    def check(self, int clock=VIRTUAL):
        """Every timer is where it thinks, and no parent is later than its children."""
        cdef TimerList *list = &self.g.lists[clock]
        cdef int i, parent
        for i in range(list.heap.count):
            assert list.heap.slots[i].node.index == i
            assert (<QEMUTimer *> list.heap.slots[i].node).expire_ns == list.heap.slots[i].at_ns
            parent = (i - 1) // 4
            if i > 0:
                assert ((list.heap.slots[parent].at_ns, list.heap.slots[parent].node.order)
                        < (list.heap.slots[i].at_ns, list.heap.slots[i].node.order))
