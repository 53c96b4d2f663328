# One handler of SIGUSR2, for as many scenarios as run at a time.

cdef extern from *:
    """
    #include <errno.h>
    #include <sched.h>
    #include <signal.h>

    enum { PLACES = 64 };
    static SignalTarget *places[PLACES];
    static int inside;
    static int joined;
    static pthread_mutex_t joining = PTHREAD_MUTEX_INITIALIZER;
    static struct sigaction before;

    static void on_signal(int signo)
    {
        int i, saved = errno;

        __atomic_fetch_add(&inside, 1, __ATOMIC_SEQ_CST);
        for (i = 0; i < PLACES; i++) {
            SignalTarget *t = __atomic_load_n(&places[i], __ATOMIC_SEQ_CST);
            if (t && (!t->only || t->only == pthread_self())) {
                t->handle(t->opaque);
                __atomic_fetch_add(&t->calls, 1, __ATOMIC_SEQ_CST);
            }
        }
        __atomic_fetch_sub(&inside, 1, __ATOMIC_SEQ_CST);
        errno = saved;
    }

    static void join(SignalTarget *target)
    {
        struct sigaction a;
        int i;

        pthread_mutex_lock(&joining);
        if (joined++ == 0) {
            sigemptyset(&a.sa_mask);
            a.sa_flags = 0;              /* every system call meets EINTR */
            a.sa_handler = on_signal;
            sigaction(SIGUSR2, &a, &before);
        }
        for (i = 0; places[i]; i++) { }
        __atomic_store_n(&places[i], target, __ATOMIC_SEQ_CST);
        pthread_mutex_unlock(&joining);
    }

    static void leave(SignalTarget *target)
    {
        struct sigaction ignored;
        int i;

        pthread_mutex_lock(&joining);
        for (i = 0; places[i] != target; i++) { }
        __atomic_store_n(&places[i], NULL, __ATOMIC_SEQ_CST);
        while (__atomic_load_n(&inside, __ATOMIC_SEQ_CST)) {
            sched_yield();
        }
        if (--joined == 0) {
            /* One that is still on its way must not end the process. */
            ignored = before;
            if (before.sa_handler == SIG_DFL) {
                ignored.sa_handler = SIG_IGN;
            }
            sigaction(SIGUSR2, &ignored, NULL);
        }
        pthread_mutex_unlock(&joining);
    }
    """
    enum: SIGUSR2
    void join(SignalTarget *target) noexcept nogil
    void leave(SignalTarget *target) noexcept nogil


cdef int signals_number() noexcept nogil:
    return SIGUSR2


cdef void signals_join(SignalTarget *target) noexcept nogil:
    join(target)


cdef void signals_leave(SignalTarget *target) noexcept nogil:
    leave(target)
