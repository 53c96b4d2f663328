# One iteration over a context; the phases are docs/iteration.md's.

from libc.errno cimport EBUSY, EINTR, ELOOP
from libc.stdint cimport uintptr_t

from qemu_mainloop._core.bh cimport (
    bh_queue_goes_on, bh_queue_is_empty, bh_run, bh_timeout_ns)
from qemu_mainloop._core.clock cimport CLOCKS, HOST, NEVER_NS, REALTIME, VIRTUAL
from qemu_mainloop._core.context cimport (
    EVENTS_UNSEEN, context_claim, context_is_held, context_restart, context_unclaim)
from qemu_mainloop._core.dispatch cimport (
    dispatch_begin, dispatch_end, dispatch_forked)
from qemu_mainloop._core.fdmon cimport fdmon_is_quiet
from qemu_mainloop._core.fdtable cimport FdTable, fd_table_apply, fd_table_is_settled
from qemu_mainloop._core.fork cimport fork_generation
from qemu_mainloop._core.hosting cimport hosting_clear, hosting_show, hosting_sleep
from qemu_mainloop._core.iohandler cimport (
    fd_table_ask, fd_table_collect, fd_table_dispatch, fd_table_forget, fd_table_sweep)
from qemu_mainloop._core.lock cimport lock_is_mine, lock_release
from qemu_mainloop._core.polling cimport polling_run
from qemu_mainloop._core.sleep cimport (
    Iteration, sleep_has_looked, sleep_is_pointless, sleep_looks_first, sleep_not,
    sleep_take_lock, sleep_timeout_ns, sleep_until, sleep_watch_wall_clock)
from qemu_mainloop._core.timer cimport (
    timer_group_is_empty, timer_list_is_empty, timer_list_run)
from qemu_mainloop._core.wakeup cimport (
    wakeup_accept, wakeup_end_sleep, wakeup_is_notified, wakeup_prepare_sleep)
from qemu_mainloop._sys.atomic cimport (
    atomic_add_seq_int, atomic_load_acquire_ptr, atomic_load_i64, atomic_load_int,
    atomic_store_i64, atomic_store_release_size)
from qemu_mainloop._sys.leaflock cimport leaf_lock, leaf_unlock
from qemu_mainloop._sys.notifier cimport notifier_set
from qemu_mainloop._sys.thread cimport thread_self
from qemu_mainloop._sys.threadlocal cimport ThreadOwn, thread_own

cdef enum:
    # Iterations inside one another in a thread.  A callable written in C that iterates, such as
    # a loop's own wait(), meets no other limit than the end of the stack.
    MOST_NESTED = 1000

cdef int numbers = 0

cdef int run_order[CLOCKS]
run_order[:] = [VIRTUAL, REALTIME, HOST]


cdef AioContext *iteration_current() noexcept nogil:
    return <AioContext *> thread_own().current


cdef uintptr_t iteration_thread_number() noexcept nogil:
    return thread_own().number


cdef void take_number(ThreadOwn *own) noexcept nogil:
    # The system gives the name of a thread that is over to the next one; this it does not.
    own.number = <uintptr_t> (atomic_add_seq_int(&numbers, 1) + 1)


# ---- beginning and ending: inline, since three calls were a tenth of an iteration

cdef inline void begin(Iteration *it, Driver *driver) noexcept nogil:
    it.lost_lock = it.eventful = False
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


cdef inline bint driver_counts(Iteration *it) noexcept nogil:
    return it.driver != NULL and it.driver.seen_events


cdef inline int enter(AioContext *ctx, Iteration *it) noexcept nogil:
    cdef ThreadOwn *own = thread_own()
    cdef int rc
    if own.depth >= MOST_NESTED:
        return -ELOOP
    if not context_claim(ctx):
        return -EBUSY
    if ctx.generation != fork_generation:
        rc = context_restart(ctx)
        if rc < 0:
            context_unclaim(ctx)
            return rc
    ctx.depth += 1
    own.depth += 1
    ctx.pass_ += 1
    atomic_store_i64(&ctx.counters.iterations, ctx.counters.iterations + 1)
    it.pass_ = ctx.pass_
    it.own_thread = own
    it.outer = own.current
    own.current = ctx
    atomic_store_release_size(&ctx.timers.home, thread_self())
    if own.number == 0:
        take_number(own)
    atomic_store_release_size(&ctx.last_poller, own.number)
    if driver_counts(it):
        it.seen_events = it.driver.seen_events
    elif ctx.eventful_in == own.number or ctx.eventful_in == 0:
        it.seen_events = ctx.events
    else:
        it.seen_events = EVENTS_UNSEEN
    it.took_lock = ctx.iothread_lock != NULL and not lock_is_mine(ctx.iothread_lock)
    if it.took_lock and not sleep_take_lock(ctx, it, True):
        it.took_lock = False
        leave(ctx, it)
        return -EINTR
    return 0


# The wait of iteration_prepare_foreign_wait begins, or goes on: another thread has iterated
# meanwhile, which ended its announcement, and may have taken what was to end it.
cdef void announce_foreign_wait(AioContext *ctx, Iteration *it) noexcept nogil:
    announce_sleep(ctx)
    if it.eventful or wakeup_is_notified(&ctx.wakeup) or bh_timeout_ns(&ctx.bhs) == 0:
        notifier_set(&ctx.wakeup.notifier)


cdef inline void leave(AioContext *ctx, Iteration *it) noexcept nogil:
    it.own_thread.current = it.outer
    it.own_thread.depth -= 1
    ctx.depth -= 1
    # Whoever iterates again and again looks at something of its own in between (the flag
    # of stop(), a predicate).  What it waits for may have come to another thread's
    # iteration after that look, or to one nested in its own before the sleep, and the
    # notification with it: what counts such iterations outlasts them.
    if it.eventful or ctx.depth == 0:
        atomic_store_release_size(&ctx.events, ctx.events + 1)
    if it.eventful:
        ctx.eventful_in = it.own_thread.number
    if driver_counts(it):
        it.driver.seen_events = ctx.events
    if ctx.depth == 0:
        if dispatch_forked(it.d):
            fd_table_forget(&ctx.fds)
        if atomic_load_acquire_ptr(&ctx.fds.retired) != NULL:
            fd_table_sweep(&ctx.fds)
        if atomic_load_int(&ctx.wakeup.hosted) and ctx.generation == fork_generation:
            hosting_sleep(&ctx.hosting)
        if ctx.foreign_waiter:
            announce_foreign_wait(ctx, it)
        context_unclaim(ctx)
    if it.took_lock:
        lock_release(ctx.iothread_lock)
    end(it)


cdef bint iteration_keep(AioContext *ctx) noexcept nogil:
    if not context_claim(ctx):
        return False
    ctx.keepers += 1
    return True


cdef void iteration_give_up(AioContext *ctx) noexcept nogil:
    ctx.keepers -= 1
    if not context_is_held(ctx):
        if atomic_load_acquire_ptr(&ctx.fds.retired) != NULL:
            fd_table_sweep(&ctx.fds)
        context_unclaim(ctx)


# What phases 1 to 6 would look at is as it was: they would find nothing, and ask the kernel
# nothing.  It may say no too often.
cdef inline bint has_only_bottom_halves(AioContext *ctx, Iteration *it) noexcept nogil:
    return (bh_queue_goes_on(&ctx.bhs)
            and not dispatch_forked(it.d)
            and fd_table_is_settled(&ctx.fds) and not atomic_load_int(&ctx.fds.mon.restless)
            and fdmon_is_quiet(&ctx.fds.mon)
            and timer_group_is_empty(&ctx.timers)
            and not wakeup_is_notified(&ctx.wakeup)
            and not atomic_load_int(&ctx.wakeup.notify_me)
            and not atomic_load_int(&ctx.wakeup.hosted)
            and not ctx.foreign_waiter
            and atomic_load_int(&ctx.polling.count) == 0
            and ctx.iothread_lock == NULL)


cdef int iteration_run(AioContext *ctx, int64_t timeout_ns, Driver *driver,
                       Outcome *out) noexcept nogil:
    cdef Iteration it
    cdef int n
    out.descriptors = 0
    out.progress = False
    begin(&it, driver)
    n = enter(ctx, &it)
    if n == -EINTR:
        return 0                         # while it waited for the iothread lock
    if n < 0:
        end(&it)
        return n
    if has_only_bottom_halves(ctx, &it):
        fd_table_forget(&ctx.fds)
        it.eventful = True
        out.progress = bh_run(&ctx.bhs, it.pass_, it.d)
        leave(ctx, &it)
        return 0
    if not dispatch_forked(it.d) and not ask_users(ctx, &it):
        timeout_ns = 0
    n = 0 if dispatch_forked(it.d) else wait(ctx, &it, timeout_ns)
    if n >= 0 and not dispatch_forked(it.d) and not it.lost_lock:
        dispatch_all(ctx, &it, n, out)
        it.eventful = it.eventful or out.progress or out.descriptors > 0
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


cdef void announce_sleep(AioContext *ctx) noexcept nogil:
    wakeup_prepare_sleep(&ctx.wakeup)
    pass_lock(ctx)


# wakeup_is_mine rests on it: what another thread changed under the lock before is seen from
# here on, and who comes later sees the claim, and the announcement.
cdef inline void pass_lock(AioContext *ctx) noexcept nogil:
    leaf_lock(&ctx.lock)
    leaf_unlock(&ctx.lock)


cdef int look_or_sleep(AioContext *ctx, Iteration *it, int64_t timeout_ns) noexcept nogil:
    if timeout_ns != 0:
        # Asked once: who sets poll_max_ns meanwhile must not have us sleep unannounced.
        it.polls = atomic_load_i64(&ctx.busy.max_ns) > 0
        if it.polls and (it.driver == NULL or it.driver.before_sleep == NULL):
            # Announced after the polling, which is awake.  A driver's code that runs before
            # it may change something, and has to find an announcement.
            pass_lock(ctx)
        else:
            announce_sleep(ctx)
        timeout_ns = sleep_timeout_ns(ctx, timeout_ns)
    if timeout_ns != 0:
        return sleep_until(ctx, it, timeout_ns)
    return sleep_not(ctx, it)


# Phases 2 to 4.  The number of reports, or negative errno.
cdef int wait(AioContext *ctx, Iteration *it, int64_t timeout_ns) noexcept nogil:
    cdef int n
    it.waits_after = ctx.pass_
    n = fd_table_apply(&ctx.fds)
    if n < 0:
        return n
    if atomic_load_i64(&ctx.timers.lists[HOST].earliest_ns) != NEVER_NS:
        sleep_watch_wall_clock(ctx)
    if atomic_load_int(&ctx.wakeup.hosted):
        if ctx.fds.rebuilds != ctx.hosting.shown_rebuilds:
            hosting_show(&ctx.hosting)
        hosting_clear(&ctx.hosting)
    if it.seen_events != ctx.events:
        timeout_ns = 0
        ctx.eventful_in = it.own_thread.number
    if ctx.foreign_waiter == it.own_thread.number:
        ctx.foreign_waiter = 0               # it waits here now
    if timeout_ns != 0 and sleep_is_pointless(ctx):
        timeout_ns = 0
    n = 0
    if timeout_ns != 0 and sleep_looks_first(ctx, it):
        n = sleep_not(ctx, it)
        sleep_has_looked(ctx, n != 0)
    if n == 0:
        n = look_or_sleep(ctx, it, timeout_ns)
    wakeup_end_sleep(&ctx.wakeup)
    if wakeup_is_notified(&ctx.wakeup):
        it.eventful = True
        wakeup_accept(&ctx.wakeup)
    return 0 if n == -EINTR else n


cdef void run_timers(AioContext *ctx, Iteration *it, Outcome *out) noexcept nogil:
    cdef int i
    for i in range(CLOCKS):
        if dispatch_forked(it.d):
            return
        if not timer_list_is_empty(&ctx.timers.lists[run_order[i]]):
            if timer_list_run(&ctx.timers.lists[run_order[i]], it.d):
                out.progress = True


# Phases 5 to 7.
cdef void dispatch_all(AioContext *ctx, Iteration *it, int n, Outcome *out) noexcept nogil:
    # A nested iteration has just looked anew: what the outer one has left is either among
    # the reports, since all is level-triggered, or not ready any more.
    fd_table_forget(&ctx.fds)
    if n > 0:
        fd_table_collect(&ctx.fds, n)
    if ctx.fds.ready_first != NULL:
        out.descriptors = fd_table_dispatch(&ctx.fds, it.d, &out.progress)
    if not timer_group_is_empty(&ctx.timers):
        run_timers(ctx, it, out)
    if dispatch_forked(it.d) or bh_queue_is_empty(&ctx.bhs):
        return
    it.eventful = True
    if bh_run(&ctx.bhs, it.pass_, it.d):
        out.progress = True


# ---- parts of an iteration, for a loop around ours

cdef int iteration_run_bottom_halves(AioContext *ctx) noexcept nogil:
    cdef Iteration it
    cdef int ran
    begin(&it, NULL)
    ran = enter(ctx, &it)
    if ran < 0:
        return ran
    it.eventful = not bh_queue_is_empty(&ctx.bhs)
    ran = bh_run(&ctx.bhs, it.pass_, it.d)
    leave(ctx, &it)
    return ran


cdef bint iteration_run_timers(AioContext *ctx, int clock) noexcept nogil:
    cdef Iteration it
    cdef bint ran
    begin(&it, NULL)
    if enter(ctx, &it) < 0:
        return False
    ran = it.eventful = timer_list_run(&ctx.timers.lists[clock], it.d)
    leave(ctx, &it)
    return ran


cdef int64_t iteration_foreign_timeout_ns(AioContext *ctx) noexcept nogil:
    cdef Iteration it
    cdef int64_t timeout_ns
    begin(&it, NULL)
    if enter(ctx, &it) < 0:
        return -1
    # What comes after the answer wakes the wait that it is for.
    wakeup_prepare_sleep(&ctx.wakeup)
    timeout_ns = bh_timeout_ns(&ctx.bhs)
    leave(ctx, &it)
    return timeout_ns


cdef void iteration_prepare_foreign_wait(AioContext *ctx) noexcept nogil:
    cdef Iteration it
    begin(&it, NULL)
    if enter(ctx, &it) < 0:
        return
    fd_table_ask(&ctx.fds, it.d)
    ctx.foreign_waiter = 0
    # Asleep until iteration_dispatch_reports.  Announced before it is applied and before the
    # claim is given up: what others change is applied, or they find the announcement (see
    # wakeup_is_mine).
    announce_sleep(ctx)
    fd_table_apply(&ctx.fds)
    ctx.foreign_waiter = it.own_thread.number
    leave(ctx, &it)                          # and there what came before wakes it at once


cdef void iteration_dispatch_reports(AioContext *ctx, int (*fill)(FdTable *, void *) noexcept nogil,
                                     void *found) noexcept nogil:
    cdef Iteration it
    cdef bint progress = False
    begin(&it, NULL)
    if enter(ctx, &it) < 0:
        return
    ctx.foreign_waiter = 0
    wakeup_end_sleep(&ctx.wakeup)
    wakeup_accept(&ctx.wakeup)
    it.eventful = True
    fd_table_collect(&ctx.fds, fill(&ctx.fds, found))
    fd_table_dispatch(&ctx.fds, it.d, &progress)
    leave(ctx, &it)
