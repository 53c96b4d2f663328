# What one thread does to a loop, at random.
#
# Nothing is lost: each thing that is scheduled leaves a number behind, and is seen with that
# number or a later one.  Nothing comes late: what was taken back is marked as gone after the
# barrier, and its callback looks for that mark.

from libc.stdint cimport int64_t, uint64_t

from qemu_mainloop.aio cimport (
    aio_bh_new, aio_bh_schedule_oneshot, aio_context_set_poll_params, aio_notify,
    aio_set_fd_handler, aio_timer_new, aio_wait_bh_oneshot)
from qemu_mainloop.main_loop cimport (
    qemu_bh_cancel, qemu_bh_delete, qemu_bh_schedule, qemu_bh_schedule_idle,
    qemu_mutex_lock_iothread, qemu_mutex_unlock_iothread)
from qemu_mainloop.timer cimport (
    QEMU_CLOCK_REALTIME, QEMUTimer, qemu_clock_get_ns, timer_del, timer_free,
    timer_mod_anticipate_ns, timer_mod_ns)
from stress_kit.signals cimport signals_number
from stress_kit.system cimport (
    EFD_CLOEXEC, EFD_NONBLOCK, accusation, accuse, add, close, draw, eventfd, get, getpid,
    idle_turns, kill, monotonic_ns, pthread_kill, put, put_release, reach, read, seed_with,
    write)
from stress_kit.world cimport MAIN, world_is_child


# ---- callbacks, in the loop's thread

cdef void see(void *opaque) noexcept nogil:
    cdef Channel *c = <Channel *> opaque
    put_release(&c.seen, get(&c.written))


cdef void count_oneshot(void *opaque) noexcept nogil:
    add(&(<Actor *> opaque).oneshots_ran, 1)


cdef void touch_victim(void *opaque) noexcept nogil:
    cdef Victim *v = <Victim *> opaque
    if get(&v.gone):
        accuse(&v.actor.w.verdict, "a callback came after the barrier")
    add(&v.runs, 1)


cdef void delete_oneself(void *opaque) noexcept nogil:
    cdef Victim *v = <Victim *> opaque
    qemu_bh_delete(v.bh)
    touch_victim(v)


cdef void receive(void *opaque) noexcept nogil:
    cdef Actor *a = <Actor *> opaque
    cdef uint64_t n = 0
    if not world_is_child and read(a.fd, &n, 8) == 8:
        add(&a.received, n)


cdef int may_receive(void *opaque) noexcept nogil:
    return 1


cdef void ignore(void *opaque) noexcept nogil:
    pass


cdef void fire(void *opaque) noexcept nogil:
    cdef Actor *a = <Actor *> opaque
    if monotonic_ns() < get(&a.due_ns):
        accuse(&a.w.verdict, "a timer fired early")
    put_release(&a.fired, 1)


cdef void see_struck(void *opaque) noexcept nogil:
    cdef Storm *s = <Storm *> opaque
    put_release(&s.struck_seen, get(&s.struck))


cdef void strike(void *opaque) noexcept nogil:       # in a signal handler, anywhere
    cdef Storm *s = <Storm *> opaque
    add(&s.struck, 1)
    qemu_bh_schedule(s.struck_bh)
    aio_notify(s.w.ctx)


# ---- what an actor does

cdef void wait_for(Actor *a, uint64_t *p, uint64_t v, const char *what) noexcept nogil:
    cdef int64_t took = reach(p, v)
    if took < 0:
        accuse(&a.w.verdict, what)
    elif <uint64_t> took > a.longest_ns:
        a.longest_ns = took


cdef void barrier(Actor *a) noexcept nogil:
    if aio_wait_bh_oneshot(a.w.ctx, NULL, NULL) < 0:
        accuse(&a.w.verdict, "a barrier was refused")


cdef void do_barrier(Actor *a) noexcept nogil:
    # What this thread scheduled before has run when the barrier has.
    cdef uint64_t oneshots = a.oneshots_made
    barrier(a)
    for i in range(CHANNELS):
        if get(&a.now[i].seen) < a.now[i].written:
            accuse(&a.w.verdict, "a bottom half ran after a later barrier")
    if get(&a.oneshots_ran) < oneshots:
        accuse(&a.w.verdict, "a one-shot ran after a later barrier")


cdef void do_schedule(Actor *a) noexcept nogil:
    cdef Channel *c = &a.now[draw(&a.rng) % CHANNELS]
    put(&c.written, c.written + 1)
    qemu_bh_schedule(c.bh)
    if draw(&a.rng) % 16 == 0:
        wait_for(a, &c.seen, c.written, "a scheduled bottom half did not run")


cdef void do_idle(Actor *a) noexcept nogil:
    put(&a.idle.written, a.idle.written + 1)
    qemu_bh_schedule_idle(a.idle.bh)
    if draw(&a.rng) % 256 == 0:
        wait_for(a, &a.idle.seen, a.idle.written, "an idle bottom half did not run")


cdef void do_cancel(Actor *a) noexcept nogil:
    cdef Channel *c = &a.cancelled
    qemu_bh_cancel(c.bh)
    put(&c.written, c.written + 1)
    qemu_bh_schedule(c.bh)
    if draw(&a.rng) % 2:
        qemu_bh_cancel(c.bh)
        put(&c.written, c.written + 1)
        qemu_bh_schedule(c.bh)
    if draw(&a.rng) % 16 == 0:
        wait_for(a, &c.seen, c.written, "scheduled after a cancel, it did not run")


cdef void do_oneshot(Actor *a) noexcept nogil:
    a.oneshots_made += 1
    if aio_bh_schedule_oneshot(a.w.ctx, count_oneshot, a) < 0:
        accuse(&a.w.verdict, "no memory for a one-shot")
    if a.oneshots_made % 512 == 0:
        do_barrier(a)                    # or this thread alone could fill the memory


cdef void do_descriptor(Actor *a) noexcept nogil:
    cdef uint64_t one = 1
    cdef uint64_t way = draw(&a.rng) % 6
    if way == 0:
        aio_set_fd_handler(a.w.ctx, a.fd, NULL, NULL, NULL, NULL)
        a.watched = False
    elif way <= 3:
        if way == 1:
            aio_set_fd_handler(a.w.ctx, a.fd, receive, NULL, NULL, a)
        elif way == 2:
            # Always writable: not for long, or the loop would never sleep.
            aio_set_fd_handler(a.w.ctx, a.fd, receive, ignore, NULL, a)
            idle_turns(draw(&a.rng) % 3000)
            aio_set_fd_handler(a.w.ctx, a.fd, receive, NULL, NULL, a)
        else:
            aio_set_fd_handler(a.w.ctx, a.fd, receive, NULL, may_receive, a)
        a.watched = True
    if write(a.fd, &one, 8) == 8:
        a.sent += 1
    if a.watched and draw(&a.rng) % 16 == 0:
        wait_for(a, &a.received, a.sent, "a ready descriptor was not served")


cdef void do_victim(Actor *a) noexcept nogil:
    cdef Victim *v = &a.victims[a.next_victim]
    cdef QEMUTimer *timer
    cdef uint64_t way = draw(&a.rng) % 5
    a.next_victim = (a.next_victim + 1) % VICTIMS
    put(&v.runs, 0)
    put_release(&v.gone, 0)
    if way == 0:
        v.bh = aio_bh_new(a.w.ctx, touch_victim, v)
        qemu_bh_schedule(v.bh)
        idle_turns(draw(&a.rng) % 500)
        qemu_bh_delete(v.bh)
    elif way == 1:
        v.bh = aio_bh_new(a.w.ctx, delete_oneself, v)
        qemu_bh_schedule(v.bh)
        wait_for(a, &v.runs, 1, "one that deletes itself did not run")
    elif way == 2:
        timer = aio_timer_new(a.w.ctx, QEMU_CLOCK_REALTIME, 1, touch_victim, v)
        timer_mod_ns(timer, qemu_clock_get_ns(QEMU_CLOCK_REALTIME) + draw(&a.rng) % 20000)
        timer_mod_anticipate_ns(timer, draw(&a.rng) % 1000)
        idle_turns(draw(&a.rng) % 3000)
        if draw(&a.rng) % 2:
            timer_del(timer)
        timer_free(timer)
    elif way == 3:
        aio_set_fd_handler(a.w.ctx, a.busy_fd, touch_victim, touch_victim, NULL, v)
        idle_turns(draw(&a.rng) % 3000)
        aio_set_fd_handler(a.w.ctx, a.busy_fd, NULL, NULL, NULL, NULL)
    elif a.w.mode == MAIN:
        # With the iothread lock in hand no callback runs, and none starts afterwards.
        v.bh = aio_bh_new(a.w.ctx, touch_victim, v)
        qemu_bh_schedule(v.bh)
        qemu_mutex_lock_iothread()
        qemu_bh_delete(v.bh)
        put_release(&v.gone, 1)
        qemu_mutex_unlock_iothread()
        return
    else:
        aio_context_set_poll_params(a.w.ctx, <int64_t> (draw(&a.rng) % 2) * 20000, 0, 0)
    barrier(a)
    put_release(&v.gone, 1)


cdef void do_timer(Actor *a) noexcept nogil:
    put(&a.fired, 0)
    put_release(&a.due_ns, monotonic_ns() + draw(&a.rng) % 100000)
    timer_mod_ns(a.timer, a.due_ns + <uint64_t> 1000000000 * 3600)
    timer_mod_ns(a.timer, a.due_ns)
    wait_for(a, &a.fired, 1, "a timer did not fire")


cdef void do_notify(Actor *a) noexcept nogil:
    cdef uint64_t polls = get(&a.w.polls)
    aio_notify(a.w.ctx)
    if draw(&a.rng) % 16 == 0:
        wait_for(a, &a.w.polls, polls + 1, "a notification was lost")


cdef void do_signal(Actor *a) noexcept nogil:
    cdef uint64_t whom = draw(&a.rng) % 4
    if whom == 0:
        kill(getpid(), signals_number())
    elif whom == 1:
        pthread_kill(a.w.loop, signals_number())
    else:
        pthread_kill(a.thread, signals_number())


ctypedef void (*Deed)(Actor *a) noexcept nogil

cdef Deed deed[DEEDS]
deed[:] = [do_schedule, do_idle, do_cancel, do_oneshot, do_barrier, do_descriptor, do_victim,
           do_timer, do_notify, do_signal]
cdef int weight[DEEDS]
weight[:] = [700, 100, 200, 200, 100, 300, 100, 50, 150, 100]
cdef enum:
    ALL_WEIGHTS = 2000


cdef void *act(void *opaque) noexcept nogil:
    cdef Actor *a = <Actor *> opaque
    cdef int dice, i
    while monotonic_ns() < a.storm.until_ns and accusation(&a.w.verdict) == NULL:
        dice = <int> (draw(&a.rng) % ALL_WEIGHTS)
        i = 0
        while dice >= weight[i]:
            dice -= weight[i]
            i += 1
        a.deeds[i] += 1
        deed[i](a)
    return NULL


# ---- beginning and settling

cdef void channel_open(Channel *c, Actor *a) noexcept nogil:
    c.actor = a
    c.bh = aio_bh_new(a.w.ctx, see, c)


cdef void channel_close(Channel *c) noexcept nogil:
    # The last schedule of all, which nothing comes after to help.
    put(&c.written, c.written + 1)
    qemu_bh_schedule(c.bh)
    wait_for(c.actor, &c.seen, c.written, "the last schedule was lost")
    qemu_bh_delete(c.bh)


cdef void actor_begin(Actor *a, Storm *s, uint64_t seed, int number) noexcept nogil:
    a.storm = s
    a.w = &s.w
    seed_with(&a.rng, seed, number)
    for i in range(CHANNELS):
        channel_open(&a.now[i], a)
    channel_open(&a.idle, a)
    channel_open(&a.cancelled, a)
    for i in range(VICTIMS):
        a.victims[i].actor = a
    a.timer = aio_timer_new(a.w.ctx, QEMU_CLOCK_REALTIME, 1, fire, a)
    a.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)
    a.busy_fd = eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC)


cdef void actor_settle(Actor *a) noexcept nogil:
    aio_set_fd_handler(a.w.ctx, a.fd, receive, NULL, NULL, a)
    wait_for(a, &a.received, a.sent, "what was written last was not read")
    for i in range(CHANNELS):
        channel_close(&a.now[i])
    channel_close(&a.idle)
    channel_close(&a.cancelled)
    aio_set_fd_handler(a.w.ctx, a.fd, NULL, NULL, NULL, NULL)
    timer_free(a.timer)
    barrier(a)
    if a.oneshots_ran != a.oneshots_made:
        accuse(&a.w.verdict, "one-shots were lost, or ran twice")
    close(a.fd)
    close(a.busy_fd)
