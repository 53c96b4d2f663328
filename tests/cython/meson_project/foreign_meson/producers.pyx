# Threads without the GIL schedule bottom halves while others add and remove handlers.

from libc.stdint cimport uint64_t, uintptr_t
from posix.unistd cimport close

from qemu_mainloop.main_loop cimport (
    QEMUBH, main_loop_wait, qemu_bh_delete, qemu_bh_new, qemu_bh_schedule, qemu_set_fd_handler)
from qemu_mainloop.timer cimport (
    QEMU_CLOCK_REALTIME, QEMUTimer, timer_free, timer_mod, timer_new_ns)

cdef extern from "<pthread.h>" nogil:
    ctypedef unsigned long pthread_t
    int pthread_create(pthread_t *t, void *attr, void *(*run)(void *) noexcept nogil, void *arg)
    int pthread_join(pthread_t t, void **result)

cdef extern from "<sys/eventfd.h>" nogil:
    int eventfd(unsigned int count, int flags)

cdef extern from *:
    """
    static uint64_t get(uint64_t *p) { return __atomic_load_n(p, __ATOMIC_RELAXED); }
    static void put(uint64_t *p, uint64_t v) { __atomic_store_n(p, v, __ATOMIC_RELAXED); }
    static void add(uint64_t *p, uint64_t v) { __atomic_fetch_add(p, v, __ATOMIC_RELAXED); }
    """
    # Relaxed on purpose: scheduling must publish what was written before it.
    uint64_t get(uint64_t *p) nogil
    void put(uint64_t *p, uint64_t v) nogil
    void add(uint64_t *p, uint64_t v) nogil

cdef enum:
    PRODUCERS = 4
    BHS = 8                      # of each producer

cdef struct Channel:
    QEMUBH *bh
    uint64_t written             # by the producer, before it schedules
    uint64_t seen                # by the bottom half

cdef struct Producer:
    pthread_t thread
    uint64_t rounds
    Channel channels[BHS]

cdef Producer all[PRODUCERS]
cdef uint64_t stop = 0
cdef uint64_t gone = 0           # threads that are done


cdef void receive(void *opaque) noexcept nogil:
    cdef Channel *c = <Channel *> opaque
    c.seen = get(&c.written)


cdef void *produce(void *opaque) noexcept nogil:
    cdef Producer *p = <Producer *> opaque
    cdef Channel *c
    cdef uint64_t i
    for i in range(p.rounds):
        c = &p.channels[i % BHS]
        put(&c.written, i + 1)
        qemu_bh_schedule(c.bh)
    return NULL


cdef void ignore(void *opaque) noexcept nogil:
    pass


cdef void *disturb(void *opaque) noexcept nogil:
    cdef int fd = <int> <uintptr_t> opaque
    cdef uint64_t changes = 0
    while not get(&stop) or changes == 0:
        qemu_set_fd_handler(fd, ignore, NULL, NULL)
        qemu_set_fd_handler(fd, NULL, NULL, NULL)
        changes += 1
    return <void *> <uintptr_t> changes


cdef bint all_is_seen() noexcept nogil:
    for i in range(PRODUCERS):
        for j in range(BHS):
            if all[i].channels[j].seen < last(i, j):
                return False
    return True


cdef uint64_t last(int i, int j) noexcept nogil:
    # What producer i writes last to channel j.
    cdef uint64_t whole = all[i].rounds - all[i].rounds % BHS
    return whole + j + 1 if whole + j < all[i].rounds else whole - BHS + j + 1


def nothing_is_lost(uint64_t schedules):
    """Sleeps until the last schedule of every channel was seen: (iterations, changes)."""
    global stop
    cdef uint64_t iterations = 0
    cdef pthread_t disturber
    cdef void *changes = NULL
    cdef int fd
    with nogil:
        put(&stop, 0)
        fd = eventfd(0, 0)
        for i in range(PRODUCERS):
            all[i].rounds = schedules // PRODUCERS
            for j in range(BHS):
                all[i].channels[j].seen = all[i].channels[j].written = 0
                all[i].channels[j].bh = qemu_bh_new(receive, &all[i].channels[j])
        pthread_create(&disturber, NULL, disturb, <void *> <uintptr_t> fd)
        for i in range(PRODUCERS):
            pthread_create(&all[i].thread, NULL, produce, &all[i])
        while not all_is_seen():
            main_loop_wait(False)          # a schedule that is lost makes this sleep for ever
            iterations += 1
        put(&stop, 1)
        pthread_join(disturber, &changes)
        for i in range(PRODUCERS):
            pthread_join(all[i].thread, NULL)
            for j in range(BHS):
                qemu_bh_delete(all[i].channels[j].bh)
        close(fd)
    return iterations, <uintptr_t> changes


cdef void *come_and_go(void *opaque) noexcept nogil:
    cdef uint64_t i, rounds = <uintptr_t> opaque
    cdef QEMUBH *bh
    cdef QEMUTimer *timer
    cdef int fd = eventfd(0, 0)
    for i in range(rounds):
        bh = qemu_bh_new(ignore, NULL)
        timer = timer_new_ns(QEMU_CLOCK_REALTIME, ignore, NULL)
        qemu_set_fd_handler(fd, ignore, NULL, NULL)
        if i % 2:
            qemu_bh_schedule(bh)
            timer_mod(timer, 0)
        qemu_bh_delete(bh)
        timer_free(timer)
        qemu_set_fd_handler(fd, NULL, NULL, NULL)
    close(fd)
    add(&gone, 1)
    return NULL


def all_come_and_go(uint64_t rounds):
    """Four threads make and delete what the main loop has, while it runs."""
    global gone
    cdef pthread_t threads[PRODUCERS]
    cdef uint64_t iterations = 0
    with nogil:
        gone = 0
        for i in range(PRODUCERS):
            pthread_create(&threads[i], NULL, come_and_go, <void *> <uintptr_t> rounds)
        while iterations == 0 or get(&gone) < PRODUCERS:
            main_loop_wait(True)
            iterations += 1
        for i in range(PRODUCERS):
            pthread_join(threads[i], NULL)
    return iterations
