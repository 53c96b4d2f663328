# Waking a loop against its falling asleep, a million times; threads that end as they begin.

from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memset

from qemu_mainloop.aio cimport (
    AioContext, IOThread, aio_bh_new, aio_bh_schedule_oneshot, aio_context_new,
    aio_context_set_fdmon, aio_context_unref, aio_notify, aio_poll, aio_timer_new,
    aio_wait_bh_oneshot, iothread_create, iothread_destroy, iothread_get_aio_context,
    iothread_stop)
from qemu_mainloop.main_loop cimport QEMUBH, qemu_bh_delete, qemu_bh_schedule
from qemu_mainloop.timer cimport (
    QEMU_CLOCK_REALTIME, QEMUTimer, qemu_clock_get_ns, timer_free, timer_mod_ns)

from stress_kit.signals cimport (
    SignalTarget, signals_join, signals_leave, signals_number)
from stress_kit.system cimport (
    Verdict, accusation, accuse, add, draw, get, get_acquire, idle_turns, own_sleeps, pause_ns,
    pthread_create, pthread_join, pthread_kill, pthread_t, put, put_release, reach, seed_with,
    stay_on)

cdef enum:
    MOST_WAKERS = 4
    NOTIFY, SCHEDULE, ONESHOT, TIMER

cdef struct Waker:
    Race *race
    int number                   # from 1
    pthread_t thread
    uint64_t rng
    uint64_t rounds
    uint64_t done
    uint64_t asked               # written by the waker, then it wakes the loop
    uint64_t seen                # by the loop
    uint64_t longest_ns
    QEMUBH *bh
    QEMUTimer *timer

cdef struct Race:
    AioContext *ctx
    Verdict verdict
    int how
    uint64_t stop
    uint64_t sleeps
    uint64_t ended               # the sleeper has
    int wakers
    Waker all[MOST_WAKERS]
    SignalTarget target


cdef void look(void *opaque) noexcept nogil:
    cdef Waker *k = <Waker *> opaque
    put_release(&k.seen, get(&k.asked))


cdef void look_all(Race *r) noexcept nogil:
    for i in range(r.wakers):
        look(&r.all[i])


cdef void *sleeper(void *opaque) noexcept nogil:
    cdef Race *r = <Race *> opaque
    cdef uint64_t before = own_sleeps()
    stay_on(0)
    while not get_acquire(&r.stop):
        aio_poll(r.ctx, True)
        # A notification leaves nothing but the return of the wait.
        if r.how == NOTIFY:
            look_all(r)
    r.sleeps = own_sleeps() - before
    put_release(&r.ended, 1)
    return NULL


cdef void wake(Waker *k) noexcept nogil:
    cdef Race *r = k.race
    if r.how == NOTIFY:
        aio_notify(r.ctx)
    elif r.how == SCHEDULE:
        qemu_bh_schedule(k.bh)
    elif r.how == ONESHOT:
        if aio_bh_schedule_oneshot(r.ctx, look, k) < 0:
            accuse(&r.verdict, "no memory for a one-shot")
    else:
        timer_mod_ns(k.timer, qemu_clock_get_ns(QEMU_CLOCK_REALTIME))


cdef void *waker(void *opaque) noexcept nogil:
    cdef Waker *k = <Waker *> opaque
    cdef Race *r = k.race
    cdef int64_t took
    stay_on(k.number)
    while k.done < k.rounds and accusation(&r.verdict) == NULL:
        # The loop is on its way to sleep: somewhere between its look and the wait.
        idle_turns(draw(&k.rng) % (2000 if draw(&k.rng) % 4 == 0 else 200))
        put(&k.asked, k.done + 1)
        wake(k)
        took = reach(&k.seen, k.done + 1)
        if took < 0:
            accuse(&r.verdict, "a wake-up was lost")
            break
        if <uint64_t> took > k.longest_ns:
            k.longest_ns = took
        k.done += 1
    return NULL


cdef int begin(Race *r, uint64_t seed, uint64_t rounds, const char *fdmon) noexcept nogil:
    cdef Waker *k
    cdef int i
    r.ctx = aio_context_new()
    if r.ctx == NULL or aio_context_set_fdmon(r.ctx, fdmon) < 0:
        return -1
    for i in range(r.wakers):
        k = &r.all[i]
        k.race = r
        k.number = i + 1
        k.rounds = rounds // r.wakers
        seed_with(&k.rng, seed, i)
        k.bh = aio_bh_new(r.ctx, look, k)
        k.timer = aio_timer_new(r.ctx, QEMU_CLOCK_REALTIME, 1, look, k)
    return 0


cdef void end(Race *r) noexcept nogil:
    for i in range(r.wakers):
        qemu_bh_delete(r.all[i].bh)
        timer_free(r.all[i].timer)
    aio_context_unref(r.ctx)


cdef uint64_t finish(Race *r, pthread_t loop) noexcept nogil:
    # Whatever was lost, this thread must end: it is told again and again.
    put_release(&r.stop, 1)
    while not get_acquire(&r.ended):
        aio_notify(r.ctx)
        pause_ns(1000000)
    pthread_join(loop, NULL)
    cdef uint64_t longest_ns = 0
    for i in range(r.wakers):
        if r.all[i].longest_ns > longest_ns:
            longest_ns = r.all[i].longest_ns
    return longest_ns


def wake_against_sleep(uint64_t seed, uint64_t rounds, str how, str fdmon, int wakers=1):
    """Each round wakes a loop that is about to sleep, and waits until it looked."""
    cdef Race r
    cdef pthread_t loop
    cdef uint64_t longest_ns
    cdef int i
    memset(&r, 0, sizeof(r))
    r.how = ["notify", "schedule", "oneshot", "timer"].index(how) + NOTIFY
    r.wakers = wakers
    name = fdmon.encode()
    assert begin(&r, seed, rounds, name) == 0
    with nogil:
        pthread_create(&loop, NULL, sleeper, &r)
        for i in range(wakers):
            pthread_create(&r.all[i].thread, NULL, waker, &r.all[i])
        for i in range(wakers):
            pthread_join(r.all[i].thread, NULL)
        longest_ns = finish(&r, loop)
    done = sum(r.all[i].done for i in range(wakers))
    end(&r)
    assert r.verdict.wrong == NULL, f"{r.verdict.wrong.decode()} after {done} rounds, seed {seed}"
    return {"wakes": done, "sleeps": r.sleeps, "longest_ms": longest_ns // 1000000}


# ---- a signal handler that notifies, in the middle of a notification

cdef void notify_and_wait(void *opaque) noexcept nogil:
    # In a signal handler of the thread that is in aio_notify(): it cannot go on before
    # the loop has looked.
    cdef Race *r = <Race *> opaque
    cdef Waker *k = &r.all[1]
    if not get(&r.stop):
        put(&k.asked, k.done + 1)
        aio_notify(r.ctx)
        if reach(&k.seen, k.done + 1) < 0:
            accuse(&r.verdict, "a notification from a signal handler was lost")
        k.done += 1


def notify_inside_notify(uint64_t seed, uint64_t signals, str fdmon):
    """Signals that interrupt aio_notify() anywhere, with handlers that need the loop."""
    cdef Race r
    cdef pthread_t loop
    cdef uint64_t sent = 0, rng
    memset(&r, 0, sizeof(r))
    r.wakers = 2
    r.how = NOTIFY
    name = fdmon.encode()
    assert begin(&r, seed, 2 * <uint64_t> 1000000000, name) == 0
    seed_with(&rng, seed, 77)
    r.target.handle = notify_and_wait
    r.target.opaque = &r
    with nogil:
        pthread_create(&loop, NULL, sleeper, &r)
        pthread_create(&r.all[0].thread, NULL, waker, &r.all[0])
        r.target.only = r.all[0].thread
        signals_join(&r.target)
        while sent < signals and accusation(&r.verdict) == NULL:
            pthread_kill(r.all[0].thread, signals_number())
            sent += 1
            if reach(&r.all[1].done, sent) < 0:
                accuse(&r.verdict, "a signal was lost")
            idle_turns(draw(&rng) % 3000)
        put(&r.all[0].rounds, 0)
        pthread_join(r.all[0].thread, NULL)
        signals_leave(&r.target)
        finish(&r, loop)
    end(&r)
    assert r.verdict.wrong == NULL, f"{r.verdict.wrong.decode()} after {sent} signals, seed {seed}"
    return {"signals": r.all[1].done, "wakes": r.all[0].done}


# ---- threads that end as they begin

cdef void count(void *opaque) noexcept nogil:
    add(<uint64_t *> opaque, 1)


def stop_against_start(uint64_t seed, uint64_t rounds):
    """IOThreads stopped at once, or after a moment: on the way to the first sleep."""
    cdef uint64_t rng, ran = 0, wanted = 0, done = 0
    cdef IOThread *t
    cdef int rc = 0
    seed_with(&rng, seed, 3)
    with nogil:
        while done < rounds and rc == 0:
            t = iothread_create("short")
            if t == NULL:
                rc = -1
                break
            if draw(&rng) % 4:
                idle_turns(draw(&rng) % (30000 if draw(&rng) % 4 == 0 else 3000))
            if draw(&rng) % 8 == 0:
                rc = aio_wait_bh_oneshot(iothread_get_aio_context(t), count, &ran)
                wanted += 1
            if rc == 0:
                rc = iothread_stop(t)
            iothread_destroy(t)
            done += 1
    assert rc == 0, f"{rc} in round {done}, seed {seed}"
    assert ran == wanted, f"{ran} of {wanted} barriers ran, seed {seed}"
    return {"iothreads": done, "barriers": ran}
