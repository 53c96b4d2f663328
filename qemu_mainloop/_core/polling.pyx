# Polling callbacks.

from libc.errno cimport ENOMEM
from libc.stdint cimport uint64_t
from libc.stdlib cimport calloc, free

from qemu_mainloop._core.dispatch cimport (
    AnyFunction, dispatch_forked, dispatch_switch, runtime_owns)
from qemu_mainloop._core.wakeup cimport wakeup_notify_others
from qemu_mainloop._sys.atomic cimport atomic_store_int
from qemu_mainloop._sys.leaflock cimport LeafLock, leaf_lock, leaf_unlock


cdef void polling_init(PollingList *list, LeafLock *lock, Wakeup *wakeup) noexcept nogil:
    list.first = NULL
    list.walks = list.count = 0
    list.walk = 0
    list.lock = lock
    list.wakeup = wakeup


cdef int polling_add(PollingList *list, PollingCallback func, void *opaque,
                     ReleaseCallback release) noexcept nogil:
    cdef PollingNode **link
    cdef PollingNode *node = <PollingNode *> calloc(1, sizeof(PollingNode))
    if node == NULL:
        return -ENOMEM
    node.func = func
    node.opaque = opaque
    node.release = release
    node.in_runtime = runtime_owns(<AnyFunction> func)
    leaf_lock(list.lock)
    node.made_in = list.walk
    link = &list.first
    while link[0] != NULL:
        link = &link[0].next
    link[0] = node
    atomic_store_int(&list.count, list.count + 1)
    leaf_unlock(list.lock)
    wakeup_notify_others(list.wakeup)
    return 0


# Takes out what was removed; the lock is held and no walk is on.
cdef PollingNode *unlink_removed(PollingList *list) noexcept nogil:
    cdef PollingNode *gone = NULL
    cdef PollingNode *node
    cdef PollingNode **link = &list.first
    while link[0] != NULL:
        node = link[0]
        if node.removed:
            link[0] = node.next
            node.next = gone
            gone = node
        else:
            link = &node.next
    return gone


cdef void free_nodes(PollingNode *node) noexcept nogil:
    cdef PollingNode *next_
    while node != NULL:
        next_ = node.next
        if node.release != NULL:
            node.release(node.opaque)
        free(node)
        node = next_


cdef bint polling_remove(PollingList *list, PollingCallback func, void *opaque) noexcept nogil:
    cdef PollingNode *gone = NULL
    cdef PollingNode *node
    cdef bint found
    leaf_lock(list.lock)
    node = list.first
    while node != NULL and (node.removed or node.func != func or node.opaque != opaque):
        node = node.next
    found = node != NULL
    if found:
        node.removed = True
        atomic_store_int(&list.count, list.count - 1)
        if list.walks == 0:
            gone = unlink_removed(list)
    leaf_unlock(list.lock)
    free_nodes(gone)
    return found


cdef bint polling_run(PollingList *list, Dispatch *d) noexcept nogil:
    # Nodes stay linked while a walk is on, so that a callback may remove any.  One that is
    # added meanwhile is the next iteration's, which may be one nested in this.
    cdef PollingNode *node
    cdef PollingNode *gone = NULL
    cdef bint must_not_block = False
    cdef uint64_t walk
    leaf_lock(list.lock)
    list.walks += 1
    list.walk += 1
    walk = list.walk
    node = list.first
    while node != NULL:
        if not node.removed and node.made_in < walk:
            leaf_unlock(list.lock)
            dispatch_switch(d, node.in_runtime)
            if node.func(node.opaque):
                must_not_block = True
            leaf_lock(list.lock)
            if dispatch_forked(d):
                break
        node = node.next
    list.walks -= 1
    if list.walks == 0:
        gone = unlink_removed(list)
    leaf_unlock(list.lock)
    free_nodes(gone)
    return must_not_block


cdef void polling_destroy(PollingList *list) noexcept nogil:
    free_nodes(list.first)
    list.first = NULL
