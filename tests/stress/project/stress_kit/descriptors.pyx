# Descriptors closed, duplicated and used again under their handlers; and very many of them.
#
# Other tests' threads may get a number that is closed here, so a handler that may be called
# for one never touches it.

from libc.stdint cimport uint64_t
from libc.stdlib cimport calloc, free

from qemu_mainloop.aio cimport (
    AioContext, aio_context_new, aio_context_set_fdmon, aio_context_unref, aio_poll,
    aio_set_fd_handler, aio_wait_bh_oneshot)
from stress_kit.system cimport (
    EFD_CLOEXEC, EFD_NONBLOCK, accusation, accuse, add, close, draw, dup, eventfd, get,
    idle_turns, monotonic_ns, put, put_release, reach, read, seed_with, write)
from stress_kit.world cimport HOSTED, OWN, World, world_begin, world_end

cdef enum:
    MOST_STRAYS = 8              # calls for a closed descriptor, as promised
    FEWEST = 40                  # rounds, however slow the machine is


cdef struct Churn:
    World w
    bint alone
    uint64_t rng
    uint64_t rounds, closed, reused, duplicated
    uint64_t old_calls, new_calls, gone
    int witness
    uint64_t sent, received


cdef void old_called(void *opaque) noexcept nogil:
    cdef Churn *c = <Churn *> opaque
    if get(&c.gone):
        accuse(&c.w.verdict, "the old handler was called for the new descriptor")
    add(&c.old_calls, 1)


cdef void new_called(void *opaque) noexcept nogil:
    add(&(<Churn *> opaque).new_calls, 1)


cdef void witness_called(void *opaque) noexcept nogil:
    cdef Churn *c = <Churn *> opaque
    cdef uint64_t n = 0
    if read(c.witness, &n, 8) == 8:
        add(&c.received, n)


cdef void others_are_served(Churn *c) noexcept nogil:
    cdef uint64_t one = 1
    c.sent += 1
    write(c.witness, &one, 8)
    if reach(&c.received, c.sent) < 0:
        accuse(&c.w.verdict, "a closed descriptor keeps the others from being served")


cdef void barrier(Churn *c) noexcept nogil:
    if aio_wait_bh_oneshot(c.w.ctx, NULL, NULL) < 0:
        accuse(&c.w.verdict, "a barrier was refused")


cdef void use_again(Churn *c) noexcept nogil:
    # Often the same number; and if not, it comes to the same.
    cdef int fd = eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC)
    c.reused += 1
    put(&c.new_calls, 0)
    if aio_set_fd_handler(c.w.ctx, fd, new_called, NULL, NULL, c) < 0:
        accuse(&c.w.verdict, "a number used again was refused")
    elif reach(&c.new_calls, 1) < 0:
        accuse(&c.w.verdict, "a number used again is not served")
    aio_set_fd_handler(c.w.ctx, fd, NULL, NULL, NULL, NULL)
    barrier(c)
    close(fd)


cdef void churn_once(Churn *c) noexcept nogil:
    cdef int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)
    cdef int twin = dup(fd) if draw(&c.rng) % 2 else -1
    cdef uint64_t before
    cdef uint64_t one = 1
    put(&c.gone, 0)
    if aio_set_fd_handler(c.w.ctx, fd, old_called, NULL, NULL, c) < 0:
        accuse(&c.w.verdict, "a descriptor was refused")
    idle_turns(draw(&c.rng) % 5000)
    close(fd)                            # under its handler
    if twin >= 0:
        write(twin, &one, 8)             # what it reports now is nobody's
    before = get(&c.old_calls)
    c.closed += 1
    c.duplicated += twin >= 0
    for _i in range(16 if twin >= 0 else 1):
        # With a twin the file lives on and the kernel goes on reporting it: not for ever.
        others_are_served(c)
    if c.alone and get(&c.old_calls) > before + MOST_STRAYS + 1:     # one was on its way
        accuse(&c.w.verdict, "a closed descriptor's handler is called again and again")
    if draw(&c.rng) % 2:
        use_again(c)
    aio_set_fd_handler(c.w.ctx, fd, NULL, NULL, NULL, NULL)
    barrier(c)
    put_release(&c.gone, 1)
    others_are_served(c)
    if twin >= 0:
        close(twin)
    c.rounds += 1


cdef void churn_run(Churn *c, uint64_t ns) noexcept nogil:
    cdef uint64_t until_ns = monotonic_ns() + ns
    c.witness = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)
    aio_set_fd_handler(c.w.ctx, c.witness, witness_called, NULL, NULL, c)
    while c.rounds < FEWEST or monotonic_ns() < until_ns:
        churn_once(c)
        if accusation(&c.w.verdict) != NULL:
            break
    aio_set_fd_handler(c.w.ctx, c.witness, NULL, NULL, NULL, NULL)
    barrier(c)
    world_end(&c.w)
    close(c.witness)


def churn(uint64_t seed, uint64_t ms, str mode, str fdmon, bint alone=True):
    """Closes descriptors under their handlers and uses the numbers again, for so long.

    alone: no other thread of the process opens descriptors meanwhile.
    """
    cdef Churn *c = <Churn *> calloc(1, sizeof(Churn))
    cdef int kind = {"own": OWN, "hosted": HOSTED}[mode]
    name = fdmon.encode()
    cdef const char *fdmon_name = name
    if world_begin(&c.w, kind, fdmon_name) < 0:
        free(c)
        raise OSError(f"no {mode} loop on {fdmon}")
    seed_with(&c.rng, seed, 0)
    c.alone = alone
    with nogil:
        churn_run(c, ms * 1000000)
    counts = {"closed": c.closed, "reused": c.reused, "duplicated": c.duplicated,
              "strays": c.old_calls, "served": c.received}
    if c.w.verdict.wrong != NULL:
        raise AssertionError(f"{c.w.verdict.wrong.decode()}, seed {seed}, {counts}")
    free(c)
    return counts


# ---- very many

cdef struct Place:
    int fd
    uint64_t calls, wanted


cdef void place_called(void *opaque) noexcept nogil:
    cdef Place *p = <Place *> opaque
    cdef uint64_t n
    if read(p.fd, &n, 8) == 8:
        p.calls += 1


cdef uint64_t write_some(Place *all, int n, uint64_t some, uint64_t *rng) noexcept nogil:
    cdef uint64_t one = 1
    cdef uint64_t written = 0
    cdef Place *p
    for _i in range(some):
        p = &all[draw(rng) % n]
        if p.calls == p.wanted:
            p.wanted += 1
            written += 1
            write(p.fd, &one, 8)
    return written


cdef int serve(AioContext *ctx, Place *all, int n) noexcept nogil:
    # How many iterations it takes; -1: somebody was left out.
    cdef int polls = 0
    cdef int i = 0
    while polls < 1000:
        while i < n and all[i].calls >= all[i].wanted:
            i += 1
        if i == n:
            return polls
        aio_poll(ctx, True)
        polls += 1
    return -1


def many(uint64_t seed, int n, int rounds, str fdmon):
    """n descriptors, of which some are ready in each round: all of them are served once."""
    cdef AioContext *ctx = aio_context_new()
    cdef Place *all = <Place *> calloc(n, sizeof(Place))
    cdef uint64_t rng, served = 0
    cdef int i, polls, most = 0
    cdef int opened = 0
    name = fdmon.encode()
    seed_with(&rng, seed, 0)
    try:
        assert aio_context_set_fdmon(ctx, name) == 0
        for i in range(n):
            all[i].fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)
            assert all[i].fd >= 0, f"no descriptor {i}: raise the limit"
            opened += 1
            assert aio_set_fd_handler(ctx, all[i].fd, place_called, NULL, NULL, &all[i]) == 0
        for i in range(rounds):
            served += write_some(all, n, draw(&rng) % (n if i % 4 == 0 else 50) + 1, &rng)
            with nogil:
                polls = serve(ctx, all, n)
            assert polls >= 0, f"somebody was not served in round {i}, seed {seed}"
            most = max(most, polls)
        with nogil:
            aio_poll(ctx, False)
        assert sum(all[i].calls for i in range(n)) == served, f"served twice, seed {seed}"
    finally:
        aio_context_unref(ctx)
        for i in range(opened):
            close(all[i].fd)
        free(all)
    return {"many": n, "many_served": served, "most_iterations": most}
