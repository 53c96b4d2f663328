# Contexts and IOThreads that are made, used and freed in many threads at a time.

from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport calloc, free

from qemu_mainloop.aio cimport (
    AioContext, IOThread, aio_bh_new, aio_bh_schedule_oneshot, aio_context_fileno,
    aio_context_new, aio_context_ref, aio_context_unref, aio_notify, aio_poll,
    aio_set_fd_handler, aio_timer_new, aio_wait_bh_oneshot, iothread_create, iothread_destroy,
    iothread_get_aio_context, iothread_stop, qemu_get_current_aio_context)
from qemu_mainloop.main_loop cimport qemu_bh_delete, qemu_bh_schedule, qemu_bh_schedule_idle
from qemu_mainloop.timer cimport (
    QEMU_CLOCK_HOST, QEMU_CLOCK_REALTIME, QEMU_CLOCK_VIRTUAL, qemu_clock_get_ns, timer_mod_ns)
from stress_kit.system cimport (
    EFD_CLOEXEC, EFD_NONBLOCK, Verdict, accusation, accuse, add, close, draw, eventfd,
    monotonic_ns, pthread_create, pthread_join, pthread_t, seed_with)

cdef enum:
    MOST_THREADS = 8

cdef struct Life:
    pthread_t thread
    bint iothreads
    Verdict *verdict
    uint64_t rng
    uint64_t until_ns
    uint64_t rounds, ran, wanted


cdef void count(void *opaque) noexcept nogil:
    add(<uint64_t *> opaque, 1)


cdef void use_context(Life *life) noexcept nogil:
    # Half of what is in it is still there when it goes.
    cdef AioContext *ctx = aio_context_new()
    cdef uint64_t before = life.ran
    cdef int fd = eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC)
    if ctx == NULL or fd < 0:
        accuse(life.verdict, "no context")
        return
    aio_context_ref(ctx)
    if draw(&life.rng) % 4 == 0 and aio_context_fileno(ctx) < 0:
        accuse(life.verdict, "no descriptor for a host")
    aio_set_fd_handler(ctx, fd, count, NULL, NULL, &life.ran)
    bh = aio_bh_new(ctx, count, &life.ran)
    idle = aio_bh_new(ctx, count, &life.ran)
    qemu_bh_schedule(bh)
    aio_bh_schedule_oneshot(ctx, count, &life.ran)
    timer_mod_ns(aio_timer_new(ctx, QEMU_CLOCK_REALTIME, 1, count, &life.ran), 1)
    timer_mod_ns(aio_timer_new(ctx, QEMU_CLOCK_HOST, 1, count, &life.ran), 1)
    timer_mod_ns(aio_timer_new(ctx, QEMU_CLOCK_VIRTUAL, 1, count, &life.ran), 1)
    if draw(&life.rng) % 4:
        aio_poll(ctx, draw(&life.rng) % 2)
        if life.ran != before + 5:          # the virtual clock stands
            accuse(life.verdict, "one iteration did not run what was due")
    if qemu_get_current_aio_context() != NULL:
        accuse(life.verdict, "a context is current after its iteration")
    qemu_bh_schedule_idle(idle)
    if draw(&life.rng) % 2:
        qemu_bh_delete(bh)
        aio_set_fd_handler(ctx, fd, NULL, NULL, NULL, NULL)
    aio_bh_schedule_oneshot(ctx, count, &life.ran)
    aio_context_unref(ctx)
    aio_context_unref(ctx)
    close(fd)


cdef void use_iothread(Life *life) noexcept nogil:
    cdef IOThread *t = iothread_create("life")
    cdef AioContext *ctx
    cdef uint64_t _i
    cdef uint64_t uses = draw(&life.rng) % 8
    if t == NULL:
        accuse(life.verdict, "no IOThread")
        return
    ctx = iothread_get_aio_context(t)
    for _i in range(uses):
        if draw(&life.rng) % 2:
            life.wanted += aio_wait_bh_oneshot(ctx, count, &life.ran) == 0
        else:
            aio_notify(ctx)
            timer_mod_ns(aio_timer_new(ctx, QEMU_CLOCK_REALTIME, 1, count, &life.rounds),
                         qemu_clock_get_ns(QEMU_CLOCK_REALTIME) + 3600 * <int64_t> 1000000000)
    if life.ran != life.wanted:
        accuse(life.verdict, "a barrier did not run, or twice")
    if draw(&life.rng) % 2 and iothread_stop(t) < 0:
        accuse(life.verdict, "an IOThread does not stop")
    iothread_destroy(t)


cdef void *live(void *opaque) noexcept nogil:
    cdef Life *life = <Life *> opaque
    while monotonic_ns() < life.until_ns and accusation(life.verdict) == NULL:
        if life.iothreads:
            use_iothread(life)
        else:
            use_context(life)
        add(&life.rounds, 1)
    return NULL


def lives(uint64_t seed, uint64_t ms, str of, int threads=4):
    """Contexts or IOThreads come and go in so many threads, for so long."""
    cdef Life *all = <Life *> calloc(MOST_THREADS, sizeof(Life))
    cdef Verdict verdict
    cdef int i
    cdef uint64_t until_ns = monotonic_ns() + ms * 1000000
    verdict.wrong = NULL
    for i in range(threads):
        all[i].iothreads = {"contexts": False, "iothreads": True}[of]
        all[i].verdict = &verdict
        all[i].until_ns = until_ns
        seed_with(&all[i].rng, seed, i)
    with nogil:
        for i in range(threads):
            pthread_create(&all[i].thread, NULL, live, &all[i])
        for i in range(threads):
            pthread_join(all[i].thread, NULL)
    rounds = sum(all[i].rounds for i in range(threads))
    free(all)
    assert verdict.wrong == NULL, f"{verdict.wrong.decode()} after {rounds} {of}, seed {seed}"
    return {of: rounds}
