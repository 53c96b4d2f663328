# A queue of kqueue(2), what each descriptor wants of it, and what it has been told.
#
# * Reading and writing are two filters of a descriptor, with an event each: two events of
#   one descriptor become one report.
# * Changes and waiting are one call.  So what is wanted is kept in a list of descriptors,
#   and the next wait makes changes of what became of each.  A change that fails comes back
#   as an event, and the call does not wait then.
# * A queue forgets a descriptor that is closed, whoever has duplicates of it.  So it never
#   reports a number that is not open, and there is nothing to find out or to rebuild.
# * A forked child does not have the queue, and its number may be another file's.
#
# Another thread may have the queue forget a descriptor while it is waited for, if the
# poller has nothing to say about it: that is `state`, the one thing which both look at.

from libc.stdint cimport int16_t, uint8_t, uint32_t

from qemu_mainloop._core.fdmon cimport FDReady
from qemu_mainloop._sys.kqueue cimport KEvent

cdef enum:
    KQUEUE_NONE = 0          # the queue has nothing of it
    KQUEUE_SETTLED = 1       # the queue has what is wanted
    KQUEUE_BUSY = 2          # the poller's alone: the queue is to be told, or poll(2) has it

cdef struct KqueueSlot:
    int state                # atomic
    uint32_t tag
    int16_t wanted
    int16_t inside           # what the queue has, or had until the descriptor was closed
    int16_t failed           # of the changes just made
    uint8_t pending          # in the list of what the queue is to be told
    uint8_t by_poll
    int error                # why it failed
    int seen                 # index + 1 of the report that the last wait made of it

cdef struct KqueueSet:
    int fd
    int generation           # of forks
    KqueueSlot *slots        # by descriptor
    int places
    int *pending             # as long as slots; changes has room for two of each
    int n_pending
    KEvent *changes
    KEvent *events           # room for an answer to each change, or more
    int room

# 0 or negative errno.
cdef int kqueueset_open(KqueueSet *q) noexcept nogil
cdef void kqueueset_close(KqueueSet *q) noexcept nogil
# For fd; and for that many events.  0, -ENOMEM.
cdef int kqueueset_grow(KqueueSet *q, int fd) noexcept nogil
cdef int kqueueset_make_room(KqueueSet *q, int wanted) noexcept nogil

# The poller's.  What is wanted of fd has changed; and the state that follows from a slot.
cdef void kqueueset_note(KqueueSet *q, int fd) noexcept nogil
cdef void kqueueset_settle(KqueueSlot *s) noexcept nogil
# Writes what is to be told to `changes`, with an answer to each (receipt) or to those that
# fail; how many.  Then, of n events that came back, how many failed.
cdef int kqueueset_changes(KqueueSet *q, bint receipt) noexcept nogil
cdef int kqueueset_answers(KqueueSet *q, int n) noexcept nogil
# What n events say, one report for each descriptor; how many reports.
cdef int kqueueset_report(KqueueSet *q, int n, FDReady *ready, int max) noexcept nogil
cdef void kqueueset_put(FDReady *r, int fd, uint32_t tag, int events) noexcept nogil

# Of any thread, where the state is KQUEUE_SETTLED: at once.
cdef void kqueueset_forget(KqueueSet *q, int fd) noexcept nogil
