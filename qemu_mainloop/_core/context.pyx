# A context's life, its forks and its settings; iteration.pyx runs it.

from libc.errno cimport EBUSY, EINVAL, ENOMEM
from libc.stdint cimport uintptr_t
from libc.stdlib cimport calloc, free

from qemu_mainloop._core.bh cimport bh_queue_destroy, bh_queue_init, bh_queue_repair
from qemu_mainloop._core.child cimport (
    child_list_destroy, child_list_drop, child_list_init)
from qemu_mainloop._core.clock cimport CLOCKS
from qemu_mainloop._core.fdmon cimport FDMon, fdmon_close, fdmon_open
from qemu_mainloop._core.fdtable cimport (
    FD_INTERNAL, FD_NOTIFIER, fd_table_apply, fd_table_init, fd_table_restart, fd_table_verify)
from qemu_mainloop._core.fork cimport fork_join, fork_leave
from qemu_mainloop._core.hosting cimport (
    hosting_close, hosting_init, hosting_open, hosting_sleep)
from qemu_mainloop._core.iohandler cimport fd_table_destroy, fd_table_repair, fd_table_set
from qemu_mainloop._core.polling cimport polling_destroy, polling_init
from qemu_mainloop._core.signals cimport signals_drop
from qemu_mainloop._core.timer cimport (
    TimerList, timer_group_destroy, timer_group_init, timer_group_repair, timer_list_armed)
from qemu_mainloop._sys.atomic cimport (
    atomic_add_seq_int, atomic_cas_seq_int, atomic_load_i64, atomic_store_i64,
    atomic_store_release_size)
from qemu_mainloop._sys.leaflock cimport leaf_init, leaf_lock, leaf_repair, leaf_unlock
from qemu_mainloop._sys.notifier cimport notifier_close, notifier_open
from qemu_mainloop._sys.posix cimport close
from qemu_mainloop._sys.thread cimport (
    mutex_init, mutex_lock, mutex_unlock, thread_self)

cdef enum:
    CACHE_LINE = 64


# ---- life

cdef int open_kernel_objects(AioContext *ctx) noexcept nogil:
    cdef int rc = notifier_open(&ctx.wakeup.notifier)
    if rc < 0:
        return rc
    rc = fdmon_open(&ctx.fds.mon, ctx.named_fdmon)
    if rc == 0:
        rc = watch_notifier(ctx)
    if rc < 0:
        close_kernel_objects(ctx)
    return rc


cdef int watch_notifier(AioContext *ctx) noexcept nogil:
    return fd_table_set(&ctx.fds, ctx.wakeup.notifier.read_fd, FD_NOTIFIER, nothing, NULL, NULL,
                        NULL, NULL, False)


cdef void nothing(void *opaque) noexcept nogil:
    pass


cdef void close_kernel_objects(AioContext *ctx) noexcept nogil:
    fdmon_close(&ctx.fds.mon)
    notifier_close(&ctx.wakeup.notifier)


cdef int context_new(AioContext **out, FifoLock *iothread_lock) noexcept nogil:
    cdef void *block = calloc(1, sizeof(AioContext) + CACHE_LINE)
    cdef AioContext *ctx
    cdef int rc
    if block == NULL:
        return -ENOMEM
    # At the beginning of a cache line, which Wakeup and BHQueue count from.
    ctx = <AioContext *> ((<uintptr_t> block + CACHE_LINE - 1) // CACHE_LINE * CACHE_LINE)
    ctx.block = block
    leaf_init(&ctx.lock)
    ctx.references = 1
    ctx.iothread_lock = iothread_lock
    ctx.wall_watch_fd = -1
    ctx.generation = ctx.wakeup.generation = fork_generation
    ctx.busy.grow = 2
    ctx.busy.max_ns = ctx.busy.now_ns = first_poll_max_ns
    bh_queue_init(&ctx.bhs, &ctx.wakeup)
    fd_table_init(&ctx.fds, &ctx.lock, &ctx.wakeup)
    rc = open_kernel_objects(ctx)
    if rc < 0:
        fd_table_destroy(&ctx.fds)
        free(block)
        return rc
    ctx.events = EVENTS_UNSEEN + 1
    timer_group_init(&ctx.timers, &ctx.lock, &ctx.wakeup, iothread_lock != NULL, NULL)
    ctx.timers.hold = hold
    ctx.timers.let_go = let_go
    ctx.timers.context = ctx
    polling_init(&ctx.polling, &ctx.lock, &ctx.wakeup)
    child_list_init(&ctx.children, &ctx.fds, &ctx.timers, &ctx.lock)
    hosting_init(&ctx.hosting, &ctx.fds, &ctx.timers, &ctx.bhs, &ctx.wakeup)
    ctx.fork_member.owner = ctx
    ctx.fork_member.lock = fork_lock
    ctx.fork_member.unlock = fork_unlock
    ctx.fork_member.child = fork_child
    fork_join(&ctx.fork_member)
    out[0] = ctx
    return 0


cdef void context_ref(AioContext *ctx) noexcept nogil:
    atomic_add_seq_int(&ctx.references, 1)


cdef void context_unref(AioContext *ctx) noexcept nogil:
    if ctx == NULL or atomic_add_seq_int(&ctx.references, -1) != 1:
        return
    fork_leave(&ctx.fork_member)
    child_list_destroy(&ctx.children)
    hosting_close(&ctx.hosting)
    if ctx.wall_watch_fd >= 0:
        close(ctx.wall_watch_fd)
    polling_destroy(&ctx.polling)
    fd_table_destroy(&ctx.fds)
    timer_group_destroy(&ctx.timers)
    bh_queue_destroy(&ctx.bhs)
    close_kernel_objects(ctx)
    if ctx.keepsake != NULL:
        ctx.drop_keepsake(ctx.keepsake)
    free(ctx.block)


cdef void context_disown(AioContext *ctx) noexcept nogil:
    atomic_store_release_size(&ctx.timers.home, 0)


cdef bint hold(void *context) noexcept nogil:
    # Unless the last reference is gone: then it is only waiting to leave the clocks' list.
    cdef AioContext *ctx = <AioContext *> context
    cdef int references = atomic_load_int(&ctx.references)
    while references > 0:
        if atomic_cas_seq_int(&ctx.references, references, references + 1):
            return True
        references = atomic_load_int(&ctx.references)
    return False


cdef void let_go(void *context) noexcept nogil:
    context_unref(<AioContext *> context)


# ---- fork

cdef void fork_lock(void *owner) noexcept nogil:
    cdef AioContext *ctx = <AioContext *> owner
    leaf_lock(&ctx.lock)
    mutex_lock(&ctx.bhs.lock)


cdef void fork_unlock(void *owner) noexcept nogil:
    cdef AioContext *ctx = <AioContext *> owner
    mutex_unlock(&ctx.bhs.lock)
    leaf_unlock(&ctx.lock)


cdef void fork_child(void *owner) noexcept nogil:
    # Memory alone; context_restart sees to the kernel objects at the first use.
    cdef AioContext *ctx = <AioContext *> owner
    if ctx.wakeup.poller != thread_self():
        ctx.wakeup.poller = 0
        ctx.depth = ctx.keepers = 0
        ctx.polling.walks = 0
    if ctx.timers.stepping and ctx.timers.stepper != thread_self():
        # A step of the clock, and its reference, that nobody here will give back.
        ctx.references -= ctx.timers.stepping
        ctx.timers.stepping = 0
    ctx.wakeup.notify_me = 0
    leaf_repair(&ctx.lock)
    # It is held while the clocks' lock is taken, so it cannot be held over a fork; what
    # it guards is computed anew.
    mutex_init(&ctx.hosting.lock)
    fd_table_repair(&ctx.fds)
    bh_queue_repair(&ctx.bhs)
    timer_group_repair(&ctx.timers)


cdef int context_restart(AioContext *ctx) noexcept nogil:
    # What is inherited is closed and not touched otherwise: it is the parent's too.
    cdef bint was_hosted = context_is_hosted(ctx)      # also if an earlier try failed
    cdef int old_notifier_fd = ctx.wakeup.notifier.read_fd
    cdef int rc
    child_list_drop(&ctx.children)
    signals_drop(&ctx.fds)
    hosting_close(&ctx.hosting)
    if ctx.wall_watch_fd >= 0:
        drop_internal(ctx, ctx.wall_watch_fd)
        ctx.wall_watch_fd = -1
    drop_notifier(ctx, old_notifier_fd)
    close_kernel_objects(ctx)
    give_up_closed(ctx)
    rc = open_kernel_objects(ctx)
    if rc < 0:
        return rc
    leaf_lock(&ctx.lock)
    fd_table_restart(&ctx.fds)
    leaf_unlock(&ctx.lock)
    ctx.generation = ctx.wakeup.generation = fork_generation
    return hosting_reopen(ctx) if was_hosted else 0


# Before kernel objects are made: they may get the number of a descriptor that was closed under
# its handler, and an fdmon is not to watch itself by it.
cdef void give_up_closed(AioContext *ctx) noexcept nogil:
    fd_table_verify(&ctx.fds)


cdef int hosting_reopen(AioContext *ctx) noexcept nogil:
    cdef int rc = hosting_open(&ctx.hosting)
    return rc if rc < 0 else 0


cdef void drop_internal(AioContext *ctx, int fd) noexcept nogil:
    fd_table_set(&ctx.fds, fd, FD_INTERNAL, NULL, NULL, NULL, NULL, NULL, False)
    close(fd)


cdef void drop_notifier(AioContext *ctx, int fd) noexcept nogil:
    fd_table_set(&ctx.fds, fd, FD_NOTIFIER, NULL, NULL, NULL, NULL, NULL, False)

# ---- settings

cdef int context_set_fdmon(AioContext *ctx, const char *name) noexcept nogil:
    cdef FDMon fresh
    cdef FDMon old
    cdef int rc
    give_up_closed(ctx)
    rc = fdmon_open(&fresh, name)
    if rc < 0:
        return rc
    if ctx.hosting.fd >= 0 or ctx.depth > 0 or not context_claim(ctx):
        fdmon_close(&fresh)
        return -EBUSY
    leaf_lock(&ctx.lock)
    old = ctx.fds.mon
    ctx.fds.mon = fresh
    ctx.named_fdmon = fresh.ops.name
    if name == NULL:
        ctx.named_fdmon = NULL
    fd_table_restart(&ctx.fds)
    leaf_unlock(&ctx.lock)
    context_unclaim(ctx)
    fdmon_close(&old)
    return 0


cdef const char *context_fdmon_name(AioContext *ctx) noexcept nogil:
    if ctx.fds.mon.ops == NULL:
        return NULL                      # a fork failed to make new kernel objects
    return ctx.fds.mon.ops.name


cdef int context_fileno(AioContext *ctx) noexcept nogil:
    cdef int rc = 0
    if ctx.generation == fork_generation and ctx.hosting.fd >= 0:
        return ctx.hosting.fd
    # What an iteration does first in a forked child is for one thread to do.
    if not context_claim(ctx):
        return -EBUSY
    if ctx.generation != fork_generation:
        rc = context_restart(ctx)
    if rc >= 0 and ctx.hosting.fd < 0:
        give_up_closed(ctx)
        fd_table_apply(&ctx.fds)             # the fdmon is to have let go of them, too
        rc = hosting_open(&ctx.hosting)
    if rc >= 0:
        show_to_host(ctx)
        rc = ctx.hosting.fd
    context_unclaim(ctx)
    return rc


cdef void show_to_host(AioContext *ctx) noexcept nogil:
    # What was registered before shows from now on.
    fd_table_apply(&ctx.fds)
    if ctx.depth == 0:
        hosting_sleep(&ctx.hosting)


cdef int context_set_poll_params(AioContext *ctx, int64_t max_ns, int64_t grow,
                                 int64_t shrink) noexcept nogil:
    if max_ns < 0 or grow < 0 or shrink < 0:
        return -EINVAL
    atomic_store_i64(&ctx.busy.grow, grow if grow > 0 else 2)
    atomic_store_i64(&ctx.busy.shrink, shrink)
    atomic_store_i64(&ctx.busy.now_ns, max_ns)
    atomic_store_i64(&ctx.busy.max_ns, max_ns)
    return 0


cdef void context_stats(AioContext *ctx, ContextStats *stats) noexcept nogil:
    cdef int clock
    cdef TimerList *list
    leaf_lock(&ctx.lock)
    stats.handlers = ctx.fds.count
    stats.timers = stats.pending_timers = 0
    for clock in range(CLOCKS):
        list = &ctx.timers.lists[clock]
        stats.timers += list.timers
        stats.pending_timers += timer_list_armed(list)
    stats.child_watches = ctx.children.count
    stats.polling_callbacks = ctx.polling.count
    stats.rebuilds = ctx.fds.rebuilds
    leaf_unlock(&ctx.lock)
    mutex_lock(&ctx.bhs.lock)
    stats.bottom_halves = ctx.bhs.count
    mutex_unlock(&ctx.bhs.lock)
    stats.hosted = context_is_hosted(ctx)
    stats.poll_ns = atomic_load_i64(&ctx.busy.now_ns)
    stats.iterations = atomic_load_i64(&ctx.counters.iterations)
    stats.sleeps = atomic_load_i64(&ctx.counters.sleeps)
