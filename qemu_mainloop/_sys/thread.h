/*
 * thread.h - mutex, condition, thread, and the calling thread's signal mask.
 */
#ifndef QEMU_MAINLOOP_SYS_THREAD_H
#define QEMU_MAINLOOP_SYS_THREAD_H

#ifdef _WIN32
#include "qemu_mainloop/_sys/windows/thread.h"
#else

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <time.h>
#ifdef __FreeBSD__
#include <pthread_np.h>
#elif defined(__linux__)
#include <sys/prctl.h>
#endif

typedef pthread_mutex_t Mutex;
typedef pthread_cond_t Cond;
typedef pthread_t Thread;
typedef sigset_t SignalMask;

/* Names the calling thread; never 0; the same in a forked child. */
static inline uintptr_t thread_self(void)
{
    return (uintptr_t)pthread_self();
}

static inline void mutex_init(Mutex *m)
{
    pthread_mutex_init(m, NULL);
}

static inline void mutex_destroy(Mutex *m)
{
    pthread_mutex_destroy(m);
}

static inline void mutex_lock(Mutex *m)
{
    pthread_mutex_lock(m);
}

static inline void mutex_unlock(Mutex *m)
{
    pthread_mutex_unlock(m);
}

static inline void cond_init(Cond *c)
{
    pthread_condattr_t attr;

    pthread_condattr_init(&attr);
#ifndef __APPLE__
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
#endif
    pthread_cond_init(c, &attr);
    pthread_condattr_destroy(&attr);
}

static inline void cond_destroy(Cond *c)
{
    pthread_cond_destroy(c);
}

static inline void cond_wait(Cond *c, Mutex *m)
{
    pthread_cond_wait(c, m);
}

/* timeout_ns from now; false: it has passed. */
static inline int cond_wait_for(Cond *c, Mutex *m, int64_t timeout_ns)
{
    struct timespec ts;

#ifdef __APPLE__
    ts.tv_sec = timeout_ns / 1000000000;
    ts.tv_nsec = timeout_ns % 1000000000;
    return pthread_cond_timedwait_relative_np(c, m, &ts) != ETIMEDOUT;
#else
    clock_gettime(CLOCK_MONOTONIC, &ts);
    ts.tv_sec += timeout_ns / 1000000000;
    ts.tv_nsec += timeout_ns % 1000000000;
    if (ts.tv_nsec >= 1000000000) {
        ts.tv_sec++;
        ts.tv_nsec -= 1000000000;
    }
    return pthread_cond_timedwait(c, m, &ts) != ETIMEDOUT;
#endif
}

static inline void cond_signal(Cond *c)
{
    pthread_cond_signal(c);
}

static inline void cond_broadcast(Cond *c)
{
    pthread_cond_broadcast(c);
}

/*
 * Every signal but those that report a fault of the thread's own instructions:
 * to block these would turn a clean report into a silent kill.
 */
static inline void signal_mask_all(SignalMask *mask)
{
    sigfillset(mask);
    sigdelset(mask, SIGSEGV);
    sigdelset(mask, SIGBUS);
    sigdelset(mask, SIGFPE);
    sigdelset(mask, SIGILL);
    sigdelset(mask, SIGTRAP);
}

static inline void signal_mask_block_all(SignalMask *before)
{
    SignalMask all;

    signal_mask_all(&all);
    pthread_sigmask(SIG_BLOCK, &all, before);
}

/* Where there are no masks: what ends a wait instead. */
static inline void signal_mask_interrupt(SignalMask *mask, void *event)
{
    (void)mask;
    (void)event;
}

static inline void signal_mask_restore(const SignalMask *mask)
{
    pthread_sigmask(SIG_SETMASK, mask, NULL);
}

/* A signal is held back that the mask lets through. */
static inline int signal_mask_is_waited_for(const SignalMask *mask)
{
    sigset_t pending;
    int signo;

    sigpending(&pending);
    for (signo = 1; signo < NSIG; signo++) {
        if (sigismember(&pending, signo) == 1 && sigismember(mask, signo) == 0) {
            return 1;
        }
    }
    return 0;
}

/* Starts fn(arg) with all signals blocked; 0 or negative errno. */
static inline int thread_start(Thread *t, void *(*fn)(void *), void *arg)
{
    SignalMask before;
    int rc;

    signal_mask_block_all(&before);
    rc = pthread_create(t, NULL, fn, arg);
    signal_mask_restore(&before);
    return -rc;
}

static inline void thread_join(Thread t)
{
    pthread_join(t, NULL);
}

static inline void thread_set_name(const char *name)
{
#if defined(__APPLE__)
    pthread_setname_np(name);
#elif defined(__FreeBSD__)
    pthread_set_name_np(pthread_self(), name);
#elif defined(__linux__)
    char buf[16];
    int i;

    for (i = 0; i < 15 && name[i]; i++) {
        buf[i] = name[i];
    }
    buf[i] = 0;
    pthread_setname_np(pthread_self(), buf);
#endif
}

/*
 * A wait of this thread ends when its time has come; the kernel would let it be 50 us late
 * otherwise.  What somebody chose stays.
 */
static inline void thread_wake_in_time(void)
{
#if defined(__linux__)
    if (prctl(PR_GET_TIMERSLACK, 0UL, 0UL, 0UL, 0UL) == 50000) {
        prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
    }
#endif
}

/* May other threads of this process take its signals? */
static inline int process_has_threads(void)
{
#ifdef __GLIBC__
    /* Weak, for a library built on a C library that does not have it yet. */
    extern char __libc_single_threaded __attribute__((weak));
    return !&__libc_single_threaded || !__libc_single_threaded;
#else
    return 1;
#endif
}

/* Called by fork(): before in the parent, after in the parent and the child. */
static inline int process_at_fork(void (*prepare)(void), void (*parent)(void),
                                  void (*child)(void))
{
    return -pthread_atfork(prepare, parent, child);
}

#endif
#endif
