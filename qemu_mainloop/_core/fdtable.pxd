# The fd table: who wants to know what about which descriptor, and what of it the
# kernel has been told.
#
# A registration is a node that does not change: a replacement is a new node, and
# the old one is marked removed and lives until no dispatch is on the stack.  So the
# dispatch reads nodes without the lock, and a handler that was replaced never
# receives what was reported for the old one.
#
# Changes are noted and applied once before the next wait, so that setting a handler
# ten times costs one system call.  A removal is applied at once where it can be, so
# that the peer of a socket that is closed next sees the end at once.

from libc.stdint cimport int16_t, int64_t, uint8_t, uint32_t, uint64_t

from qemu_mainloop._core.fdmon cimport FDMon, FDReady
from qemu_mainloop._core.wakeup cimport Wakeup
from qemu_mainloop._sys.atomic cimport atomic_load_int, atomic_load_seq_int
from qemu_mainloop._sys.leaflock cimport LeafLock

ctypedef void (*FdCallback)(void *opaque) noexcept nogil
ctypedef int (*GateCallback)(void *opaque) noexcept nogil

cdef enum:
    FD_HANDLER = 0           # qemu_set_fd_handler
    FD_WAIT_OBJECT = 1       # qemu_add_wait_object
    FD_INTERNAL = 2          # the context's own: children, signals, the wall clock
    FD_NOTIFIER = 3          # the context's own eventfd: no progress, no callback

cdef struct FdHandler:
    # What a report and its dispatch touch comes first: a cache line, and four bytes.
    int fd
    uint32_t tag             # of this registration, in every report
    int removed              # read by the dispatch without the lock
    int16_t revents          # reported, not yet dispatched; the polling thread's, like
    int16_t watched          # what it was watched for when it was reported
    FdCallback io_read
    FdCallback io_write
    GateCallback can_read    # NULL: always
    void *opaque
    FdHandler *ready_next
    uint8_t kind
    uint8_t in_runtime
    uint8_t is_ready         # in the list of ready ones
    uint8_t calls            # since it was last verified
    uint8_t open_gate        # can_read's last answer
    uint8_t was_asked        # can_read has been asked at all
    uint32_t counted_from    # the wait that the first of the calls followed
    FdCallback release       # called with opaque when nothing refers to it; or NULL
    FdHandler *gate_next     # the list of those with can_read, under the lock
    FdHandler *gate_prev
    FdHandler *retired_next

cdef struct FdSlot:
    # What a report touches comes first: 16 bytes, which are on one cache line.
    FdHandler *handler       # NULL: nobody
    uint32_t kernel_tag      # what the fdmon was told last
    int16_t kernel_events
    uint8_t changed          # in the list of changes
    uint8_t is_dead          # its handler's descriptor was closed under it
    int64_t muted_until_ns   # 0: not; see fd_table_mute
    int muted_next           # the next in the list of muted ones, plus one; 0: the last
    uint8_t in_muted         # in that list, perhaps not muted any more

cdef struct FdTable:
    FdSlot *slots            # by descriptor
    int *changes             # as long as slots: noting a change cannot fail
    int size
    FDReady *reports         # the polling thread's: where wait() reports to
    int max_reports
    uint32_t waits           # that reported something
    # Something is to be done under the lock before the next wait, or is being done by
    # another thread; see fd_table_open.  Read without the lock.
    int unsettled
    int changed
    int count                # handlers and wait objects, for info()
    int sources              # the same and the context's own, but for the notifier
    int dead
    int muted
    int muted_first          # the list of those that were muted: number plus one; 0: none
    int stale_waits          # in a row, that had a report which fits no registration
    bint must_rebuild
    int rebuilds             # counted, for info()
    uint32_t last_tag
    FdHandler *gates         # those with can_read
    int gate_count           # read without the lock
    uint64_t looks           # counts what was looked at: reports, none included
    FdHandler *ready_first
    FdHandler *ready_last
    FdHandler *retired       # removed, a dispatch may still see it
    FDMon mon
    FDMon mirror             # hosted, and mon has no descriptor to show: an epoll
    LeafLock *lock              # the context's
    Wakeup *wakeup

cdef enum:
    # How long a descriptor is left alone that reports only what nobody asked for (it
    # has hung up, and only its writability is watched): no spin, and no loss.
    MUTE_NS = 10000000
    # Waits in a row with a report that fits no registration, before the kernel's set is
    # made anew.
    STALE_WAITS = 3

cdef void fd_table_init(FdTable *t, LeafLock *lock, Wakeup *wakeup) noexcept nogil

# Takes and gives back the lock.  Whoever changes something raises `unsettled` by a full
# fence before it looks whether somebody polls, and the poller looks at it after its claim:
# so either the poller waits for the lock before its next wait, or the other one sees it.
cdef void fd_table_open(FdTable *t) noexcept nogil
cdef void fd_table_shut(FdTable *t) noexcept nogil

# With the lock held.  Room for fd: 0, -ENOMEM.
cdef int fd_table_grow(FdTable *t, int fd) noexcept nogil
# What is wanted of fd may have changed: it is looked at before the next wait.
cdef void fd_table_note(FdTable *t, int fd) noexcept nogil
# fd was closed under its handler; and somebody registered the number anew.
cdef void fd_table_bury(FdTable *t, int fd) noexcept nogil
cdef void fd_table_revive(FdTable *t, FdSlot *slot) noexcept nogil
# Leave fd alone for MUTE_NS.
cdef void fd_table_mute(FdTable *t, int fd) noexcept nogil
# Tells the fdmon of fd, or of everything noted.  0 or negative errno.
cdef int fd_table_apply_one(FdTable *t, int fd) noexcept nogil
cdef int fd_table_apply_all(FdTable *t) noexcept nogil
# The kernel has been told nothing yet (a new fdmon, a fork): note everything.
cdef void fd_table_restart(FdTable *t) noexcept nogil
# An entry that outlived its number, which the kernel cannot be told to forget.  Not one that
# was removed meanwhile: it does not come again.
cdef bint fd_table_is_stale(const FdTable *t, const FDReady *r) noexcept nogil
cdef void fd_table_rebuild_later(FdTable *t) noexcept nogil
# Hosted: something is ready, or may be, that shows in no descriptor.
cdef bint fd_table_has_hidden(FdTable *t) noexcept nogil

# The polling thread's, without the lock.
# Tells the fdmon what changed.  0, or negative errno: nothing can be waited for.
# fd_table_apply does so if there is anything.
cdef int fd_table_settle(FdTable *t) noexcept nogil
# Nanoseconds until a muted descriptor is to be looked at again; -1: none.
cdef int64_t fd_table_timeout_ns(FdTable *t) noexcept nogil
# What the fdmon watches fd for, for a foreign wait: a closed one is buried first.  -1: the
# table ends before it.
cdef int fd_table_wants(FdTable *t, int fd, uint32_t *tag) noexcept nogil
# Looks at every descriptor and marks those that were closed; how many are.
cdef int fd_table_verify(FdTable *t) noexcept nogil


cdef inline int fd_table_apply(FdTable *t) noexcept nogil:
    # Pairs with the exchange in fd_table_open; the claim was a full fence.
    if not atomic_load_seq_int(&t.unsettled) and not atomic_load_int(&t.mon.restless):
        return 0
    return fd_table_settle(t)


# Nothing to ask, to apply or to look at again?
cdef inline bint fd_table_is_settled(const FdTable *t) noexcept nogil:
    return (atomic_load_seq_int(&t.unsettled) == 0 and atomic_load_int(&t.gate_count) == 0
            and t.ready_first == NULL)
