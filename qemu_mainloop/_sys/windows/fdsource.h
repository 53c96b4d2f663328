/*
 * fdsource.h - what ../fdsource.h offers, for Windows: a process's handle, and signals as
 * the C library has them.  The rest is not to be had.
 */
#ifndef QEMU_MAINLOOP_SYS_WINDOWS_FDSOURCE_H
#define QEMU_MAINLOOP_SYS_WINDOWS_FDSOURCE_H

#include "qemu_mainloop/_sys/windows/descriptor.h"

#include <signal.h>

#ifndef NSIG
#define NSIG 23
#endif

typedef int SignalSet;
typedef int SignalInfo;
typedef void (__cdecl *SignalHandler)(int);
typedef struct SignalAction {
    SignalHandler handler;
} SignalAction;

static inline int pidfd_open_child(pid_t pid)
{
    HANDLE process = process_open(pid);

    return process ? handle_fd(process) : -ECHILD;
}

/* There is no fork(), so what is open is this process's own. */
static inline void source_close(int fd, int of_parent)
{
    (void)of_parent;
    fd_close(fd);
}

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

/* No signal is taken. */
static inline int signal_source_open(const SignalSet *set) { (void)set; return -ENOSYS; }
static inline int signal_source_read(int fd, SignalInfo *info)
{
    (void)fd;
    (void)info;
    return 0;
}
static inline void signal_source_set(SignalSet *set) { *set = 0; }
static inline void signal_deliver(int signo, SignalInfo *info)
{
    (void)signo;
    (void)info;
}
static inline void signals_take(SignalSet *added) { *added = 0; }
static inline void signals_give_back(const SignalSet *added) { (void)added; }

/*
 * The C library forgets a handler when it calls it.  What is to be called is noted by its
 * number, and a handler of ours stands before it and has itself installed again.
 */
static SignalHandler volatile signal_trapped[NSIG];

static void __cdecl signal_trampoline(int signo)
{
    signal(signo, signal_trampoline);
    if (signal_trapped[signo]) {
        signal_trapped[signo](signo);
    }
}

/* 0 or -EINVAL: the C library knows no such signal. */
static inline int signal_trap_install(int signo, SignalHandler handler, SignalAction *before)
{
    switch (signo) {
    case SIGABRT: case SIGBREAK: case SIGFPE: case SIGILL: case SIGINT: case SIGSEGV: case SIGTERM:
        signal_trapped[signo] = handler;
        before->handler = signal(signo, signal_trampoline);
        return before->handler == SIG_ERR ? -EINVAL : 0;
    default:
        return -EINVAL;         /* the C library would end the process for asking */
    }
}

static inline void signal_trap_restore(int signo, const SignalAction *before)
{
    signal(signo, before->handler);
}

#endif
