# Threads without the GIL that do all there is to do to one loop, and signals everywhere.

from libc.stdint cimport uint64_t
from libc.stdlib cimport calloc, free

from qemu_mainloop.aio cimport aio_bh_new, aio_set_fd_handler
from qemu_mainloop.main_loop cimport qemu_bh_delete
from stress_kit.actor cimport Storm, act, actor_begin, actor_settle, see_struck, strike
from stress_kit.signals cimport signals_join, signals_leave
from stress_kit.system cimport (
    accusation, accuse, monotonic_ns, pthread_create, pthread_join, reach, seed_with)
from stress_kit.world cimport HOSTED, MAIN, OWN, world_begin, world_end, world_fork

DEEDS_NAMES = ["schedules", "idle", "cancels", "oneshots", "barriers", "descriptors", "victims",
               "timers", "notifies", "signals"]


cdef void take_all_away(void *opaque) noexcept nogil:
    # In a forked child: the parent's handlers must not be gone with the child's.
    cdef Storm *s = <Storm *> opaque
    cdef int i
    for i in range(s.actors):
        aio_set_fd_handler(s.w.ctx, s.all[i].fd, NULL, NULL, NULL, NULL)
        aio_set_fd_handler(s.w.ctx, s.all[i].busy_fd, NULL, NULL, NULL, NULL)


cdef void storm_run(Storm *s, uint64_t seed, uint64_t ns) noexcept nogil:
    cdef int i
    cdef uint64_t rng
    seed_with(&rng, seed, 99)
    s.struck_bh = aio_bh_new(s.w.ctx, see_struck, s)
    s.target.handle = strike
    s.target.opaque = s
    s.w.in_child = take_all_away
    s.w.opaque = s
    signals_join(&s.target)
    s.until_ns = monotonic_ns() + ns
    for i in range(s.actors):
        actor_begin(&s.all[i], s, seed, i)
    for i in range(s.actors):
        pthread_create(&s.all[i].thread, NULL, act, &s.all[i])
    if s.forks:
        s.forked = 0
        while s.forked == 0 or monotonic_ns() < s.until_ns:
            world_fork(&s.w, &rng)
            s.forked += 1
            if accusation(&s.w.verdict) != NULL:
                break
    for i in range(s.actors):
        pthread_join(s.all[i].thread, NULL)
    signals_leave(&s.target)
    if reach(&s.struck_seen, s.struck) < 0:
        accuse(&s.w.verdict, "what a signal handler scheduled did not run")
    qemu_bh_delete(s.struck_bh)
    if accusation(&s.w.verdict) == NULL:
        for i in range(s.actors):
            actor_settle(&s.all[i])
    world_end(&s.w)


def storm(uint64_t seed, uint64_t ms, str mode, str fdmon, int actors=4, bint forks=False):
    """So many threads for so long on one loop: how often each did what."""
    cdef Storm *s = <Storm *> calloc(1, sizeof(Storm))
    cdef int i, j
    s.actors = actors
    s.forks = forks
    name = fdmon.encode()
    kind = {"own": OWN, "main": MAIN, "hosted": HOSTED}[mode]
    if world_begin(&s.w, kind, name) < 0:
        free(s)
        raise OSError(f"no {mode} loop on {fdmon}")
    with nogil:
        storm_run(s, seed, ms * 1000000)
    counts = {name: sum(s.all[i].deeds[j] for i in range(actors))
              for j, name in enumerate(DEEDS_NAMES)}
    counts["forks"] = s.forked
    counts.update(polls=s.w.polls, struck=s.struck,
                  longest_ms=max(s.all[i].longest_ns for i in range(actors)) // 1000000)
    if s.w.verdict.wrong != NULL:
        # Something may still use s: it stays.
        raise AssertionError(f"{s.w.verdict.wrong.decode()}, seed {seed}, {counts}")
    free(s)
    return counts
