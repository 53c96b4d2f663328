# Polling callbacks: called once an iteration, before the timeout is computed.

from libc.stdint cimport uint64_t

from qemu_mainloop._core.dispatch cimport Dispatch
from qemu_mainloop._core.wakeup cimport Wakeup
from qemu_mainloop._sys.leaflock cimport LeafLock

ctypedef int (*PollingCallback)(void *opaque) noexcept nogil
ctypedef void (*ReleaseCallback)(void *opaque) noexcept nogil

cdef struct PollingNode:
    PollingNode *next
    PollingCallback func
    void *opaque
    ReleaseCallback release      # called with opaque when nothing refers to it; or NULL
    bint in_runtime
    bint removed
    uint64_t made_in             # the last walk that had begun when it was added

cdef struct PollingList:
    PollingNode *first           # in the order of registration, removed ones included
    int count                    # of those not removed; read without the lock
    int walks                    # on the stack of the polling thread
    uint64_t walk                # counts the walks begun
    LeafLock *lock                  # the context's
    Wakeup *wakeup

cdef void polling_init(PollingList *list, LeafLock *lock, Wakeup *wakeup) noexcept nogil
cdef void polling_destroy(PollingList *list) noexcept nogil
# 0, -ENOMEM.
cdef int polling_add(PollingList *list, PollingCallback func, void *opaque,
                     ReleaseCallback release) noexcept nogil
# The first that matches; opaque is compared by identity.  False: none does.
cdef bint polling_remove(PollingList *list, PollingCallback func, void *opaque) noexcept nogil
# Calls all of them; true: one answered that the iteration must not block.
cdef bint polling_run(PollingList *list, Dispatch *d) noexcept nogil
