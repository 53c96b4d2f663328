# Child watches.

from libc.errno cimport EINVAL, EMFILE, ENFILE, ENOMEM
from libc.stdint cimport uintptr_t
from libc.stdlib cimport calloc, free

from qemu_mainloop._core.fork cimport fork_generation
from qemu_mainloop._core.fdtable cimport FD_INTERNAL
from qemu_mainloop._core.iohandler cimport fd_table_set
from qemu_mainloop._core.clock cimport REALTIME, clock_get_ns
from qemu_mainloop._core.timer cimport QEMUTimer, timer_arm, timer_create, timer_destroy
from qemu_mainloop._sys.atomic cimport (
    atomic_cas_seq_size, atomic_load_acquire_ptr, atomic_load_int, atomic_store_int)
from qemu_mainloop._sys.fdsource cimport pidfd_open_child, source_close
from qemu_mainloop._sys.leaflock cimport LeafLock, leaf_lock, leaf_unlock
from qemu_mainloop._sys.posix cimport child_collect, child_look

cdef enum:
    LOOK_NS = 50000000       # how often, where there are no pidfds

child_without_pidfd = False


cdef void child_list_init(ChildList *list, FdTable *fds, TimerGroup *timers,
                          LeafLock *lock) noexcept nogil:
    list.first = NULL
    list.count = 0
    list.timer = NULL
    list.fds = fds
    list.timers = timers
    list.lock = lock


cdef bint unlink_watch(ChildList *list, ChildWatch *wanted) noexcept nogil:
    # False: it is not there (any more).
    cdef ChildWatch **link
    cdef bint found
    leaf_lock(list.lock)
    link = &list.first
    while link[0] != NULL and link[0] != wanted:
        link = &link[0].next
    found = link[0] != NULL
    if found:
        link[0] = wanted.next
        atomic_store_int(&list.count, list.count - 1)
    leaf_unlock(list.lock)
    return found


# Collects the child if it is gone; true: w is finished, and freed.
cdef bint collect(ChildWatch *w) noexcept nogil:
    cdef ChildCallback cb = w.cb
    cdef void *opaque = w.opaque
    cdef pid_t pid = w.pid
    cdef int status = -1
    cdef int rc = child_collect(pid, &status)
    if rc == 0:
        return False
    if rc < 0:
        status = -1
    if w.pidfd >= 0:
        fd_table_set(w.list.fds, w.pidfd, FD_INTERNAL, NULL, NULL, NULL, NULL, NULL, False)
        source_close(w.pidfd, w.generation != fork_generation)
    unlink_watch(w.list, w)
    free(w)
    if cb != NULL:
        cb(opaque, pid, status)
    return True


cdef void on_pidfd(void *opaque) noexcept nogil:
    collect(<ChildWatch *> opaque)


cdef void on_timer(void *opaque) noexcept nogil:
    # A callback may add and finish watches: after each one the list is walked anew.
    cdef ChildList *list = <ChildList *> opaque
    cdef ChildWatch *w
    cdef bint again = True
    cdef bint left = False
    while again:
        again = left = False
        leaf_lock(list.lock)
        w = list.first
        while w != NULL:
            if w.pidfd < 0:
                left = True
                if child_look(w.pid) != 0:
                    break
            w = w.next
        leaf_unlock(list.lock)
        if w != NULL:
            again = collect(w)
    if left:
        timer_arm(list.timer, clock_get_ns(REALTIME) + LOOK_NS, False)


# 0; 1: another watch has the pid; -ECHILD: another had it, and has collected the child since
# the caller looked.
cdef int link_watch(ChildList *list, ChildWatch *wanted) noexcept nogil:
    cdef ChildWatch *w
    cdef int rc
    leaf_lock(list.lock)
    w = list.first
    while w != NULL and (w.pid != wanted.pid or w.generation != fork_generation):
        w = w.next
    rc = 1 if w != NULL else min(child_look(wanted.pid), 0)
    if rc == 0:
        wanted.next = list.first
        list.first = wanted
        atomic_store_int(&list.count, list.count + 1)
    leaf_unlock(list.lock)
    return rc


# Where there are no pidfds: the timer, which two threads may be the first to need.
cdef int make_timer(ChildList *list) noexcept nogil:
    cdef QEMUTimer *timer
    if atomic_load_acquire_ptr(&list.timer) != NULL:
        return 0
    timer = timer_create(list.timers, REALTIME, 1, on_timer, list)
    if timer == NULL:
        return -ENOMEM
    if not atomic_cas_seq_size(<uintptr_t *> &list.timer, 0, <uintptr_t> timer):
        timer_destroy(timer)
    return 0


cdef int open_pidfd(ChildWatch *w) noexcept nogil:
    w.pidfd = -1 if child_without_pidfd else pidfd_open_child(w.pid)
    if w.pidfd == -EMFILE or w.pidfd == -ENFILE or w.pidfd == -ENOMEM:
        return w.pidfd
    if w.pidfd >= 0:
        return 0
    w.pidfd = -1
    return make_timer(w.list)


cdef int child_watch(ChildList *list, pid_t pid, ChildCallback cb, void *opaque,
                     ReleaseCallback release) noexcept nogil:
    cdef ChildWatch *w
    cdef bint without_pidfd
    cdef int rc
    if pid <= 0:
        return -EINVAL
    rc = child_look(pid)
    if rc < 0:
        return rc
    w = <ChildWatch *> calloc(1, sizeof(ChildWatch))
    if w == NULL:
        return -ENOMEM
    w.list = list
    w.pid = pid
    w.generation = fork_generation
    w.cb = cb
    w.opaque = opaque
    w.release = release
    rc = open_pidfd(w)
    if rc < 0:
        return give_up(w, rc)
    without_pidfd = w.pidfd < 0
    rc = link_watch(list, w)
    if rc != 0:
        return give_up(w, rc)
    # Also a child that is gone already reports: its pidfd is readable at once.  Without
    # one the timer may have collected it, and freed w, by now.
    if without_pidfd:
        timer_arm(list.timer, 0, False)
        return 0
    rc = fd_table_set(list.fds, w.pidfd, FD_INTERNAL, on_pidfd, NULL, NULL, w, NULL,
                      atomic_load_int(&list.fds.wakeup.hosted))
    if rc < 0:
        unlink_watch(list, w)
        return give_up(w, rc)
    return 0


cdef int give_up(ChildWatch *w, int rc) noexcept nogil:
    if w.pidfd >= 0:
        source_close(w.pidfd, w.generation != fork_generation)
    free(w)
    return rc


cdef void drop(ChildList *list, ChildWatch *w) noexcept nogil:
    unlink_watch(list, w)
    if w.pidfd >= 0:
        fd_table_set(list.fds, w.pidfd, FD_INTERNAL, NULL, NULL, NULL, NULL, NULL, False)
        source_close(w.pidfd, w.generation != fork_generation)
    if w.release != NULL:
        w.release(w.opaque)
    free(w)


cdef void child_list_drop(ChildList *list) noexcept nogil:
    cdef ChildWatch *w = list.first
    cdef ChildWatch *next_
    while w != NULL:
        next_ = w.next
        if w.generation != fork_generation:
            drop(list, w)
        w = next_


cdef void child_list_destroy(ChildList *list) noexcept nogil:
    while list.first != NULL:
        drop(list, list.first)
