/*
 * fdsource.h - events of the system as descriptors that poll readable: an
 * exited child (pidfd), a time (timerfd), a wall clock that was set, signals
 * (signalfd).  Where the system has none the opening function says -ENOSYS and
 * the caller has another way.
 *
 * On macOS and FreeBSD each is a kqueue with one event in it.  A forked child does not
 * have those of its parent: source_close() must know.
 */
#ifndef QEMU_MAINLOOP_SYS_FDSOURCE_H
#define QEMU_MAINLOOP_SYS_FDSOURCE_H

#ifdef _WIN32
#include "qemu_mainloop/_sys/windows/fdsource.h"
#else

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include "qemu_mainloop/_sys/system.h"

typedef sigset_t SignalSet;
typedef siginfo_t SignalInfo;
typedef struct sigaction SignalAction;

#ifdef QML_LINUX
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef TFD_TIMER_CANCEL_ON_SET
#define TFD_TIMER_CANCEL_ON_SET 2
#endif

static inline int pidfd_open_child(pid_t pid)
{
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);

    return fd < 0 ? -errno : fd;
}

/* Of the monotonic clock. */
static inline int timerfd_open(void)
{
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);

    return fd < 0 ? -errno : fd;
}

/* Absolute; expire_ns < 0 disarms.  0 or negative errno. */
static inline int timerfd_arm(int fd, int64_t expire_ns)
{
    struct itimerspec its;

    memset(&its, 0, sizeof its);
    if (expire_ns == 0) {
        expire_ns = 1;          /* zero would disarm */
    }
    if (expire_ns > 0) {
        its.it_value.tv_sec = expire_ns / 1000000000;
        its.it_value.tv_nsec = expire_ns % 1000000000;
    }
    return timerfd_settime(fd, TFD_TIMER_ABSTIME, &its, NULL) < 0 ? -errno : 0;
}

/* Readable once somebody sets the wall clock, until it is armed again. */
static inline int wall_clock_watch_open(void)
{
    int fd = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK | TFD_CLOEXEC);

    return fd < 0 ? -errno : fd;
}

/* 0 or negative errno: it will not tell. */
static inline int wall_clock_watch_arm(int fd)
{
    struct itimerspec its;
    uint64_t expirations;

    /* ECANCELED is the news itself, EAGAIN the first time. */
    if (read(fd, &expirations, sizeof expirations) < 0) {
        errno = 0;
    }
    memset(&its, 0, sizeof its);
    its.it_value.tv_sec = (time_t)1 << 33;
    return timerfd_settime(fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &its, NULL) < 0
           ? -errno : 0;
}

static inline int signal_source_open(const sigset_t *set)
{
    int fd = signalfd(-1, set, SFD_NONBLOCK | SFD_CLOEXEC);

    return fd < 0 ? -errno : fd;
}

/* The next signal's number with its details, 0 when there is none. */
static inline int signal_source_read(int fd, siginfo_t *info)
{
    struct signalfd_siginfo from;
    ssize_t got;

    do {
        got = read(fd, &from, sizeof from);
    } while (got < 0 && errno == EINTR);
    if (got != (ssize_t)sizeof from) {
        return 0;
    }
    /* Field by field: the two structures differ but in si_signo. */
    memset(info, 0, sizeof *info);
    info->si_signo = (int)from.ssi_signo;
    info->si_errno = from.ssi_errno;
    info->si_code = from.ssi_code;
    if (from.ssi_code == SI_TIMER) {
        info->si_timerid = (int)from.ssi_tid;
        info->si_overrun = (int)from.ssi_overrun;
    } else if (from.ssi_signo == SIGIO && from.ssi_code > 0) {
        info->si_band = from.ssi_band;
        info->si_fd = from.ssi_fd;
    } else if (from.ssi_signo == SIGBUS && from.ssi_code > 0) {
        info->si_addr = (void *)(uintptr_t)from.ssi_addr;
#ifdef si_addr_lsb
        info->si_addr_lsb = (short)from.ssi_addr_lsb;
#endif
    } else {
        info->si_pid = (pid_t)from.ssi_pid;
        info->si_uid = from.ssi_uid;
    }
    if (from.ssi_code == SI_QUEUE) {
        info->si_value.sival_ptr = (void *)(uintptr_t)from.ssi_ptr;
    }
    return info->si_signo;
}

static inline void timerfd_clear(int fd)
{
    uint64_t expirations;

    if (read(fd, &expirations, sizeof expirations) < 0) {
        errno = 0;              /* somebody else was faster, or it was re-armed */
    }
}

/* The parent's, in a forked child, are copies. */
static inline void source_close(int fd, int of_parent)
{
    (void)of_parent;
    close(fd);
}

#elif defined(QML_KQUEUE)
#include "qemu_mainloop/_sys/clock.h"
#include "qemu_mainloop/_sys/kqueue.h"

static inline int source_add(int fd, uintptr_t ident, int filter, int flags, unsigned fflags,
                             int64_t data)
{
    KEvent change;

    EV_SET(&change, ident, filter, EV_ADD | flags, fflags, data, NULL);
    return kqueue_call(fd, &change, 1, NULL, 0, 0);
}

static inline int source_open(uintptr_t ident, int filter, unsigned fflags)
{
    int fd = kqueue_open();
    int rc = fd < 0 ? fd : source_add(fd, ident, filter, 0, fflags, 0);

    if (fd >= 0 && rc < 0) {
        close(fd);
    }
    return rc < 0 ? rc : fd;
}

static inline void source_close(int fd, int of_parent)
{
    if (!of_parent) {
        close(fd);
    }
}

/* macOS says -ESRCH of a child that waits to be collected: the caller looks for itself. */
static inline int pidfd_open_child(pid_t pid)
{
    return source_open((uintptr_t)pid, EVFILT_PROC, NOTE_EXIT);
}

static inline int timerfd_open(void)
{
    return kqueue_open();
}

/* A queue's times are from now on; those to a date go by the wall clock. */
static inline int timerfd_arm(int fd, int64_t expire_ns)
{
    KEvent change;
    int64_t left_ns;
    int rc;

    if (expire_ns < 0) {
        EV_SET(&change, 1, EVFILT_TIMER, EV_DELETE, 0, 0, NULL);
        rc = kqueue_call(fd, &change, 1, NULL, 0, 0);
        return rc == -ENOENT ? 0 : rc;
    }
    left_ns = expire_ns - clock_monotonic_ns();
    return source_add(fd, 1, EVFILT_TIMER, EV_ONESHOT, NOTE_NSECONDS,
                      left_ns > 0 ? left_ns : 1);
}

static inline void timerfd_clear(int fd)
{
    KEvent expired;

    kqueue_call(fd, NULL, 0, &expired, 1, 0);
}

/* Nothing tells: who asks looks at the clock now and then. */
static inline int wall_clock_watch_open(void) { return -ENOSYS; }
static inline int wall_clock_watch_arm(int fd) { (void)fd; return -ENOSYS; }

/*
 * A queue is told of a signal that is sent, blocked or not, and leaves it pending: so it
 * says when to look, and what there is is taken by sigwait(2).  One that was pending before
 * is told of by an event that is there from the beginning.
 */
static inline int signal_source_open(const sigset_t *set)
{
    int fd = kqueue_open();
    int rc = fd < 0 ? fd : source_add(fd, 0, EVFILT_USER, EV_ONESHOT, 0, 0);
    int signo;

    for (signo = 1; rc >= 0 && signo < NSIG; signo++) {
        if (sigismember(set, signo) == 1) {
            rc = source_add(fd, (uintptr_t)signo, EVFILT_SIGNAL, 0, 0, 0);
        }
    }
    if (rc >= 0) {
        KEvent change;

        EV_SET(&change, 0, EVFILT_USER, 0, NOTE_TRIGGER, 0, NULL);
        rc = kqueue_call(fd, &change, 1, NULL, 0, 0);
    }
    if (fd >= 0 && rc < 0) {
        close(fd);
    }
    return rc < 0 ? rc : fd;
}

/* May the calling thread take it now? */
static inline int signal_is_pending(int signo)
{
    sigset_t pending, mask;

    return sigpending(&pending) == 0 && sigismember(&pending, signo) == 1 &&
           pthread_sigmask(SIG_BLOCK, NULL, &mask) == 0 && sigismember(&mask, signo) == 1;
}

static inline int signal_source_read(int fd, siginfo_t *info)
{
    static const int signals[] = { SIGIO, SIGALRM, SIGBUS };
    KEvent told[4];
    sigset_t one;
    unsigned i;
    int signo;

    kqueue_call(fd, NULL, 0, told, 4, 0);
    for (i = 0; i < sizeof signals / sizeof signals[0]; i++) {
        if (!signal_is_pending(signals[i])) {
            continue;
        }
        sigemptyset(&one);
        sigaddset(&one, signals[i]);
        memset(info, 0, sizeof *info);
#ifdef __APPLE__
        if (sigwait(&one, &signo) != 0) {
            continue;
        }
        info->si_signo = signo;
#else
        {
            static const struct timespec now = { 0, 0 };

            signo = sigtimedwait(&one, info, &now);
            if (signo < 0) {
                continue;       /* another thread was faster */
            }
        }
#endif
        return signo;
    }
    return 0;
}

#else

static inline int pidfd_open_child(pid_t pid) { (void)pid; return -ENOSYS; }
static inline int timerfd_open(void) { return -ENOSYS; }
static inline int timerfd_arm(int fd, int64_t ns)
{
    (void)fd;
    (void)ns;
    return -ENOSYS;
}
static inline void timerfd_clear(int fd) { (void)fd; }
static inline int wall_clock_watch_open(void) { return -ENOSYS; }
static inline int wall_clock_watch_arm(int fd) { (void)fd; return -ENOSYS; }
static inline int signal_source_open(const sigset_t *set)
{
    (void)set;
    return -ENOSYS;
}
static inline int signal_source_read(int fd, siginfo_t *info)
{
    (void)fd;
    (void)info;
    return 0;
}
static inline void source_close(int fd, int of_parent)
{
    (void)of_parent;
    close(fd);
}

#endif

/* The signals that the main loop takes: SIGIO, SIGALRM, asynchronous SIGBUS. */
static inline void signal_source_set(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGIO);
    sigaddset(set, SIGALRM);
    sigaddset(set, SIGBUS);
}

/*
 * Does what the disposition of the moment says: nothing for SIG_IGN, the
 * system's default for SIG_DFL, else the program's handler, called here.
 */
static inline void signal_deliver(int signo, siginfo_t *info)
{
    struct sigaction act;
    sigset_t one, before;

    if (sigaction(signo, NULL, &act) < 0) {
        return;
    }
    if (act.sa_flags & SA_SIGINFO) {
        act.sa_sigaction(signo, info, NULL);
    } else if (act.sa_handler == SIG_DFL) {
        sigemptyset(&one);
        sigaddset(&one, signo);
        raise(signo);           /* pending here until it is let through */
        pthread_sigmask(SIG_UNBLOCK, &one, &before);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
    } else if (act.sa_handler != SIG_IGN) {
        act.sa_handler(signo);
    }
}

/* Blocks SIG_IPI and the main loop's signals; *added: what was open before. */
static inline void signals_take(sigset_t *added)
{
    sigset_t wanted, before;
    int signo;

    signal_source_set(&wanted);
    sigaddset(&wanted, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &wanted, &before);
    sigemptyset(added);
    for (signo = 1; signo < NSIG; signo++) {
        if (sigismember(&wanted, signo) == 1 && sigismember(&before, signo) == 0) {
            sigaddset(added, signo);
        }
    }
}

static inline void signals_give_back(const sigset_t *added)
{
    pthread_sigmask(SIG_UNBLOCK, added, NULL);
}

/* Installs handler for signo; *before: what was there.  0 or negative errno. */
static inline int signal_trap_install(int signo, void (*handler)(int),
                                      struct sigaction *before)
{
    struct sigaction act;

    memset(&act, 0, sizeof act);
    act.sa_handler = handler;
    act.sa_flags = SA_RESTART;
    sigemptyset(&act.sa_mask);
    return sigaction(signo, &act, before) < 0 ? -errno : 0;
}

static inline void signal_trap_restore(int signo, const struct sigaction *before)
{
    sigaction(signo, before, NULL);
}

#endif
#endif
