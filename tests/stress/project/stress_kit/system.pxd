# What the scenarios need of the system: threads, signals, counters, and a random stream.
#
# A scenario never waits without a deadline.  What goes wrong is written to a Verdict, the
# first thing only, and the scenario then ends as soon as it can.

from libc.stdint cimport int64_t, uint64_t


cdef extern from *:
    """
    #include <errno.h>
    #include <poll.h>
    #include <pthread.h>
    #include <sched.h>
    #include <signal.h>
    #include <stdint.h>
    #include <sys/eventfd.h>
    #include <sys/resource.h>
    #include <sys/wait.h>
    #include <time.h>
    #include <unistd.h>

    #define HARD_DEADLINE_NS 20000000000ull      /* for a loaded machine */

    typedef struct Verdict { const char *wrong; } Verdict;

    /* Relaxed on purpose: the loop's functions must publish what was written before. */
    static inline uint64_t get(const uint64_t *p)
    { return __atomic_load_n(p, __ATOMIC_RELAXED); }
    static inline void put(uint64_t *p, uint64_t v)
    { __atomic_store_n(p, v, __ATOMIC_RELAXED); }
    static inline uint64_t get_acquire(const uint64_t *p)
    { return __atomic_load_n(p, __ATOMIC_ACQUIRE); }
    static inline void put_release(uint64_t *p, uint64_t v)
    { __atomic_store_n(p, v, __ATOMIC_RELEASE); }
    static inline uint64_t add(uint64_t *p, uint64_t v)
    { return __atomic_fetch_add(p, v, __ATOMIC_SEQ_CST); }

    static inline void accuse(Verdict *v, const char *what)
    {
        const char *none = NULL;
        __atomic_compare_exchange_n(&v->wrong, &none, what, 0, __ATOMIC_SEQ_CST,
                                    __ATOMIC_SEQ_CST);
    }
    static inline const char *accusation(const Verdict *v)
    { return __atomic_load_n(&v->wrong, __ATOMIC_SEQ_CST); }

    static inline uint64_t monotonic_ns(void)
    {
        struct timespec ts;
        clock_gettime(CLOCK_MONOTONIC, &ts);
        return ts.tv_sec * 1000000000ull + ts.tv_nsec;
    }

    static inline void pause_ns(long ns)
    {
        struct timespec ts = {0, ns};
        nanosleep(&ts, NULL);
    }

    static inline uint64_t draw(uint64_t *s)
    {
        *s ^= *s >> 12;
        *s ^= *s << 25;
        *s ^= *s >> 27;
        return (*s * 2685821657736338717ull) >> 16;
    }

    static inline void seed_with(uint64_t *s, uint64_t seed, uint64_t number)
    {
        *s = (seed + 1) * 0x9e3779b97f4a7c15ull ^ (number + 1) * 0xbf58476d1ce4e5b9ull;
        *s += !*s;
        draw(s);
    }

    static inline void idle_turns(uint64_t n)
    {
        volatile uint64_t i;
        for (i = 0; i < n; i++) { }
    }

    /* Until *p is at least v: the nanoseconds it took; -1: the deadline passed. */
    static inline int64_t reach(const uint64_t *p, uint64_t v)
    {
        uint64_t begin = monotonic_ns(), now = begin;
        int turn;
        for (turn = 0; now - begin < HARD_DEADLINE_NS; turn++) {
            if (get_acquire(p) >= v) {
                return (int64_t)(now - begin);
            }
            /* Long enough at it to be there when the loop goes to sleep again. */
            if (turn > 3000) {
                pause_ns(20000);
            } else if (turn > 2000) {
                sched_yield();
            }
            now = monotonic_ns();
        }
        return -1;
    }

    /*
     * To the number-th processor this process may use.  Left to itself the scheduler runs
     * two threads that wake one another on one processor, in turns: nothing is a race then.
     */
    static inline void stay_on(int number)
    {
        cpu_set_t all, one;
        int cpu, seen = 0;

        if (sched_getaffinity(0, sizeof all, &all) < 0) {
            return;
        }
        number %= CPU_COUNT(&all);
        for (cpu = 0; cpu < CPU_SETSIZE; cpu++) {
            if (CPU_ISSET(cpu, &all) && seen++ == number) {
                CPU_ZERO(&one);
                CPU_SET(cpu, &one);
                pthread_setaffinity_np(pthread_self(), sizeof one, &one);
            }
        }
    }

    static inline int join_in_time(pthread_t t)
    {
        struct timespec ts;
        clock_gettime(CLOCK_REALTIME, &ts);
        ts.tv_sec += HARD_DEADLINE_NS / 1000000000ull;
        return pthread_timedjoin_np(t, NULL, &ts);
    }

    /* How often this thread has slept in the kernel. */
    static inline uint64_t own_sleeps(void)
    {
        struct rusage u;
        getrusage(RUSAGE_THREAD, &u);
        return (uint64_t)u.ru_nvcsw;
    }
    """
    enum: HARD_DEADLINE_NS
    ctypedef unsigned long pthread_t
    ctypedef struct Verdict:
        const char *wrong
    uint64_t get(const uint64_t *p) noexcept nogil
    void put(uint64_t *p, uint64_t v) noexcept nogil
    uint64_t get_acquire(const uint64_t *p) noexcept nogil
    void put_release(uint64_t *p, uint64_t v) noexcept nogil
    uint64_t add(uint64_t *p, uint64_t v) noexcept nogil
    void accuse(Verdict *v, const char *what) noexcept nogil
    const char *accusation(const Verdict *v) noexcept nogil
    uint64_t monotonic_ns() noexcept nogil
    void pause_ns(long ns) noexcept nogil
    uint64_t draw(uint64_t *s) noexcept nogil
    void seed_with(uint64_t *s, uint64_t seed, uint64_t number) noexcept nogil
    void idle_turns(uint64_t n) noexcept nogil
    int64_t reach(const uint64_t *p, uint64_t v) noexcept nogil
    void stay_on(int number) noexcept nogil
    int join_in_time(pthread_t t) noexcept nogil
    uint64_t own_sleeps() noexcept nogil

    int pthread_create(pthread_t *t, void *attr, void *(*run)(void *) noexcept nogil,
                       void *arg) nogil
    int pthread_join(pthread_t t, void **result) nogil
    int pthread_kill(pthread_t t, int signo) nogil
    pthread_t pthread_self() nogil
    int eventfd(unsigned int count, int flags) nogil
    enum: EFD_NONBLOCK, EFD_CLOEXEC, POLLIN
    struct pollfd:
        int fd
        short events
        short revents
    int poll(pollfd *fds, unsigned long n, int timeout_ms) nogil
    int getpid() nogil
    int fork() nogil
    int kill(int pid, int signo) nogil
    unsigned int alarm(unsigned int seconds) nogil
    void _exit(int status) nogil
    int waitpid(int pid, int *status, int options) nogil
    int close(int fd) nogil
    int dup(int fd) nogil
    int dup2(int fd, int to) nogil
    long read(int fd, void *buf, size_t n) nogil
    long write(int fd, const void *buf, size_t n) nogil
