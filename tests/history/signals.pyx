# Signals of the process, as a C program has them that calls qemu_init_main_loop(): each def is
# the first thing its process does with the loop, unless it says otherwise.

from libc.string cimport memset
from posix.unistd cimport getpid, getuid

from qemu_mainloop.aio cimport iothread_create, iothread_destroy
from qemu_mainloop.main_loop cimport (
    SIG_IPI, main_loop_wait, qemu_init_main_loop, qemu_mutex_iothread_locked)
from qemu_mainloop.timer cimport (
    QEMU_CLOCK_REALTIME, QEMUTimer, qemu_clock_get_ns, timer_free, timer_mod_ns, timer_new_ns)

cdef extern from "<signal.h>" nogil:
    enum: SIGALRM, SIG_BLOCK, SA_SIGINFO
    ctypedef struct sigset_t:
        pass
    ctypedef union sigval_t "union sigval":
        int sival_int
    ctypedef struct siginfo_t:
        int si_signo
        int si_code
        int si_pid
        int si_uid
        sigval_t si_value
    struct sigaction_t "sigaction":
        void (*sa_handler)(int signo) noexcept nogil
        void (*sa_sigaction)(int signo, siginfo_t *info, void *context) noexcept nogil
        sigset_t sa_mask
        int sa_flags
    int sigaction(int signo, const sigaction_t *act, sigaction_t *before)
    int sigismember(const sigset_t *mask, int signo)
    int sigpending(sigset_t *set)
    int sigqueue(int pid, int signo, sigval_t value)
    int pthread_sigmask(int how, const sigset_t *mask, sigset_t *old)
    int kill(int pid, int signo)

cdef extern from "<sys/resource.h>" nogil:
    struct rlimit:
        unsigned long rlim_cur
        unsigned long rlim_max
    enum: RLIMIT_NOFILE
    int getrlimit(int what, rlimit *limit)
    int setrlimit(int what, const rlimit *limit)

cdef int runs = 0
cdef siginfo_t last


cdef void note(int signo) noexcept nogil:
    global runs
    runs += 1


cdef void note_info(int signo, siginfo_t *info, void *context) noexcept nogil:
    global runs, last
    runs += 1
    last = info[0]


cdef void handle(int signo, bint with_info) noexcept nogil:
    cdef sigaction_t act
    memset(&act, 0, sizeof(act))
    if with_info:
        act.sa_sigaction = note_info
        act.sa_flags = SA_SIGINFO
    else:
        act.sa_handler = note
    sigaction(signo, &act, NULL)


cdef int blocked_count() noexcept nogil:
    cdef sigset_t mask
    cdef int count = 0
    pthread_sigmask(SIG_BLOCK, NULL, &mask)
    for signo in range(1, 64):
        count += sigismember(&mask, signo) == 1
    return count


cdef int fired = 0


cdef void fire(void *opaque) noexcept nogil:
    global fired
    fired = 1


def iterations_after_a_signal():
    """(runs of the handler, iterations until a timer 20 ms later fired)."""
    cdef QEMUTimer *timer
    cdef int iterations = 0
    with nogil:
        qemu_init_main_loop()
        handle(SIGALRM, False)
        kill(getpid(), SIGALRM)
        main_loop_wait(True)
        timer = timer_new_ns(QEMU_CLOCK_REALTIME, fire, NULL)
        timer_mod_ns(timer, qemu_clock_get_ns(QEMU_CLOCK_REALTIME) + 20000000)
        while not fired:
            main_loop_wait(False)
            iterations += 1
        timer_free(timer)
    return runs, iterations


def mask_after_an_iothread():
    """How many signals this thread has blocked before and after one is made and ended."""
    cdef int before, during
    with nogil:
        before = blocked_count()
        t = iothread_create("history")
        during = blocked_count()
        iothread_destroy(t)
    return before, during, blocked_count()


def ipi_is_left_alone():
    """Is SIG_IPI still pending after an iteration that it came before?"""
    cdef sigset_t pending
    with nogil:
        qemu_init_main_loop()
        handle(SIG_IPI, False)
        kill(getpid(), SIG_IPI)
        main_loop_wait(True)
        main_loop_wait(True)
        sigpending(&pending)
    return sigismember(&pending, SIG_IPI) == 1, runs


def mask_of_handler(int signo):
    """Signals that are blocked while the handler of signo runs; not the first thing."""
    cdef sigaction_t act
    cdef int count = 0
    sigaction(signo, NULL, &act)
    for other in range(1, 64):
        count += sigismember(&act.sa_mask, other) == 1
    return count


def details(int signo, int value):
    """What an SA_SIGINFO handler is told of a queued signal."""
    cdef sigval_t sent
    with nogil:
        qemu_init_main_loop()
        handle(signo, True)
        sent.sival_int = value
        sigqueue(getpid(), signo, sent)
        main_loop_wait(True)
    return {"runs": runs, "signo": last.si_signo, "value": last.si_value.sival_int,
            "is_our_pid": last.si_pid == getpid(), "is_our_uid": last.si_uid == <int> getuid(),
            "is_queued": last.si_code < 0}


def initialised_without_descriptors(int more):
    """(result, lock held, signals blocked) with so few descriptors, then with enough."""
    cdef rlimit few, enough
    getrlimit(RLIMIT_NOFILE, &enough)
    few = enough
    few.rlim_cur = 3 + more
    setrlimit(RLIMIT_NOFILE, &few)
    first = qemu_init_main_loop(), bool(qemu_mutex_iothread_locked()), blocked_count()
    setrlimit(RLIMIT_NOFILE, &enough)
    return first, (qemu_init_main_loop(), bool(qemu_mutex_iothread_locked()), blocked_count())
