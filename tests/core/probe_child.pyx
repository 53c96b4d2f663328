# Child watches over timers and an fd table of their own; the test says what time it is.

from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.stdint cimport int64_t
from libc.string cimport memset

from qemu_mainloop._core cimport child
from qemu_mainloop._core.child cimport (
    ChildList, child_list_destroy, child_list_drop, child_list_init, child_watch)
from qemu_mainloop._core.clock cimport REALTIME, clock_get_ns
from qemu_mainloop._core.dispatch cimport Dispatch, dispatch_begin
from qemu_mainloop._core.fdtable cimport FdTable, fd_table_init
from qemu_mainloop._core.fork cimport fork_generation
from qemu_mainloop._core.iohandler cimport fd_table_destroy
from qemu_mainloop._core.timer cimport (
    TimerGroup, timer_armed_for_ns, timer_group_destroy, timer_group_init, timer_list_run_until)
from qemu_mainloop._core.wakeup cimport Wakeup
from qemu_mainloop._sys.posix cimport pid_t
from qemu_mainloop._sys.leaflock cimport LeafLock, leaf_init


def without_pidfd(bint without):
    child.child_without_pidfd = without


def now_ns():
    return clock_get_ns(REALTIME)


cdef void call(void *opaque, pid_t pid, int status) noexcept with gil:
    (<object> opaque)(pid, status)
    Py_DECREF(<object> opaque)


cdef void let_go(void *opaque) noexcept with gil:
    (<object> opaque)("dropped", None)
    Py_DECREF(<object> opaque)


cdef class Watches:
    cdef ChildList list
    cdef FdTable fds
    cdef TimerGroup timers
    cdef Wakeup w
    cdef LeafLock lock

    def __cinit__(self):
        memset(&self.w, 0, sizeof(Wakeup))
        memset(&self.timers, 0, sizeof(TimerGroup))
        leaf_init(&self.lock)
        fd_table_init(&self.fds, &self.lock, &self.w)
        timer_group_init(&self.timers, &self.lock, &self.w, False, NULL)
        child_list_init(&self.list, &self.fds, &self.timers, &self.lock)

    def close(self):
        with nogil:
            child_list_destroy(&self.list)
            timer_group_destroy(&self.timers)
            fd_table_destroy(&self.fds)

    def watch(self, pid_t pid, fn=None):
        cdef int rc
        if fn is None:
            with nogil:
                rc = child_watch(&self.list, pid, NULL, NULL, NULL)
            return rc
        rc = child_watch(&self.list, pid, call, <void *> fn, let_go)
        if rc == 0:
            Py_INCREF(fn)
        return rc

    def run_until(self, int64_t until_ns):
        cdef Dispatch d
        with nogil:
            dispatch_begin(&d, 0)
            timer_list_run_until(&self.timers.lists[REALTIME], until_ns, &d, True)

    def drop_parents(self):
        """As in a child process."""
        with nogil:
            child_list_drop(&self.list)

    def make_a_parents(self):
        self.list.first.generation = fork_generation - 1

    def looks_at(self):
        """When the timer is to look; -1: not; None: there is no timer."""
        return timer_armed_for_ns(self.list.timer) if self.list.timer != NULL else None

    @property
    def count(self):
        return self.list.count

    @property
    def sources(self):
        return self.fds.sources
