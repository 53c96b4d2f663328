# A context's life, and one iteration; the phases are docs/iteration.md's.

from libc.errno cimport EBUSY, EINTR, EINVAL, ENOMEM
from libc.stdlib cimport calloc, free

from qemu_mainloop._core.bh cimport (
    bh_queue_destroy, bh_queue_init, bh_queue_repair, bh_run, bh_timeout_ns)
from qemu_mainloop._core.child cimport (
    child_list_destroy, child_list_drop, child_list_init)
from qemu_mainloop._core.dispatch cimport (
    dispatch_attach, dispatch_begin, dispatch_detach, dispatch_end, dispatch_forked)
from qemu_mainloop._core.fdmon cimport FDMon, fdmon_close, fdmon_open
from qemu_mainloop._core.fork cimport fork_join, fork_leave
from qemu_mainloop._core.hosting cimport (
    hosting_clear, hosting_close, hosting_init, hosting_open, hosting_show, hosting_sleep)
from qemu_mainloop._core.iohandler cimport (
    FD_INTERNAL, FD_NOTIFIER, fd_table_apply, fd_table_ask, fd_table_collect, fd_table_destroy,
    fd_table_dispatch, fd_table_forget, fd_table_init, fd_table_repair, fd_table_restart, fd_table_set,
    fd_table_sweep, fd_table_timeout_ns)
from qemu_mainloop._core.lock cimport lock_acquire, lock_is_mine, lock_release
from qemu_mainloop._core.polling cimport polling_destroy, polling_init, polling_run
from qemu_mainloop._core.timer cimport (
    CLOCKS, HOST, NEVER_NS, REALTIME, VIRTUAL, timer_group_destroy, timer_group_init,
    timer_group_repair, TimerList, timer_list_deadline_ns, timer_list_run)
from qemu_mainloop._core.wakeup cimport (
    wakeup_accept, wakeup_end_sleep, wakeup_is_notified, wakeup_prepare_sleep)
from qemu_mainloop._sys.atomic cimport (
    atomic_add_seq_int, atomic_cas_seq_int, atomic_cas_seq_size, atomic_load_acquire_size, atomic_load_i64,
    atomic_store_i64, atomic_store_release_size, cpu_relax)
from qemu_mainloop._sys.clock cimport clock_monotonic_ns
from qemu_mainloop._sys.fdsource cimport wall_clock_watch_arm, wall_clock_watch_open
from qemu_mainloop._sys.notifier cimport notifier_close, notifier_open, notifier_set
from qemu_mainloop._sys.posix cimport close
from qemu_mainloop._sys.thread cimport (
    SignalMask, mutex_destroy, mutex_init, mutex_lock, mutex_unlock, signal_mask_block_all,
    signal_mask_restore, thread_self)

cdef extern from *:
    """
    #if defined(_MSC_VER)
    static __declspec(thread) struct AioContext *qml_current;
    #else
    static __thread struct AioContext *qml_current;
    #endif
    """
    AioContext *current "qml_current"

cdef enum:
    # The wall clock is looked at so often when there is no way to be told of a change.
    WALL_LOOK_NS = 1000000000
    # Busy polling: looks at memory for each look at the kernel, and where it begins.
    LOOKS_PER_CALL = 64
    FIRST_SPIN_NS = 4000

cdef int run_order[CLOCKS]
run_order[:] = [VIRTUAL, REALTIME, HOST]


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
    cdef AioContext *ctx = <AioContext *> calloc(1, sizeof(AioContext))
    cdef int rc
    if ctx == NULL:
        return -ENOMEM
    mutex_init(&ctx.lock)
    ctx.references = 1
    ctx.iothread_lock = iothread_lock
    ctx.wall_watch_fd = -1
    ctx.generation = ctx.wakeup.generation = fork_generation
    ctx.busy.grow = 2
    bh_queue_init(&ctx.bhs, &ctx.wakeup)
    fd_table_init(&ctx.fds, &ctx.lock, &ctx.wakeup)
    rc = open_kernel_objects(ctx)
    if rc < 0:
        fd_table_destroy(&ctx.fds)
        free(ctx)
        return rc
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
    mutex_destroy(&ctx.lock)
    free(ctx)


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


cdef AioContext *context_current() noexcept nogil:
    return current


# ---- fork

cdef void fork_lock(void *owner) noexcept nogil:
    cdef AioContext *ctx = <AioContext *> owner
    mutex_lock(&ctx.lock)
    mutex_lock(&ctx.bhs.lock)


cdef void fork_unlock(void *owner) noexcept nogil:
    cdef AioContext *ctx = <AioContext *> owner
    mutex_unlock(&ctx.bhs.lock)
    mutex_unlock(&ctx.lock)


cdef void fork_child(void *owner) noexcept nogil:
    # Memory alone; context_restart sees to the kernel objects at the first use.
    cdef AioContext *ctx = <AioContext *> owner
    if ctx.wakeup.poller != thread_self():
        ctx.wakeup.poller = 0
        ctx.depth = 0
        ctx.polling.walks = 0
    ctx.wakeup.notify_me = 0
    # It is held while the clocks' lock is taken, so it cannot be held over a fork; what
    # it guards is computed anew.
    mutex_init(&ctx.hosting.lock)
    fd_table_repair(&ctx.fds)
    bh_queue_repair(&ctx.bhs)
    timer_group_repair(&ctx.timers)


cdef int context_restart(AioContext *ctx) noexcept nogil:
    # What is inherited is closed and not touched otherwise: it is the parent's too.
    cdef bint was_hosted = ctx.hosting.fd >= 0
    cdef int old_notifier_fd = ctx.wakeup.notifier.read_fd
    cdef int rc
    child_list_drop(&ctx.children)
    hosting_close(&ctx.hosting)
    if ctx.wall_watch_fd >= 0:
        drop_internal(ctx, ctx.wall_watch_fd)
        ctx.wall_watch_fd = -1
    drop_notifier(ctx, old_notifier_fd)
    close_kernel_objects(ctx)
    rc = open_kernel_objects(ctx)
    if rc < 0:
        return rc
    mutex_lock(&ctx.lock)
    fd_table_restart(&ctx.fds)
    mutex_unlock(&ctx.lock)
    ctx.generation = ctx.wakeup.generation = fork_generation
    return hosting_reopen(ctx) if was_hosted else 0


cdef int hosting_reopen(AioContext *ctx) noexcept nogil:
    cdef int rc = hosting_open(&ctx.hosting)
    return rc if rc < 0 else 0


cdef void drop_internal(AioContext *ctx, int fd) noexcept nogil:
    fd_table_set(&ctx.fds, fd, FD_INTERNAL, NULL, NULL, NULL, NULL, NULL, False)
    close(fd)


cdef void drop_notifier(AioContext *ctx, int fd) noexcept nogil:
    fd_table_set(&ctx.fds, fd, FD_NOTIFIER, NULL, NULL, NULL, NULL, NULL, False)


# ---- one iteration

cdef struct Iteration:
    AioContext *outer            # what this thread was in an iteration of
    uint64_t pass_
    bint took_lock               # the iothread lock, for the call
    Driver *driver
    Dispatch *d                  # the driver's, or own
    Dispatch own
    SignalMask mask


cdef void begin(Iteration *it, Driver *driver) noexcept nogil:
    it.driver = driver
    if driver == NULL:
        it.d = &it.own
        dispatch_begin(it.d, -1)
    else:
        it.d = &driver.d
        it.d.generation = fork_generation


cdef void end(Iteration *it) noexcept nogil:
    if it.driver == NULL:
        dispatch_end(it.d)


cdef bint claim(AioContext *ctx) noexcept nogil:
    # Pairs with the release in leave(); see wakeup_is_mine for the lock.
    if atomic_load_acquire_size(&ctx.wakeup.poller) == thread_self():
        return True
    return atomic_cas_seq_size(&ctx.wakeup.poller, 0, thread_self())


cdef int enter(AioContext *ctx, Iteration *it) noexcept nogil:
    global current
    cdef int rc
    if not claim(ctx):
        return -EBUSY
    if ctx.generation != fork_generation:
        rc = context_restart(ctx)
        if rc < 0:
            if ctx.depth == 0:
                atomic_store_release_size(&ctx.wakeup.poller, 0)
            return rc
    # wakeup_is_mine rests on this: what another thread changed under the lock before is
    # seen from here on, and who comes later sees the claim.
    mutex_lock(&ctx.lock)
    mutex_unlock(&ctx.lock)
    ctx.depth += 1
    ctx.pass_ += 1
    atomic_store_i64(&ctx.counters.iterations, ctx.counters.iterations + 1)
    it.pass_ = ctx.pass_
    it.outer = current
    current = ctx
    atomic_store_release_size(&ctx.timers.home, thread_self())
    atomic_store_release_size(&ctx.last_poller, thread_self())
    it.took_lock = ctx.iothread_lock != NULL and not lock_is_mine(ctx.iothread_lock)
    if it.took_lock:
        take_lock(ctx, it)
    return 0


cdef void take_lock(AioContext *ctx, Iteration *it) noexcept nogil:
    # Nobody waits for the iothread lock with the runtime's in hand.
    if lock_acquire(ctx.iothread_lock, 0) < 0:
        dispatch_detach(it.d)
        lock_acquire(ctx.iothread_lock, -1)


cdef void leave(AioContext *ctx, Iteration *it) noexcept nogil:
    global current
    current = it.outer
    ctx.depth -= 1
    if ctx.depth == 0:
        if dispatch_forked(it.d):
            fd_table_forget(&ctx.fds)
        fd_table_sweep(&ctx.fds)
        if atomic_load_int(&ctx.wakeup.hosted) and ctx.generation == fork_generation:
            hosting_sleep(&ctx.hosting)
        atomic_store_release_size(&ctx.wakeup.poller, 0)
    if it.took_lock:
        lock_release(ctx.iothread_lock)
    end(it)


cdef int context_iterate(AioContext *ctx, int64_t timeout_ns, Driver *driver,
                         Outcome *out) noexcept nogil:
    cdef Iteration it
    cdef int n
    out.descriptors = 0
    out.progress = False
    begin(&it, driver)
    n = enter(ctx, &it)
    if n < 0:
        end(&it)
        return n
    if not ask_users(ctx, &it):
        timeout_ns = 0
    n = 0 if dispatch_forked(it.d) else wait(ctx, &it, timeout_ns)
    if n >= 0 and not dispatch_forked(it.d):
        dispatch_all(ctx, &it, n, out)
    leave(ctx, &it)
    return n if n < 0 else 0


# Phase 1.  False: somebody wants the iteration not to block.
cdef bint ask_users(AioContext *ctx, Iteration *it) noexcept nogil:
    cdef bint may_block = True
    if atomic_load_int(&ctx.polling.count):
        may_block = not polling_run(&ctx.polling, it.d)
    if atomic_load_int(&ctx.fds.gate_count) and not dispatch_forked(it.d):
        may_block = fd_table_ask(&ctx.fds, it.d) and may_block
    return may_block


# Phases 2 to 4.  The number of reports, or negative errno.
cdef int wait(AioContext *ctx, Iteration *it, int64_t timeout_ns) noexcept nogil:
    cdef int n
    n = fd_table_apply(&ctx.fds, clock_monotonic_ns() if atomic_load_int(&ctx.fds.muted) else 0)
    if n < 0:
        return n
    if atomic_load_i64(&ctx.timers.lists[HOST].earliest_ns) != NEVER_NS:
        watch_wall_clock(ctx)
    if atomic_load_int(&ctx.wakeup.hosted):
        if ctx.fds.rebuilds != ctx.hosting.shown_rebuilds:
            hosting_show(&ctx.hosting)
        hosting_clear(&ctx.hosting)
    if timeout_ns != 0:
        wakeup_prepare_sleep(&ctx.wakeup)
        timeout_ns = shortest_timeout(ctx, timeout_ns)
    if timeout_ns != 0:
        n = sleep(ctx, it, timeout_ns)
    else:
        n = look(ctx, it)
    wakeup_end_sleep(&ctx.wakeup)
    wakeup_accept(&ctx.wakeup)
    return 0 if n == -EINTR else n


# Phase 3.  After wakeup_prepare_sleep, so that what comes later wakes us.
cdef int64_t shortest_timeout(AioContext *ctx, int64_t timeout_ns) noexcept nogil:
    cdef int clock
    cdef int64_t ns
    if wakeup_is_notified(&ctx.wakeup) or ctx.fds.ready_first != NULL:
        return 0
    timeout_ns = shorter(timeout_ns, bh_timeout_ns(&ctx.bhs))
    timeout_ns = shorter(timeout_ns, fd_table_timeout_ns(&ctx.fds))
    for clock in range(CLOCKS):
        ns = timer_list_deadline_ns(&ctx.timers.lists[clock])
        if clock == HOST and ns > WALL_LOOK_NS and ctx.wall_watch_fd < 0:
            ns = WALL_LOOK_NS
        timeout_ns = shorter(timeout_ns, ns)
    return timeout_ns


cdef inline int64_t shorter(int64_t a_ns, int64_t b_ns) noexcept nogil:
    if a_ns < 0 or 0 <= b_ns < a_ns:
        return b_ns
    return a_ns


# Phase 4, non-blocking.
cdef int look(AioContext *ctx, Iteration *it) noexcept nogil:
    cdef bint wanted = ctx.iothread_lock != NULL and lock_is_wanted(ctx.iothread_lock)
    cdef int n
    if wanted:
        dispatch_detach(it.d)
        lock_release(ctx.iothread_lock)
    n = kernel_wait(ctx, 0, NULL)
    if wanted:
        lock_acquire(ctx.iothread_lock, -1)
    return n


cdef inline int kernel_wait(AioContext *ctx, int64_t timeout_ns,
                            const SignalMask *mask) noexcept nogil:
    return ctx.fds.mon.ops.wait(&ctx.fds.mon, timeout_ns, mask, ctx.fds.reports,
                                ctx.fds.max_reports)


# Phase 4, blocking.
cdef int sleep(AioContext *ctx, Iteration *it, int64_t timeout_ns) noexcept nogil:
    cdef Driver *driver = it.driver
    cdef int64_t end_ns, trust_ns
    cdef int n
    if driver == NULL:
        return sleep_once(ctx, it, timeout_ns, NULL)
    end_ns = -1
    if timeout_ns >= 0 and (driver.trust_ns or driver.longest_sleep_ns >= 0):
        end_ns = clock_monotonic_ns() + timeout_ns
    if driver.trust_ns:
        trust_ns = driver.asked_ns + driver.trust_ns - clock_monotonic_ns()
        if trust_ns > 0:
            n = sleep_once(ctx, it, shorter(timeout_ns, trust_ns), NULL)
            if n != 0 or wakeup_is_notified(&ctx.wakeup):
                if n == -EINTR:
                    driver.asked_ns = 0          # the signal is for somebody to see
                return n
    while True:
        if end_ns >= 0:
            timeout_ns = end_ns - clock_monotonic_ns()
            if timeout_ns <= 0:
                return 0
        n = sleep_guarded(ctx, it, shorter(timeout_ns, driver.longest_sleep_ns))
        if n != 0 or driver.longest_sleep_ns < 0 or wakeup_is_notified(&ctx.wakeup):
            return n


# With the caller's signals held back from its last look until the wait itself.
cdef int sleep_guarded(AioContext *ctx, Iteration *it, int64_t timeout_ns) noexcept nogil:
    cdef int n
    cdef bint stays_awake
    dispatch_attach(it.d)
    signal_mask_block_all(&it.mask)
    stays_awake = it.driver.before_sleep(it.driver)
    if it.driver.trust_ns:
        it.driver.asked_ns = clock_monotonic_ns()
    # A signal handler ran a nested iteration: whatever was computed is void.
    if stays_awake or ctx.pass_ != it.pass_ or dispatch_forked(it.d):
        signal_mask_restore(&it.mask)
        return -EINTR
    n = sleep_once(ctx, it, timeout_ns, &it.mask)
    signal_mask_restore(&it.mask)
    return n


cdef int sleep_once(AioContext *ctx, Iteration *it, int64_t timeout_ns,
                    const SignalMask *mask) noexcept nogil:
    cdef int n
    atomic_store_i64(&ctx.counters.sleeps, ctx.counters.sleeps + 1)
    dispatch_detach(it.d)
    if ctx.iothread_lock != NULL:
        lock_release(ctx.iothread_lock)
    if atomic_load_i64(&ctx.busy.max_ns) > 0 and timeout_ns != 0:
        n = busy_wait(ctx, timeout_ns, mask)
    else:
        n = kernel_wait(ctx, timeout_ns, mask)
    if ctx.iothread_lock != NULL:
        if mask != NULL:
            # Waiting for the lock may take long; the mask is for the sleep alone.
            signal_mask_restore(mask)
        lock_acquire(ctx.iothread_lock, -1)
    return n


# ---- busy polling: looking at memory, and now and then at the kernel, before a sleep

cdef bint work_came(AioContext *ctx) noexcept nogil:
    return wakeup_is_notified(&ctx.wakeup) or not bh_queue_is_empty(&ctx.bhs)


cdef int spin(AioContext *ctx, int64_t end_ns) noexcept nogil:
    # Awake meanwhile: nobody needs to write the notifier.
    cdef int _i
    cdef int n = 0
    wakeup_end_sleep(&ctx.wakeup)
    while n == 0 and clock_monotonic_ns() < end_ns:
        for _i in range(LOOKS_PER_CALL):
            if work_came(ctx):
                return 0
            cpu_relax()
        n = kernel_wait(ctx, 0, NULL)
    return n


cdef int busy_wait(AioContext *ctx, int64_t timeout_ns, const SignalMask *mask) noexcept nogil:
    cdef int64_t begin_ns = clock_monotonic_ns()
    cdef int64_t spin_ns = shorter(timeout_ns, atomic_load_i64(&ctx.busy.now_ns))
    cdef int n = 0
    if spin_ns > 0:
        n = spin(ctx, begin_ns + spin_ns if spin_ns < NEVER_NS - begin_ns else NEVER_NS)
        wakeup_prepare_sleep(&ctx.wakeup)
    if n == 0:
        if work_came(ctx):
            timeout_ns = 0
        elif timeout_ns > 0:
            timeout_ns -= clock_monotonic_ns() - begin_ns
            timeout_ns = timeout_ns if timeout_ns > 0 else 0
        n = kernel_wait(ctx, timeout_ns, mask)
    adapt(&ctx.busy, clock_monotonic_ns() - begin_ns)
    return n


cdef void adapt(BusyPolling *busy, int64_t waited_ns) noexcept nogil:
    # Longer, if that would have caught this event; less, if nothing comes in time.
    cdef int64_t max_ns = atomic_load_i64(&busy.max_ns)
    cdef int64_t now_ns = atomic_load_i64(&busy.now_ns)
    cdef int64_t grow = atomic_load_i64(&busy.grow)
    cdef int64_t shrink = atomic_load_i64(&busy.shrink)
    if waited_ns <= now_ns:
        return
    if waited_ns > max_ns:
        now_ns = now_ns // shrink if shrink else 0
    elif now_ns == 0:
        now_ns = FIRST_SPIN_NS
    else:
        now_ns = now_ns * grow if now_ns < max_ns // grow else max_ns
    atomic_store_i64(&busy.now_ns, now_ns if now_ns < max_ns else max_ns)


# ---- the wall clock

cdef void watch_wall_clock(AioContext *ctx) noexcept nogil:
    # Without it the sleep is cut into seconds.
    cdef int fd
    if ctx.wall_watch_fd >= 0:
        return
    fd = wall_clock_watch_open()
    if fd < 0:
        return
    if fd_table_set(&ctx.fds, fd, FD_INTERNAL, on_wall_clock_set, NULL, NULL, ctx, NULL,
                    True) < 0:
        close(fd)
        return
    wall_clock_watch_arm(fd)
    ctx.wall_watch_fd = fd


cdef void on_wall_clock_set(void *opaque) noexcept nogil:
    # The next timeout is computed from the new time: nothing else is to be done.
    wall_clock_watch_arm((<AioContext *> opaque).wall_watch_fd)


# Phases 5 to 7.
cdef void dispatch_all(AioContext *ctx, Iteration *it, int n, Outcome *out) noexcept nogil:
    cdef int i
    # A nested iteration has just looked anew: what the outer one has left is either among
    # the reports, since all is level-triggered, or not ready any more.
    fd_table_forget(&ctx.fds)
    if n > 0:
        fd_table_collect(&ctx.fds, n)
    if ctx.fds.ready_first != NULL:
        out.descriptors = fd_table_dispatch(&ctx.fds, it.d, &out.progress)
    for i in range(CLOCKS):
        if dispatch_forked(it.d):
            return
        if timer_list_run(&ctx.timers.lists[run_order[i]], it.d):
            out.progress = True
    if dispatch_forked(it.d) or bh_queue_is_empty(&ctx.bhs):
        return
    if bh_run(&ctx.bhs, it.pass_, it.d):
        out.progress = True


# ---- parts of an iteration, for a loop around ours

cdef int context_run_bottom_halves(AioContext *ctx) noexcept nogil:
    cdef Iteration it
    cdef int ran
    begin(&it, NULL)
    ran = enter(ctx, &it)
    if ran < 0:
        return ran
    ran = bh_run(&ctx.bhs, it.pass_, it.d)
    leave(ctx, &it)
    return ran


cdef bint context_run_timers(AioContext *ctx, int clock) noexcept nogil:
    cdef Iteration it
    cdef bint ran
    begin(&it, NULL)
    if enter(ctx, &it) < 0:
        return False
    ran = timer_list_run(&ctx.timers.lists[clock], it.d)
    leave(ctx, &it)
    return ran


cdef void context_prepare_foreign_wait(AioContext *ctx) noexcept nogil:
    cdef Iteration it
    begin(&it, NULL)
    if enter(ctx, &it) < 0:
        return
    fd_table_ask(&ctx.fds, it.d)
    fd_table_apply(&ctx.fds, 0)
    leave(ctx, &it)
    # Asleep until context_dispatch_reports; what came before wakes the wait at once.
    wakeup_prepare_sleep(&ctx.wakeup)
    if wakeup_is_notified(&ctx.wakeup):
        notifier_set(&ctx.wakeup.notifier)


cdef void context_dispatch_reports(AioContext *ctx, int n) noexcept nogil:
    cdef Iteration it
    cdef bint progress = False
    begin(&it, NULL)
    if enter(ctx, &it) < 0:
        return
    wakeup_end_sleep(&ctx.wakeup)
    wakeup_accept(&ctx.wakeup)
    fd_table_collect(&ctx.fds, n)
    fd_table_dispatch(&ctx.fds, it.d, &progress)
    leave(ctx, &it)


# ---- settings

cdef int context_set_fdmon(AioContext *ctx, const char *name) noexcept nogil:
    cdef FDMon fresh
    cdef FDMon old
    cdef int rc = fdmon_open(&fresh, name)
    if rc < 0:
        return rc
    if ctx.hosting.fd >= 0 or not atomic_cas_seq_size(&ctx.wakeup.poller, 0, thread_self()):
        fdmon_close(&fresh)
        return -EBUSY
    mutex_lock(&ctx.lock)
    old = ctx.fds.mon
    ctx.fds.mon = fresh
    ctx.named_fdmon = fresh.ops.name
    if name == NULL:
        ctx.named_fdmon = NULL
    fd_table_restart(&ctx.fds)
    mutex_unlock(&ctx.lock)
    atomic_store_release_size(&ctx.wakeup.poller, 0)
    fdmon_close(&old)
    return 0


cdef const char *context_fdmon_name(AioContext *ctx) noexcept nogil:
    if ctx.fds.mon.ops == NULL:
        return NULL                      # a fork failed to make new kernel objects
    return ctx.fds.mon.ops.name


cdef int context_fileno(AioContext *ctx) noexcept nogil:
    cdef int rc
    if ctx.generation != fork_generation:
        rc = context_restart(ctx)
        if rc < 0:
            return rc
        if ctx.hosting.fd >= 0:
            show_to_host(ctx)
    if ctx.hosting.fd >= 0:
        return ctx.hosting.fd
    if not claim(ctx):
        return -EBUSY
    rc = hosting_open(&ctx.hosting)
    if rc >= 0:
        show_to_host(ctx)
    if ctx.depth == 0:
        atomic_store_release_size(&ctx.wakeup.poller, 0)
    return rc


cdef void show_to_host(AioContext *ctx) noexcept nogil:
    # What was registered before shows from now on.
    fd_table_apply(&ctx.fds, 0)
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
    mutex_lock(&ctx.lock)
    stats.handlers = ctx.fds.count
    stats.timers = stats.pending_timers = 0
    for clock in range(CLOCKS):
        list = &ctx.timers.lists[clock]
        stats.timers += list.timers
        stats.pending_timers += list.armed
    stats.child_watches = ctx.children.count
    stats.polling_callbacks = ctx.polling.count
    stats.rebuilds = ctx.fds.rebuilds
    mutex_unlock(&ctx.lock)
    mutex_lock(&ctx.bhs.lock)
    stats.bottom_halves = ctx.bhs.count
    mutex_unlock(&ctx.bhs.lock)
    stats.hosted = context_is_hosted(ctx)
    stats.poll_ns = atomic_load_i64(&ctx.busy.now_ns)
    stats.iterations = atomic_load_i64(&ctx.counters.iterations)
    stats.sleeps = atomic_load_i64(&ctx.counters.sleeps)
