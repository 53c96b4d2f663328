# A loop with a thread of its own that runs it.

from libc.string cimport memset

from qemu_mainloop.aio cimport (
    IOThread, aio_bh_new, aio_context_fileno, aio_context_new, aio_context_set_fdmon,
    aio_context_unref, aio_notify, aio_poll, aio_timer_new, aio_wait_bh_oneshot,
    iothread_create, iothread_destroy, iothread_get_aio_context, qemu_get_aio_context)
from qemu_mainloop.main_loop cimport main_loop_wait, qemu_bh_delete, qemu_bh_schedule
from qemu_mainloop.timer cimport (
    QEMU_CLOCK_REALTIME, qemu_clock_get_ns, timer_free, timer_mod_ns)
from stress_kit.system cimport (
    POLLIN, _exit, accuse, add, alarm, draw, fork, get_acquire, join_in_time, poll, pollfd,
    pthread_create, put_release, waitpid)

world_is_child = 0


cdef void *run_own(void *opaque) noexcept nogil:
    cdef World *w = <World *> opaque
    while not get_acquire(&w.stop):
        if aio_poll(w.ctx, True) < 0:
            accuse(&w.verdict, "aio_poll failed")
            return NULL
        add(&w.polls, 1)
    return NULL


cdef void *run_main(void *opaque) noexcept nogil:
    cdef World *w = <World *> opaque
    while not get_acquire(&w.stop):
        if main_loop_wait(False) < 0:
            accuse(&w.verdict, "main_loop_wait failed")
            return NULL
        add(&w.polls, 1)
    return NULL


cdef void *run_hosted(void *opaque) noexcept nogil:
    cdef World *w = <World *> opaque
    cdef pollfd host
    host.fd = w.fd
    host.events = POLLIN
    while not get_acquire(&w.stop):
        poll(&host, 1, -1)
        if aio_poll(w.ctx, False) < 0:
            accuse(&w.verdict, "aio_poll failed")
            return NULL
        add(&w.polls, 1)
    return NULL


cdef int world_begin(World *w, int mode, const char *fdmon) noexcept nogil:
    memset(w, 0, sizeof(World))
    w.mode = mode
    if mode == MAIN:
        w.ctx = qemu_get_aio_context()
        return -1 if w.ctx == NULL else pthread_create(&w.loop, NULL, run_main, w)
    w.ctx = aio_context_new()
    if w.ctx == NULL:
        return -1
    if fdmon != NULL and aio_context_set_fdmon(w.ctx, fdmon) < 0:
        aio_context_unref(w.ctx)
        return -1
    if mode == OWN:
        return pthread_create(&w.loop, NULL, run_own, w)
    w.fd = aio_context_fileno(w.ctx)
    if w.fd < 0:
        aio_context_unref(w.ctx)
        return -1
    return pthread_create(&w.loop, NULL, run_hosted, w)


cdef void world_end(World *w) noexcept nogil:
    put_release(&w.stop, 1)
    aio_notify(w.ctx)
    if join_in_time(w.loop) != 0:
        accuse(&w.verdict, "the loop did not stop")      # and is left behind
    elif w.mode != MAIN:
        aio_context_unref(w.ctx)


# ---- fork

cdef void count(void *opaque) noexcept nogil:
    add(<uint64_t *> opaque, 1)


cdef int uses_an_iothread() noexcept nogil:
    cdef uint64_t ran = 0
    cdef IOThread *t = iothread_create("child's")
    if t == NULL or aio_wait_bh_oneshot(iothread_get_aio_context(t), count, &ran) < 0:
        return 1
    iothread_destroy(t)
    return ran != 1


cdef int live_as_child(World *w, bint starts_threads) noexcept nogil:
    cdef uint64_t bh_runs = 0, timer_runs = 0
    cdef int turns = 0
    bh = aio_bh_new(w.ctx, count, &bh_runs)
    timer = aio_timer_new(w.ctx, QEMU_CLOCK_REALTIME, 1, count, &timer_runs)
    if bh == NULL or timer == NULL:
        return 10
    if starts_threads and uses_an_iothread():
        return 11
    if w.in_child != NULL:
        w.in_child(w.opaque)
    qemu_bh_schedule(bh)
    timer_mod_ns(timer, qemu_clock_get_ns(QEMU_CLOCK_REALTIME) + 200000)
    while turns < 20 or not (bh_runs and timer_runs):
        if aio_poll(w.ctx, turns % 4 == 0 and not timer_runs) < 0:
            return 12
        turns += 1
    qemu_bh_delete(bh)
    timer_free(timer)
    if starts_threads and uses_an_iothread():
        return 13
    return 0 if bh_runs == 1 and timer_runs == 1 else 14


cdef void world_fork(World *w, uint64_t *rng) noexcept nogil:
    global world_is_child
    cdef bint starts_threads = draw(rng) % 2
    cdef int status = 0
    cdef int pid = fork()
    if pid == 0:
        alarm(20)                        # a child that hangs is killed, and its parent sees it
        world_is_child = 1
        _exit(live_as_child(w, starts_threads))
    if pid < 0:
        accuse(&w.verdict, "fork failed")
        return
    while waitpid(pid, &status, 0) < 0:
        pass
    if status == 14:
        accuse(&w.verdict, "a forked child hung")
    elif status & 0x7f:
        accuse(&w.verdict, "a forked child was killed")
    elif status != 0:
        accuse(&w.verdict, "a forked child's loop does not work")
