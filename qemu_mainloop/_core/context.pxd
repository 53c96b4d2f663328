# A context: everything a loop owns.
#
# A context is polled by one thread at a time; all else may be called
# from any thread.  `lock` is a leaf: no user code, no runtime's lock and no
# iothread lock is asked for under it.

from libc.stdint cimport int64_t, uint64_t, uintptr_t

from qemu_mainloop._core.bh cimport BHQueue, bh_queue_is_empty
from qemu_mainloop._core.child cimport ChildList
from qemu_mainloop._core.dispatch cimport Dispatch
from qemu_mainloop._core.fork cimport ForkMember, fork_generation
from qemu_mainloop._core.hosting cimport Hosting
from qemu_mainloop._core.fdmon cimport fdmon_is_quiet
from qemu_mainloop._core.fdtable cimport FdTable, fd_table_is_settled
from qemu_mainloop._core.lock cimport FifoLock, lock_is_wanted
from qemu_mainloop._core.polling cimport PollingList
from qemu_mainloop._core.timer cimport TimerGroup, timer_group_is_quiet
from qemu_mainloop._core.wakeup cimport Wakeup, wakeup_is_mine
from qemu_mainloop._sys.atomic cimport (
    atomic_cas_seq_size, atomic_load_acquire_ptr, atomic_load_acquire_size, atomic_load_int,
    atomic_store_release_size)
from qemu_mainloop._sys.leaflock cimport LeafLock
from qemu_mainloop._sys.thread cimport thread_self


# What a caller with a runtime of its own (Python's wait() and run()) adds.
cdef struct Driver:
    # Whether the runtime's lock is held: carried from one iteration to the next, so that
    # a run of iterations takes it no oftener than its callbacks need it.  The caller
    # begins and ends it.
    Dispatch d
    # Called right before a sleep, or NULL: non-zero means do not sleep.  If this thread is the one
    # that looks for signals, with the runtime's lock held and the thread's signals blocked;
    # the sleep lets them through.
    bint (*before_sleep)(Driver *driver) noexcept nogil
    bint looks_for_signals
    # Other threads may take this thread's signals: ask again at least so often.
    int64_t longest_sleep_ns
    # How long after it was asked last a sleep may go without asking; 0: not at all.  Such
    # a sleep ends when that time is over, so nothing is overlooked for longer.
    int64_t trust_ns
    int64_t asked_ns
    # What the caller knew of ctx.events when it last looked whether to go on; 0: it does
    # not iterate again and again.  Kept by iterations.  One does not sleep if it is behind.
    uintptr_t seen_events

# Before a sleep: how long to look at memory first.
cdef struct BusyPolling:
    int64_t max_ns
    int64_t grow
    int64_t shrink
    int64_t now_ns               # adapted between 0 and max_ns

# Before a sleep of a driver that has the runtime's lock: to ask the kernel first saves letting
# it go and taking it back if something is ready already, and costs a system call if not.
cdef struct LookingFirst:
    int sleeps                   # to come without it
    int penalty                  # how many of them the next look that finds nothing costs
    int found                    # looks in a row that found something

cdef struct Counters:
    int64_t iterations
    int64_t sleeps

cdef struct ContextStats:
    int handlers
    int bottom_halves
    int timers
    int pending_timers
    int child_watches
    int polling_callbacks
    bint hosted
    int64_t poll_ns
    uint64_t iterations
    uint64_t sleeps
    uint64_t rebuilds

cdef enum:
    EVENTS_UNSEEN = 1            # behind, whatever the count, which begins above

cdef struct AioContext "AioContext":
    Wakeup wakeup
    BHQueue bhs
    FdTable fds
    TimerGroup timers
    PollingList polling
    ChildList children
    FifoLock *iothread_lock      # NULL: a context of one's own
    LeafLock lock
    int references
    int generation               # of forks: whose kernel objects these are
    uintptr_t last_poller        # the last iteration's iteration_thread_number; 0: none yet
    uintptr_t events             # counted: what a caller may have to see, see leave()
    uintptr_t eventful_in        # the thread that knows of them all, as last_poller
    uintptr_t foreign_waiter     # the thread that waits elsewhere for this loop; 0: none
    int depth                    # iterations of this context on the stack
    int keepers                  # of the claim there, between their iterations too: iteration_keep
    uint64_t pass_               # the number of the last iteration begun
    const char *named_fdmon      # NULL: the best there is
    int wall_watch_fd            # readable when the wall clock was set; -1: none
    Hosting hosting
    BusyPolling busy
    LookingFirst looking
    Counters counters
    void *block                  # what is freed in the end
    void *keepsake               # somebody's, as long as the context lives
    void (*drop_keepsake)(void *keepsake) noexcept nogil
    ForkMember fork_member

# What a new one's poll_max_ns is.  A variable for the tests' sake, as in _fdmon/adaptive.pxd.
cdef int64_t first_poll_max_ns

# 0 or negative errno; lock is the iothread lock or NULL.
cdef int context_new(AioContext **ctx, FifoLock *iothread_lock) noexcept nogil
cdef void context_ref(AioContext *ctx) noexcept nogil
cdef void context_unref(AioContext *ctx) noexcept nogil
# It is not the calling thread's: clock_step() leaves it to whoever polls it.
cdef void context_disown(AioContext *ctx) noexcept nogil
# Read it before looking whether to go on.
cdef inline uintptr_t context_events(AioContext *ctx) noexcept nogil:
    # Pairs with the release in leave().
    return atomic_load_acquire_size(&ctx.events)


# False: another thread polls it.  True: the calling thread is the poller now, or was.
cdef inline bint context_claim(AioContext *ctx) noexcept nogil:
    # Pairs with the release at the end of an iteration; see wakeup_is_mine for the lock.
    if atomic_load_acquire_size(&ctx.wakeup.poller) == thread_self():
        return True
    return atomic_cas_seq_size(&ctx.wakeup.poller, 0, thread_self())


# By who claimed: an outer iteration may go on, or somebody keep the claim.
cdef inline bint context_is_held(const AioContext *ctx) noexcept nogil:
    return ctx.depth != 0 or ctx.keepers != 0


cdef inline void context_unclaim(AioContext *ctx) noexcept nogil:
    if not context_is_held(ctx):
        atomic_store_release_size(&ctx.wakeup.poller, 0)


cdef int context_set_fdmon(AioContext *ctx, const char *name) noexcept nogil
cdef const char *context_fdmon_name(AioContext *ctx) noexcept nogil
cdef int context_fileno(AioContext *ctx) noexcept nogil
cdef int context_set_poll_params(AioContext *ctx, int64_t max_ns, int64_t grow,
                                 int64_t shrink) noexcept nogil
cdef void context_stats(AioContext *ctx, ContextStats *stats) noexcept nogil
# In a forked child, before the first use of the kernel objects.  0 or negative errno.
cdef int context_restart(AioContext *ctx) noexcept nogil


# The parts, for modules that do not see the struct's body.
cdef inline Wakeup *context_wakeup(AioContext *ctx) noexcept nogil:
    return &ctx.wakeup


cdef inline BHQueue *context_bhs(AioContext *ctx) noexcept nogil:
    return &ctx.bhs


cdef inline FdTable *context_fds(AioContext *ctx) noexcept nogil:
    return &ctx.fds


cdef inline TimerGroup *context_timers(AioContext *ctx) noexcept nogil:
    return &ctx.timers


cdef inline ChildList *context_children(AioContext *ctx) noexcept nogil:
    return &ctx.children


cdef inline PollingList *context_polling(AioContext *ctx) noexcept nogil:
    return &ctx.polling


cdef inline bint context_is_polled(AioContext *ctx) noexcept nogil:
    return (atomic_load_acquire_size(&ctx.wakeup.poller) != 0
            or atomic_load_int(&ctx.timers.stepping) != 0)


cdef inline bint context_is_polled_elsewhere(AioContext *ctx) noexcept nogil:
    cdef size_t poller = atomic_load_acquire_size(&ctx.wakeup.poller)
    return poller != 0 and poller != thread_self()


cdef inline bint context_is_hosted(AioContext *ctx) noexcept nogil:
    return atomic_load_int(&ctx.wakeup.hosted)


# The kernel would report nothing: there is nothing to report, or it has said so in memory.
cdef inline bint context_is_quiet(AioContext *ctx) noexcept nogil:
    cdef bint quiet
    if atomic_load_int(&ctx.fds.sources) == 0:
        return True
    # The claim, or another thread might close what is read here.
    if not context_claim(ctx):
        return False
    quiet = fdmon_is_quiet(&ctx.fds.mon)
    context_unclaim(ctx)
    return quiet


# A non-blocking iteration would find nothing and ask the kernel nothing: it needs not the
# lock, and the claim for the last look only.  It may say no too often.
cdef inline bint context_has_nothing_to_do(AioContext *ctx) noexcept nogil:
    return ((atomic_load_acquire_ptr(&ctx.fds.mon.bell) != NULL
             or atomic_load_int(&ctx.fds.sources) == 0)
            and wakeup_is_mine(&ctx.wakeup)
            and ctx.wakeup.generation == fork_generation
            and not atomic_load_int(&ctx.wakeup.notified)
            and bh_queue_is_empty(&ctx.bhs)
            and fd_table_is_settled(&ctx.fds)
            and atomic_load_int(&ctx.polling.count) == 0
            and not atomic_load_int(&ctx.wakeup.hosted)
            and not atomic_load_int(&ctx.wakeup.notify_me)   # a whole one ends a foreign wait
            and timer_group_is_quiet(&ctx.timers)
            and (ctx.iothread_lock == NULL or not lock_is_wanted(ctx.iothread_lock))
            and context_is_quiet(ctx))
