# What concerns the whole process: before initialisation, signals, fork.  Each def is
# the first thing its process does with the loop.

from libc.signal cimport SIG_DFL, SIG_IGN, signal
from libc.stdint cimport uint32_t
from posix.unistd cimport _exit, close, fork, getpid

from qemu_mainloop.main_loop cimport (
    HANDLE, SIG_IPI, main_loop_init, main_loop_wait, qemu_add_child_watch,
    qemu_add_polling_cb, qemu_add_wait_object, qemu_bh_delete, qemu_bh_new, qemu_bh_poll,
    qemu_bh_update_timeout, qemu_del_polling_cb, qemu_del_wait_object, qemu_init_main_loop,
    qemu_mutex_iothread_locked, qemu_notify_event, qemu_set_fd_handler, qemu_set_fd_handler2)

cdef extern from "<signal.h>" nogil:
    enum: SIGALRM, SIGBUS, SIGIO, SIGUSR2, SIG_BLOCK
    ctypedef struct sigset_t:
        pass
    int sigismember(const sigset_t *mask, int signo)
    int sigemptyset(sigset_t *mask)
    int sigaddset(sigset_t *mask, int signo)
    int pthread_sigmask(int how, const sigset_t *mask, sigset_t *old)
    int kill(int pid, int signo)

cdef extern from "<sys/wait.h>" nogil:
    int waitpid(int pid, int *status, int options)

cdef extern from "<sys/eventfd.h>" nogil:
    int eventfd(unsigned int count, int flags)

cdef int seen[65]


cdef void nothing(void *opaque) noexcept nogil:
    pass


cdef int no(void *opaque) noexcept nogil:
    return 0


def before_initialisation():
    """name -> what the main loop's functions give before there is one."""
    cdef uint32_t timeout = 1000
    qemu_notify_event()
    qemu_del_polling_cb(no, NULL)
    qemu_del_wait_object(NULL, nothing, NULL)
    qemu_bh_delete(NULL)
    qemu_bh_update_timeout(&timeout)
    return {
        "main_loop_wait": main_loop_wait(False),
        "qemu_set_fd_handler": qemu_set_fd_handler(0, nothing, NULL, NULL),
        "qemu_set_fd_handler2": qemu_set_fd_handler2(0, no, nothing, NULL, NULL),
        "qemu_bh_new is NULL": qemu_bh_new(nothing, NULL) == NULL,
        "qemu_bh_poll": qemu_bh_poll(),
        "timeout": timeout,
        "qemu_add_child_watch": qemu_add_child_watch(1),
        "qemu_add_polling_cb": qemu_add_polling_cb(no, NULL),
        "qemu_add_wait_object": qemu_add_wait_object(NULL, nothing, NULL),
        "qemu_mutex_iothread_locked": qemu_mutex_iothread_locked(),
    }


def initialised_twice():
    """(result, is the lock held) of each call; the second by its other name."""
    first = qemu_init_main_loop(), qemu_mutex_iothread_locked()
    return [first, (main_loop_init(), qemu_mutex_iothread_locked())]


cdef list blocked_now():
    cdef sigset_t mask
    pthread_sigmask(SIG_BLOCK, NULL, &mask)
    return [s for s in (SIG_IPI, SIGIO, SIGALRM, SIGBUS, SIGUSR2) if sigismember(&mask, s)]


def blocked():
    """The signals of interest that are blocked before and after initialisation."""
    before = blocked_now()
    qemu_init_main_loop()
    return before, blocked_now()


def numbers():
    return {"SIG_IPI": SIG_IPI, "SIGIO": SIGIO, "SIGALRM": SIGALRM, "SIGBUS": SIGBUS}


cdef void on_signal(int signo) noexcept nogil:
    seen[signo] += 1


def delivered():
    """signal -> how often its handler ran (when it was sent, in the next iteration)."""
    result = {}
    qemu_init_main_loop()
    for signo in (SIGIO, SIGALRM, SIGBUS):
        signal(signo, on_signal)
        kill(getpid(), signo)
        sent = seen[signo]
        main_loop_wait(False)
        result[signo] = sent, seen[signo]
    return result


def ignored():
    """The result of an iteration after ignored signals came."""
    qemu_init_main_loop()
    for signo in (SIGIO, SIGALRM, SIGBUS):
        signal(signo, SIG_IGN)
        kill(getpid(), signo)
    return main_loop_wait(True)


def default_disposition():
    """SIGALRM has its default action, which ends the process in the iteration."""
    qemu_init_main_loop()
    signal(SIGALRM, SIG_DFL)
    kill(getpid(), SIGALRM)
    main_loop_wait(True)
    return "still there"


def mask_of_a_forked_child():
    """How many of the signals of interest are blocked in a child."""
    cdef int status = -1
    qemu_init_main_loop()
    pid = fork()
    if pid == 0:
        _exit(len(blocked_now()))
    waitpid(pid, &status, 0)
    return status >> 8


cdef int come_through_the_loop() noexcept nogil:
    # How many of the signals wait for the next iteration, and run their handler in it once.
    cdef int signals[3]
    cdef int sent
    cdef int good = 0
    signals[:] = [SIGIO, SIGALRM, SIGBUS]
    for signo in signals:
        signal(signo, on_signal)
        seen[signo] = 0
        kill(getpid(), signo)
        sent = seen[signo]
        main_loop_wait(False)
        good += sent == 0 and seen[signo] == 1
    return good


def signals_of_a_child_that_initialises():
    """How many signals come through the loop in a child that called for it, and in its parent."""
    cdef int status = -1
    qemu_init_main_loop()
    pid = fork()
    if pid == 0:
        qemu_init_main_loop()
        _exit(come_through_the_loop() if len(blocked_now()) == 4 else 99)
    waitpid(pid, &status, 0)
    return status >> 8, come_through_the_loop()


def mask_of_a_child_s_child():
    """Is a signal blocked there that the child, no main loop's process any more, blocked?"""
    cdef int status = -1
    cdef sigset_t mask
    qemu_init_main_loop()
    pid = fork()
    if pid == 0:
        sigemptyset(&mask)
        sigaddset(&mask, SIGALRM)
        pthread_sigmask(SIG_BLOCK, &mask, NULL)
        pid = fork()
        if pid == 0:
            _exit(blocked_now() == [SIGALRM])
        waitpid(pid, &status, 0)
        _exit(status >> 8)
    waitpid(pid, &status, 0)
    return status >> 8


def descriptor_zero_as_a_handle():
    """A wait object whose descriptor is 0, a valid handle though it is NULL."""
    qemu_init_main_loop()
    close(0)
    if eventfd(1, 0) != 0:
        return "descriptor 0 is not free"
    added = qemu_add_wait_object(<HANDLE> NULL, nothing, NULL)
    due = main_loop_wait(False)
    qemu_del_wait_object(<HANDLE> NULL, nothing, NULL)
    return added, due, main_loop_wait(True)
