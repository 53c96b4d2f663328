# Races of threads without the GIL against a loop, on public names only.  Each def plays rounds for
# so many nanoseconds and says how many it were, and whether one got stuck: what is lost is found
# by the watchdog in the loop, so that nothing here waits for ever.

from libc.errno cimport EBUSY
from libc.stdint cimport int64_t, uint64_t
from posix.unistd cimport close, read, write

from qemu_mainloop.aio cimport (
    AioContext, IOThread, aio_bh_new, aio_bh_schedule_oneshot, aio_context_new,
    aio_context_set_fdmon, aio_context_set_poll_params, aio_context_unref, aio_notify, aio_poll,
    aio_set_fd_handler, aio_timer_new, aio_wait_bh_oneshot, iothread_create, iothread_destroy,
    iothread_get_aio_context, iothread_stop)
from qemu_mainloop.main_loop cimport (
    QEMUBH, qemu_bh_cancel, qemu_bh_delete, qemu_bh_schedule)
from qemu_mainloop.timer cimport (
    QEMU_CLOCK_REALTIME, QEMUTimer, qemu_clock_get_ns, timer_del, timer_free, timer_mod_ns)

cdef extern from "<pthread.h>" nogil:
    ctypedef unsigned long pthread_t
    int pthread_create(pthread_t *t, void *attr, void *(*run)(void *) noexcept nogil, void *arg)
    int pthread_join(pthread_t t, void **result)

cdef extern from "<sys/eventfd.h>" nogil:
    int eventfd(unsigned int count, int flags)

cdef extern from *:
    """
    #include <sched.h>
    static int64_t get(int64_t *p) { return __atomic_load_n(p, __ATOMIC_RELAXED); }
    static void put(int64_t *p, int64_t v) { __atomic_store_n(p, v, __ATOMIC_RELAXED); }
    static void spin(int n) { while (n-- > 0) { __asm__ __volatile__("" ::: "memory"); } }
    static void wait_a_bit(int64_t *spins)
    {
        if (++*spins % 2000 == 0) {
            sched_yield();
        }
    }
    """
    # Relaxed on purpose: what is tested has to publish.
    int64_t get(int64_t *p) nogil
    void put(int64_t *p, int64_t v) nogil
    void spin(int n) nogil
    void wait_a_bit(int64_t *spins) nogil

cdef enum:
    WATCHDOG_NS = 10000000000

# What a producer and a loop share.
cdef struct Bench:
    AioContext *ctx
    QEMUBH *bh
    QEMUTimer *watchdog
    int64_t watched              # the answer when it looked last
    int64_t stuck                # it barked: somebody waits for nothing
    int64_t end_ns
    int64_t ended                # the producer
    int64_t data                 # the producer's
    int64_t seen                 # the loop's answer
    int64_t busy                 # polls that were refused
    int how


cdef int64_t now_ns() noexcept nogil:
    return qemu_clock_get_ns(QEMU_CLOCK_REALTIME)


cdef void look(void *opaque) noexcept nogil:
    cdef Bench *b = <Bench *> opaque
    # Also if the bark itself would have it go on: long after its end there is nobody to see.
    if get(&b.seen) == b.watched or now_ns() > b.end_ns + WATCHDOG_NS // 2:
        put(&b.stuck, 1)
    b.watched = get(&b.seen)
    timer_mod_ns(b.watchdog, now_ns() + WATCHDOG_NS)


cdef void answer(void *opaque) noexcept nogil:
    cdef Bench *b = <Bench *> opaque
    put(&b.seen, get(&b.data))
    spin(200)                            # it has looked, and has not returned


cdef void begin(Bench *b, const char *fdmon, int64_t ns, int64_t busy_ns) noexcept nogil:
    b.ctx = aio_context_new()
    aio_context_set_fdmon(b.ctx, fdmon)
    aio_context_set_poll_params(b.ctx, busy_ns, 2, 2)
    b.bh = aio_bh_new(b.ctx, answer, b)
    b.watchdog = aio_timer_new(b.ctx, QEMU_CLOCK_REALTIME, 1, look, b)
    timer_mod_ns(b.watchdog, now_ns() + WATCHDOG_NS)
    b.stuck = b.data = b.seen = b.busy = b.watched = b.ended = 0
    b.end_ns = now_ns() + ns


cdef void end(Bench *b) noexcept nogil:
    qemu_bh_delete(b.bh)
    timer_free(b.watchdog)
    aio_context_unref(b.ctx)


cdef bint is_over(Bench *b) noexcept nogil:
    # Not before the first round: a busy machine may begin this thread late.
    return get(&b.stuck) or (now_ns() > b.end_ns and get(&b.seen))


cdef bint is_answered(Bench *b, int64_t round_) noexcept nogil:
    cdef int64_t spins = 0
    while get(&b.seen) != round_:
        if get(&b.stuck):
            return False
        wait_a_bit(&spins)
    return True


cdef void *finish(Bench *b) noexcept nogil:
    put(&b.ended, 1)
    aio_notify(b.ctx)
    return NULL


cdef bint goes_on(Bench *b) noexcept nogil:
    return not get(&b.ended) and not get(&b.stuck)


# ---- a bottom half is scheduled, again and again, around the instant at which it runs

cdef void *schedule_twice(void *opaque) noexcept nogil:
    cdef Bench *b = <Bench *> opaque
    cdef int64_t i = 0
    while not is_over(b):
        i += 1
        qemu_bh_schedule(b.bh)
        if b.how:
            qemu_bh_cancel(b.bh)
        spin(<int> (i * 7 % 300))
        put(&b.data, i)
        qemu_bh_schedule(b.bh)           # "already scheduled", or not: its run sees i
        if not is_answered(b, i):
            break
    return finish(b)


def schedules(int64_t ns, bytes fdmon, bint blocking, bint cancel):
    """The run after a second schedule sees what was written before it."""
    cdef Bench b
    cdef pthread_t producer
    cdef const char *name = fdmon
    with nogil:
        begin(&b, name, ns, 0)
        b.how = cancel
        pthread_create(&producer, NULL, schedule_twice, &b)
        while goes_on(&b):
            aio_poll(b.ctx, blocking)
        pthread_join(producer, NULL)
        end(&b)
    return b.seen, b.stuck


# ---- a flag that the loop knows nothing of, and a notification

cdef void *raise_flag(void *opaque) noexcept nogil:
    cdef Bench *b = <Bench *> opaque
    cdef int64_t i = 0
    while not is_over(b):
        i += 1
        spin(<int> (i * 37 % 4000))
        put(&b.data, i)
        aio_notify(b.ctx)
        if not is_answered(b, i):
            break
    return finish(b)


def flags(int64_t ns, bytes fdmon, int64_t busy_ns):
    """A blocking wait ends after "set the flag, notify"."""
    cdef Bench b
    cdef pthread_t producer
    cdef const char *name = fdmon
    with nogil:
        begin(&b, name, ns, busy_ns)
        pthread_create(&producer, NULL, raise_flag, &b)
        while goes_on(&b):
            while get(&b.data) == b.seen and goes_on(&b):
                aio_poll(b.ctx, True)
            put(&b.seen, get(&b.data))
        pthread_join(producer, NULL)
        end(&b)
    return b.seen, b.stuck


# ---- many notify one sleeper

cdef enum:
    NOTIFIERS = 4

cdef struct Crowd:
    Bench *b
    int64_t mine                 # its flag
    int64_t ended


cdef void *notify_often(void *opaque) noexcept nogil:
    cdef Crowd *c = <Crowd *> opaque
    cdef int64_t spins
    while not is_over(c.b):
        put(&c.mine, 1)
        aio_notify(c.b.ctx)
        spins = 0
        while get(&c.mine) and not get(&c.b.stuck):
            wait_a_bit(&spins)
    put(&c.ended, 1)
    aio_notify(c.b.ctx)
    return NULL


def crowd(int64_t ns, bytes fdmon):
    """Several notify, and each waits until the loop has looked at its flag."""
    cdef Bench b
    cdef Crowd crowd[NOTIFIERS]
    cdef pthread_t threads[NOTIFIERS]
    cdef const char *name = fdmon
    cdef int done = 0
    cdef int i
    with nogil:
        begin(&b, name, ns, 0)
        for i in range(NOTIFIERS):
            crowd[i].b = &b
            crowd[i].mine = crowd[i].ended = 0
            pthread_create(&threads[i], NULL, notify_often, &crowd[i])
        while done < NOTIFIERS and not get(&b.stuck):
            aio_poll(b.ctx, True)
            done = 0
            for i in range(NOTIFIERS):
                if get(&crowd[i].mine):
                    put(&crowd[i].mine, 0)
                    put(&b.seen, b.seen + 1)
                done += get(&crowd[i].ended)
        for i in range(NOTIFIERS):
            pthread_join(threads[i], NULL)
        end(&b)
    return b.seen, b.stuck


# ---- one thread sleeps; others run loops of their own, and schedule from there

cdef struct Middleman:
    Bench *b
    AioContext *own

cdef void pass_on(void *opaque) noexcept nogil:
    cdef Middleman *m = <Middleman *> opaque
    put(&m.b.data, get(&m.b.data) + 1)
    qemu_bh_schedule(m.b.bh)


cdef void *run_own_loop(void *opaque) noexcept nogil:
    cdef Middleman *m = <Middleman *> opaque
    cdef int64_t i = 0
    while not is_over(m.b):
        i += 1
        aio_bh_schedule_oneshot(m.own, pass_on, m)
        aio_poll(m.own, True)
        if not is_answered(m.b, i):
            break
    return finish(m.b)


def middleman(int64_t ns, bytes fdmon):
    """A bottom half is scheduled from a callback of another loop in another thread."""
    cdef Bench b
    cdef Middleman m
    cdef pthread_t thread
    cdef const char *name = fdmon
    with nogil:
        begin(&b, name, ns, 0)
        m.b = &b
        m.own = aio_context_new()
        pthread_create(&thread, NULL, run_own_loop, &m)
        while goes_on(&b):
            aio_poll(b.ctx, True)
        pthread_join(thread, NULL)
        aio_context_unref(m.own)
        end(&b)
    return b.seen, b.stuck


# ---- somebody else polls the loop of a sleeper

cdef void *poll_anothers(void *opaque) noexcept nogil:
    cdef Bench *b = <Bench *> opaque
    cdef int64_t i = 0
    while not is_over(b):
        i += 1
        put(&b.data, i)
        aio_notify(b.ctx)
        if aio_poll(b.ctx, False) == -EBUSY:
            b.busy += 1
        if not is_answered(b, i):
            break
    return finish(b)


def strangers(int64_t ns, bytes fdmon):
    """A thread notifies a sleeper, then polls its loop itself; also how often it could not."""
    cdef Bench b
    cdef pthread_t thread
    cdef const char *name = fdmon
    with nogil:
        begin(&b, name, ns, 0)
        pthread_create(&thread, NULL, poll_anothers, &b)
        while goes_on(&b):
            while get(&b.data) == b.seen and goes_on(&b):
                if aio_poll(b.ctx, True) < 0:
                    continue             # the other one is inside for a moment
            put(&b.seen, get(&b.data))
        pthread_join(thread, NULL)
        end(&b)
    return b.seen, b.stuck, b.busy


# ---- IOThreads

def stops(int64_t ns, int instants):
    """IOThreads made and stopped, at instants from at once to asleep."""
    cdef int64_t end_ns = now_ns() + ns
    cdef IOThread *t
    cdef int i = 0
    with nogil:
        while now_ns() < end_ns:
            t = iothread_create("history")
            spin((i % instants) * 500)
            iothread_stop(t)
            iothread_destroy(t)
            i += 1
    return i, 0


# ---- descriptors that come and go while the loop sleeps

cdef enum:
    MANY = 100

cdef struct Group:
    AioContext *ctx
    int fds[MANY]
    int64_t now                  # the one that is ready
    int64_t calls
    int64_t served               # rounds
    int64_t end_ns
    int64_t stuck
    pthread_t thread


cdef void on_ready(void *opaque) noexcept nogil:
    cdef Group *g = <Group *> opaque
    cdef uint64_t count
    read(g.fds[get(&g.now)], &count, 8)
    put(&g.calls, get(&g.calls) + 1)


cdef bint is_called(int64_t *calls, int64_t before) noexcept nogil:
    cdef int64_t end_ns = now_ns() + WATCHDOG_NS
    cdef int64_t spins = 0
    while get(calls) == before:
        if spins % 1000 == 0 and now_ns() > end_ns:
            return False
        wait_a_bit(&spins)
    return True


cdef void *come_and_go(void *opaque) noexcept nogil:
    cdef Group *g = <Group *> opaque
    cdef int64_t before
    cdef uint64_t one = 1
    cdef int i
    while now_ns() < g.end_ns or g.served == 0:
        for i in range(MANY):
            before = get(&g.calls)
            put(&g.now, i)
            write(g.fds[i], &one, 8)
            aio_set_fd_handler(g.ctx, g.fds[i], on_ready, NULL, NULL, g)
            if not is_called(&g.calls, before):
                g.stuck = 1
                return NULL
        for i in range(MANY):
            aio_set_fd_handler(g.ctx, g.fds[i], NULL, NULL, NULL, NULL)
        g.served += 1
    return NULL


cdef struct Poller:
    AioContext *ctx
    int64_t stop
    pthread_t thread


cdef void *poll_until_stopped(void *opaque) noexcept nogil:
    cdef Poller *p = <Poller *> opaque
    while not get(&p.stop):
        aio_poll(p.ctx, True)
    return NULL


def groups(int64_t ns, bytes fdmon):
    """Two threads add and remove a hundred descriptors each, each ready when it is added."""
    cdef Group groups[2]
    cdef Poller poller
    cdef const char *name = fdmon
    cdef int i, j
    with nogil:
        poller.stop = 0
        poller.ctx = aio_context_new()
        aio_context_set_fdmon(poller.ctx, name)
        pthread_create(&poller.thread, NULL, poll_until_stopped, &poller)
        for i in range(2):
            groups[i].ctx = poller.ctx
            groups[i].calls = groups[i].served = groups[i].stuck = 0
            groups[i].end_ns = now_ns() + ns
            for j in range(MANY):
                groups[i].fds[j] = eventfd(0, 0)
            pthread_create(&groups[i].thread, NULL, come_and_go, &groups[i])
        for i in range(2):
            pthread_join(groups[i].thread, NULL)
        put(&poller.stop, 1)
        aio_notify(poller.ctx)
        pthread_join(poller.thread, NULL)
        aio_context_unref(poller.ctx)
        for i in range(2):
            for j in range(MANY):
                close(groups[i].fds[j])
    return min(groups[0].served, groups[1].served), groups[0].stuck + groups[1].stuck


# ---- a bottom half is deleted from another thread

cdef struct Device:
    int64_t freed
    int64_t late


cdef void use(void *opaque) noexcept nogil:
    cdef Device *d = <Device *> opaque
    put(&d.late, get(&d.late) + get(&d.freed))


def deletions(int64_t ns):
    """Bottom halves that another thread deletes, waits for, and frees; runs after that."""
    cdef Device d
    cdef IOThread *t
    cdef AioContext *ctx
    cdef QEMUBH *bh
    cdef int64_t end_ns = now_ns() + ns
    cdef int64_t late = 0
    cdef int i = 0
    with nogil:
        t = iothread_create("history")
        ctx = iothread_get_aio_context(t)
        while now_ns() < end_ns:
            i += 1
            d.freed = d.late = 0
            bh = aio_bh_new(ctx, use, &d)
            qemu_bh_schedule(bh)
            spin(i % 50 * 20)
            qemu_bh_delete(bh)
            aio_wait_bh_oneshot(ctx, NULL, NULL)
            put(&d.freed, 1)
            aio_wait_bh_oneshot(ctx, NULL, NULL)
            late += d.late
        iothread_destroy(t)
    return i, late


# ---- timers

cdef struct Alarm:
    AioContext *ctx
    QEMUTimer *timer
    int64_t runs
    int64_t served
    int64_t end_ns
    int64_t stuck
    int64_t hold                 # its callback waits until it is 0
    pthread_t thread


cdef void ring(void *opaque) noexcept nogil:
    cdef Alarm *a = <Alarm *> opaque
    cdef int64_t spins = 0
    put(&a.runs, get(&a.runs) + 1)
    while get(&a.hold):
        wait_a_bit(&spins)


cdef void *arm_and_wait(void *opaque) noexcept nogil:
    cdef Alarm *a = <Alarm *> opaque
    cdef int64_t before
    while now_ns() < a.end_ns or a.served == 0:
        before = get(&a.runs)
        timer_mod_ns(a.timer, now_ns() + a.served % 40 * 1000)
        if not is_called(&a.runs, before):
            a.stuck = 1
            return NULL
        timer_mod_ns(a.timer, now_ns() + WATCHDOG_NS)
        a.served += 1
        if a.served % 2:
            timer_del(a.timer)
    return NULL


cdef enum:
    ALARMS = 3


def alarms(int64_t ns):
    """Threads arm timers of one IOThread, wait for them, put them off, delete them."""
    cdef Alarm alarms[ALARMS]
    cdef IOThread *t
    cdef int64_t served = 0
    cdef int64_t stuck = 0
    cdef int i
    with nogil:
        t = iothread_create("history")
        for i in range(ALARMS):
            begin_alarm(&alarms[i], iothread_get_aio_context(t), ns)
            pthread_create(&alarms[i].thread, NULL, arm_and_wait, &alarms[i])
        for i in range(ALARMS):
            pthread_join(alarms[i].thread, NULL)
            timer_free(alarms[i].timer)
            served += alarms[i].served
            stuck += alarms[i].stuck
        iothread_destroy(t)
    return served, stuck


cdef void begin_alarm(Alarm *a, AioContext *ctx, int64_t ns) noexcept nogil:
    a.ctx = ctx
    a.runs = a.served = a.hold = a.stuck = 0
    a.end_ns = now_ns() + ns
    a.timer = aio_timer_new(ctx, QEMU_CLOCK_REALTIME, 1, ring, a)


def armed_during_its_callback():
    """A timer that another thread arms while its callback runs: how often it ran."""
    cdef Alarm a
    cdef IOThread *t
    with nogil:
        t = iothread_create("history")
        begin_alarm(&a, iothread_get_aio_context(t), 0)
        a.hold = 1
        timer_mod_ns(a.timer, 0)
        if is_called(&a.runs, 0):
            timer_mod_ns(a.timer, 0)     # its callback waits for us
            put(&a.hold, 0)
            is_called(&a.runs, 1)
        put(&a.hold, 0)
        timer_free(a.timer)
        iothread_destroy(t)
    return a.runs
