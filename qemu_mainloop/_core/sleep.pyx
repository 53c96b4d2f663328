# Phases 3 and 4 of an iteration: how long to wait, and waiting.

from libc.errno cimport EINTR

from qemu_mainloop._core.bh cimport bh_queue_goes_on, bh_queue_is_empty, bh_timeout_ns
from qemu_mainloop._core.clock cimport CLOCKS, HOST, NEVER_NS
from qemu_mainloop._core.context cimport BusyPolling
from qemu_mainloop._core.dispatch cimport (
    dispatch_attach, dispatch_detach, dispatch_forked, runtime)
from qemu_mainloop._core.fdtable cimport FD_INTERNAL, fd_table_timeout_ns
from qemu_mainloop._core.iohandler cimport fd_table_set
from qemu_mainloop._core.lock cimport (
    lock_acquire, lock_acquire_asking, lock_is_wanted, lock_release)
from qemu_mainloop._core.timer cimport timer_list_deadline_ns
from qemu_mainloop._core.wakeup cimport (
    wakeup_end_sleep, wakeup_is_notified, wakeup_prepare_sleep)
from qemu_mainloop._sys.atomic cimport atomic_load_i64, atomic_store_i64, cpu_relax
from qemu_mainloop._sys.clock cimport clock_monotonic_ns
from qemu_mainloop._sys.fdsource cimport wall_clock_watch_arm, wall_clock_watch_open
from qemu_mainloop._sys.posix cimport close
from qemu_mainloop._sys.thread cimport (
    signal_mask_block_all, signal_mask_interrupt, signal_mask_is_waited_for, signal_mask_restore,
    thread_wake_in_time)

cdef enum:
    # The wall clock is looked at so often when there is no way to be told of a change.
    WALL_LOOK_NS = 1000000000
    # Busy polling: looks at memory for each look at the kernel, and where it begins.
    LOOKS_PER_CALL = 64
    FIRST_SPIN_NS = 4000
    # How long a caller's signals may be held back by it.
    HOLD_BACK_NS = 20000000
    # Looking first: as often in a row, so that other threads get the runtime's lock; and no
    # more sleeps without it than this after it was in vain.
    LOOKS_IN_A_ROW = 16
    MOST_PENALTY = 63


cdef bint sleep_is_pointless(AioContext *ctx) noexcept nogil:
    return (wakeup_is_notified(&ctx.wakeup) or bh_queue_goes_on(&ctx.bhs)
            or (not bh_queue_is_empty(&ctx.bhs) and bh_timeout_ns(&ctx.bhs) == 0))


# Phase 3.  After wakeup_prepare_sleep, so that what comes later wakes us.
cdef int64_t sleep_timeout_ns(AioContext *ctx, int64_t timeout_ns) noexcept nogil:
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


cdef bint sleep_looks_first(AioContext *ctx, Iteration *it) noexcept nogil:
    # Not on the main loop, whose lock is dropped in every wait that may block.
    if it.driver == NULL or it.d.holds != 1 or ctx.iothread_lock != NULL:
        return False
    if ctx.looking.sleeps > 0:
        ctx.looking.sleeps -= 1
        return False
    return True


cdef void sleep_has_looked(AioContext *ctx, bint found) noexcept nogil:
    if not found:
        ctx.looking.penalty = min(2 * ctx.looking.penalty + 1, MOST_PENALTY)
        ctx.looking.sleeps = ctx.looking.penalty
        ctx.looking.found = 0
        return
    ctx.looking.penalty //= 2
    ctx.looking.found += 1
    if ctx.looking.found == LOOKS_IN_A_ROW:
        ctx.looking.found = 0
        ctx.looking.sleeps = 1


# Phase 4, non-blocking.
cdef int sleep_not(AioContext *ctx, Iteration *it) noexcept nogil:
    cdef bint wanted = ctx.iothread_lock != NULL and lock_is_wanted(ctx.iothread_lock)
    cdef int n
    if wanted:
        dispatch_detach(it.d)
        lock_release(ctx.iothread_lock)
    n = kernel_wait(ctx, 0, NULL)
    return retake_lock(ctx, it, n) if wanted else n


cdef inline int kernel_wait(AioContext *ctx, int64_t timeout_ns,
                            const SignalMask *mask) noexcept nogil:
    return ctx.fds.mon.ops.wait(&ctx.fds.mon, timeout_ns, mask, ctx.fds.reports,
                                ctx.fds.max_reports)


# Phase 4, blocking.
cdef int sleep_until(AioContext *ctx, Iteration *it, int64_t timeout_ns) noexcept nogil:
    cdef Driver *driver = it.driver
    cdef int64_t end_ns, trust_ns
    cdef int n
    if driver == NULL or not driver.looks_for_signals:
        if driver != NULL and driver.before_sleep != NULL and driver.before_sleep(driver):
            return kernel_wait(ctx, 0, NULL)
        return sleep_once(ctx, it, timeout_ns, NULL)
    end_ns = -1
    if timeout_ns >= 0 and (driver.trust_ns or driver.longest_sleep_ns >= 0):
        end_ns = clock_monotonic_ns() + timeout_ns
    if driver.trust_ns:
        trust_ns = driver.asked_ns + driver.trust_ns - clock_monotonic_ns()
        if trust_ns > 0:
            n = sleep_once(ctx, it, shorter(timeout_ns, trust_ns), NULL)
            if n != 0 or it.work_came or wakeup_is_notified(&ctx.wakeup):
                if n == -EINTR:
                    driver.asked_ns = 0          # the signal is for somebody to see
                return n
    while True:
        if end_ns >= 0:
            timeout_ns = end_ns - clock_monotonic_ns()
            if timeout_ns <= 0:
                return 0
        n = sleep_guarded(ctx, it, shorter(timeout_ns, driver.longest_sleep_ns))
        if (n != 0 or driver.longest_sleep_ns < 0 or it.work_came
                or wakeup_is_notified(&ctx.wakeup)):
            return n


# With the caller's signals held back from its last look until the wait itself.
cdef int sleep_guarded(AioContext *ctx, Iteration *it, int64_t timeout_ns) noexcept nogil:
    cdef int n
    cdef bint stays_awake
    dispatch_attach(it.d)
    signal_mask_block_all(&it.mask)
    signal_mask_interrupt(&it.mask, runtime.interrupt)
    stays_awake = it.driver.before_sleep(it.driver)
    if it.driver.trust_ns:
        it.driver.asked_ns = clock_monotonic_ns()
    # A signal handler ran a nested iteration: whatever was computed is void.
    if ctx.pass_ != it.waits_after or dispatch_forked(it.d):
        signal_mask_restore(&it.mask)
        return -EINTR
    if stays_awake:
        # An exception waits to be raised: the iteration is completed first.
        signal_mask_restore(&it.mask)
        it.work_came = True
        return kernel_wait(ctx, 0, NULL)
    n = sleep_once(ctx, it, timeout_ns, &it.mask)
    signal_mask_restore(&it.mask)
    return n


cdef int sleep_once(AioContext *ctx, Iteration *it, int64_t timeout_ns,
                    const SignalMask *mask) noexcept nogil:
    cdef int n
    atomic_store_i64(&ctx.counters.sleeps, ctx.counters.sleeps + 1)
    it.work_came = False
    dispatch_detach(it.d)
    if ctx.iothread_lock != NULL:
        lock_release(ctx.iothread_lock)
    if timeout_ns > 0 and not it.own_thread.wakes_in_time:
        it.own_thread.wakes_in_time = True
        thread_wake_in_time()
    if it.polls and timeout_ns != 0:
        n = busy_wait(ctx, it, timeout_ns, mask)
    else:
        n = kernel_wait(ctx, timeout_ns, mask)
    if ctx.iothread_lock != NULL:
        if mask != NULL:
            # Waiting for the lock may take long; the mask is for the sleep alone.
            signal_mask_restore(mask)
        n = retake_lock(ctx, it, n)
    return n


# ---- the iothread lock

cdef bint ask_driver(void *arg) noexcept nogil:
    cdef Iteration *it = <Iteration *> arg
    cdef bint enough
    dispatch_attach(it.d)
    enough = it.driver.before_sleep(it.driver)
    dispatch_detach(it.d)
    return enough


cdef bint sleep_take_lock(AioContext *ctx, Iteration *it, bint may_give_up) noexcept nogil:
    # Nobody waits for the iothread lock with the runtime's in hand.
    if lock_acquire(ctx.iothread_lock, 0) == 0:
        return True
    dispatch_detach(it.d)
    if it.driver == NULL or not it.driver.looks_for_signals or not may_give_up:
        lock_acquire(ctx.iothread_lock, -1)
        return True
    return lock_acquire_asking(ctx.iothread_lock, -1, ask_driver, it) != -EINTR


cdef int retake_lock(AioContext *ctx, Iteration *it, int n) noexcept nogil:
    # A caller that came with the lock leaves with it, however long that takes.
    if not sleep_take_lock(ctx, it, it.took_lock):
        it.took_lock = False
        it.lost_lock = True
        return -EINTR
    # A signal handler ran a nested iteration: what was reported is void.
    return n if ctx.pass_ == it.waits_after else -EINTR


# ---- busy polling: looking at memory, and now and then at the kernel, before a sleep

# Nanoseconds the loop may sleep for what no descriptor tells of; -1: any.  What came
# while the loop looked at memory wrote no notifier.
cdef inline int64_t memory_timeout_ns(AioContext *ctx) noexcept nogil:
    if wakeup_is_notified(&ctx.wakeup):
        return 0
    return -1 if bh_queue_is_empty(&ctx.bhs) else bh_timeout_ns(&ctx.bhs)


# The number of reports, or -EINTR: a signal that `mask` lets through is held back.
# it.work_came: something is to be done at once.
cdef int spin(AioContext *ctx, Iteration *it, int64_t begin_ns, int64_t end_ns,
              const SignalMask *mask) noexcept nogil:
    # Awake meanwhile: nobody needs to write the notifier.
    cdef int _i
    cdef int n
    cdef int64_t ns, now_ns
    cdef int64_t asked_ns = begin_ns
    cdef int64_t known_ns = memory_timeout_ns(ctx)
    wakeup_end_sleep(&ctx.wakeup)
    while True:
        for _i in range(LOOKS_PER_CALL):
            ns = memory_timeout_ns(ctx)
            if ns == 0 or ns != known_ns:
                it.work_came = ns == 0
                return 0
            cpu_relax()
        n = kernel_wait(ctx, 0, NULL)
        now_ns = clock_monotonic_ns()
        if n != 0 or now_ns >= end_ns:
            return n
        if mask != NULL and now_ns - asked_ns >= HOLD_BACK_NS:
            asked_ns = now_ns
            if signal_mask_is_waited_for(mask):
                return -EINTR


cdef int busy_wait(AioContext *ctx, Iteration *it, int64_t timeout_ns,
                   const SignalMask *mask) noexcept nogil:
    cdef int64_t begin_ns = clock_monotonic_ns()
    cdef int64_t spin_ns = shorter(timeout_ns, atomic_load_i64(&ctx.busy.now_ns))
    cdef int64_t memory_ns
    cdef int n = 0
    if spin_ns > 0:
        n = spin(ctx, it, begin_ns,
                 begin_ns + spin_ns if spin_ns < NEVER_NS - begin_ns else NEVER_NS, mask)
        if it.work_came:
            return kernel_wait(ctx, 0, NULL)     # so that descriptors have their turn
    wakeup_prepare_sleep(&ctx.wakeup)
    if n == 0:
        if timeout_ns > 0:
            timeout_ns -= clock_monotonic_ns() - begin_ns
            timeout_ns = timeout_ns if timeout_ns > 0 else 0
        memory_ns = memory_timeout_ns(ctx)
        it.work_came = memory_ns >= 0            # the kernel may have nothing to say
        n = kernel_wait(ctx, shorter(timeout_ns, memory_ns), mask)
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
cdef void sleep_watch_wall_clock(AioContext *ctx) noexcept nogil:
    # Without it the sleep is cut into seconds.
    cdef int fd
    if ctx.wall_watch_fd >= 0:
        return
    fd = wall_clock_watch_open()
    if fd < 0:
        return
    if wall_clock_watch_arm(fd) < 0 or fd_table_set(
            &ctx.fds, fd, FD_INTERNAL, on_wall_clock_set, NULL, NULL, ctx, NULL, True) < 0:
        close(fd)
        return
    ctx.wall_watch_fd = fd


cdef void on_wall_clock_set(void *opaque) noexcept nogil:
    # The next timeout is computed from the new time: nothing else is to be done.
    cdef AioContext *ctx = <AioContext *> opaque
    cdef int fd = ctx.wall_watch_fd
    if wall_clock_watch_arm(fd) < 0:
        fd_table_set(&ctx.fds, fd, FD_INTERNAL, NULL, NULL, NULL, NULL, NULL, True)
        close(fd)
        ctx.wall_watch_fd = -1
