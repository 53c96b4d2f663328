# The iothread lock, wanted by C threads, IOThreads, callbacks that take the GIL, and the loop.

from libc.stdint cimport uint64_t
from libc.stdlib cimport calloc, free

from qemu_mainloop.aio cimport (
    IOThread, aio_bh_schedule_oneshot, aio_wait_bh_oneshot, iothread_create, iothread_destroy,
    iothread_get_aio_context)
from qemu_mainloop.main_loop cimport (
    QEMUBH, qemu_bh_delete, qemu_bh_new, qemu_bh_schedule, qemu_mutex_iothread_locked,
    qemu_mutex_lock_iothread, qemu_mutex_unlock_iothread)
from stress_kit.system cimport (
    accusation, accuse, add, draw, idle_turns, monotonic_ns, pthread_create,
    pthread_join, pthread_t, seed_with)
from stress_kit.world cimport MAIN, World, world_begin, world_end

cdef enum:
    THREADS = 3

cdef struct Guarded:             # by the iothread lock, and by nothing else
    uint64_t inside
    uint64_t sum

cdef struct Contender:
    Contention *all
    pthread_t thread
    uint64_t rng
    uint64_t turns
    uint64_t longest_ns

cdef struct Contention:
    World w
    Guarded guarded
    uint64_t until_ns
    Contender c[THREADS]
    uint64_t bh_turns, gil_turns, iothread_turns
    QEMUBH *bh
    QEMUBH *gil_bh


cdef void touch(Contention *all, uint64_t turns) noexcept nogil:
    if all.guarded.inside != 0 or not qemu_mutex_iothread_locked():
        accuse(&all.w.verdict, "two threads had the iothread lock")
    all.guarded.inside = 1
    idle_turns(turns)
    all.guarded.sum += 1
    all.guarded.inside = 0


cdef void lock_and_touch(Contention *all, uint64_t turns) noexcept nogil:
    qemu_mutex_lock_iothread()
    touch(all, turns)
    qemu_mutex_unlock_iothread()


cdef void *contend(void *opaque) noexcept nogil:
    cdef Contender *c = <Contender *> opaque
    cdef uint64_t begin
    while (c.turns == 0 or monotonic_ns() < c.all.until_ns) and (
            accusation(&c.all.w.verdict) == NULL):
        begin = monotonic_ns()
        lock_and_touch(c.all, draw(&c.rng) % 200)
        begin = monotonic_ns() - begin
        c.longest_ns = begin if begin > c.longest_ns else c.longest_ns
        c.turns += 1
        idle_turns(draw(&c.rng) % 200)
    return NULL


# In the main loop's thread, which has the lock; schedules itself as long as it lasts.
cdef void in_loop(void *opaque) noexcept nogil:
    cdef Contention *all = <Contention *> opaque
    touch(all, 50)
    all.bh_turns += 1
    if monotonic_ns() < all.until_ns:
        qemu_bh_schedule(all.bh)


cdef void with_gil_in_loop(void *opaque) noexcept with gil:
    cdef Contention *all = <Contention *> opaque
    [str(i) for i in range(10)]
    touch(all, 50)
    all.gil_turns += 1
    if monotonic_ns() < all.until_ns:
        qemu_bh_schedule(all.gil_bh)


cdef void in_iothread(void *opaque) noexcept nogil:
    cdef Contention *all = <Contention *> opaque
    lock_and_touch(all, 50)
    add(&all.iothread_turns, 1)


cdef void run(Contention *all, uint64_t ns) noexcept nogil:
    cdef IOThread *t = iothread_create("contender")
    all.until_ns = monotonic_ns() + ns
    all.bh = qemu_bh_new(in_loop, all)
    all.gil_bh = qemu_bh_new(with_gil_in_loop, all)
    qemu_bh_schedule(all.bh)
    qemu_bh_schedule(all.gil_bh)
    for i in range(THREADS):
        pthread_create(&all.c[i].thread, NULL, contend, &all.c[i])
    while monotonic_ns() < all.until_ns:
        aio_bh_schedule_oneshot(iothread_get_aio_context(t), in_iothread, all)
        if aio_wait_bh_oneshot(iothread_get_aio_context(t), in_iothread, all) < 0:
            accuse(&all.w.verdict, "a barrier was refused")
    for i in range(THREADS):
        pthread_join(all.c[i].thread, NULL)
    iothread_destroy(t)
    aio_wait_bh_oneshot(all.w.ctx, NULL, NULL)
    qemu_bh_delete(all.bh)
    qemu_bh_delete(all.gil_bh)
    world_end(&all.w)


cdef class Contest:
    """run(ms) in one thread, and touch() from as many Python threads as one likes."""

    cdef Contention *all

    def __cinit__(self, uint64_t seed):
        self.all = <Contention *> calloc(1, sizeof(Contention))
        for i in range(THREADS):
            self.all.c[i].all = self.all
            seed_with(&self.all.c[i].rng, seed, i)

    def __dealloc__(self):
        free(self.all)

    def touch(self):
        """With the iothread lock in hand."""
        touch(self.all, 50)

    def run(self, uint64_t ms):
        """How often each kind of contender had the lock."""
        if world_begin(&self.all.w, MAIN, NULL) < 0:
            raise OSError("no main loop")
        with nogil:
            run(self.all, ms * 1000000)
        return {"lock_c": sum(self.all.c[i].turns for i in range(THREADS)),
                "lock_least_c": min(self.all.c[i].turns for i in range(THREADS)),
                "lock_bh": self.all.bh_turns, "lock_gil_bh": self.all.gil_turns,
                "lock_iothread": self.all.iothread_turns,
                "longest_ms": max(self.all.c[i].longest_ns for i in range(THREADS)) // 1000000}

    def judge(self, uint64_t python_turns):
        """All turns are in the sum that the lock guards."""
        wrong = self.all.w.verdict.wrong
        assert wrong == NULL, wrong.decode()
        turns = (sum(self.all.c[i].turns for i in range(THREADS)) + self.all.bh_turns
                 + self.all.gil_turns + self.all.iothread_turns + python_turns)
        assert self.all.guarded.sum == turns, f"{self.all.guarded.sum} of {turns}"
