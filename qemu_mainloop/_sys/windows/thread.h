/*
 * thread.h - mutex, condition and thread of Windows.  There are no signal masks; what
 * stands for one is the event that says that a signal has come.
 */
#ifndef QEMU_MAINLOOP_SYS_WINDOWS_THREAD_H
#define QEMU_MAINLOOP_SYS_WINDOWS_THREAD_H

#include "qemu_mainloop/_sys/windows/base.h"

#include <process.h>

typedef SRWLOCK Mutex;
typedef CONDITION_VARIABLE Cond;
typedef HANDLE Thread;

typedef struct SignalMask {
    HANDLE interrupt;           /* ends a wait when it is set; NULL: nothing does */
} SignalMask;

/* Names the calling thread; never 0. */
static inline uintptr_t thread_self(void)
{
    return GetCurrentThreadId();
}

static inline void mutex_init(Mutex *m)
{
    InitializeSRWLock(m);
}

static inline void mutex_destroy(Mutex *m)
{
    (void)m;
}

static inline void mutex_lock(Mutex *m)
{
    AcquireSRWLockExclusive(m);
}

static inline void mutex_unlock(Mutex *m)
{
    ReleaseSRWLockExclusive(m);
}

static inline void cond_init(Cond *c)
{
    InitializeConditionVariable(c);
}

static inline void cond_destroy(Cond *c)
{
    (void)c;
}

static inline void cond_wait(Cond *c, Mutex *m)
{
    SleepConditionVariableSRW(c, m, INFINITE, 0);
}

/* timeout_ns from now, in whole milliseconds; false: it has passed. */
static inline int cond_wait_for(Cond *c, Mutex *m, int64_t timeout_ns)
{
    int64_t ms = timeout_ns / 1000000 + 1;

    return SleepConditionVariableSRW(c, m, ms < INT32_MAX ? (DWORD)ms : INT32_MAX, 0) ||
           GetLastError() != ERROR_TIMEOUT;
}

static inline void cond_signal(Cond *c)
{
    WakeConditionVariable(c);
}

static inline void cond_broadcast(Cond *c)
{
    WakeAllConditionVariable(c);
}

static inline void signal_mask_block_all(SignalMask *before)
{
    before->interrupt = NULL;
}

/* From here on the event tells of signals: those before are looked for after this. */
static inline void signal_mask_interrupt(SignalMask *mask, void *event)
{
    mask->interrupt = event;
    if (event) {
        ResetEvent(event);
    }
}

static inline void signal_mask_restore(const SignalMask *mask)
{
    (void)mask;
}

static inline int signal_mask_is_waited_for(const SignalMask *mask)
{
    return mask->interrupt && WaitForSingleObject(mask->interrupt, 0) == WAIT_OBJECT_0;
}

typedef struct ThreadStart {
    void *(*fn)(void *);
    void *arg;
} ThreadStart;

static inline unsigned __stdcall thread_main(void *start)
{
    ThreadStart s = *(ThreadStart *)start;

    free(start);
    s.fn(s.arg);
    return 0;
}

/* Starts fn(arg); 0 or negative errno. */
static inline int thread_start(Thread *t, void *(*fn)(void *), void *arg)
{
    ThreadStart *start = (ThreadStart *)malloc(sizeof *start);

    if (!start) {
        return -ENOMEM;
    }
    start->fn = fn;
    start->arg = arg;
    *t = (HANDLE)_beginthreadex(NULL, 0, thread_main, start, 0, NULL);
    if (!*t) {
        free(start);
        return -EAGAIN;
    }
    return 0;
}

static inline void thread_join(Thread t)
{
    WaitForSingleObject(t, INFINITE);
    CloseHandle(t);
}

/* See posix; here the clock of the waits is the precise one in any case. */
static inline void thread_wake_in_time(void)
{
}

static inline void thread_set_name(const char *name)
{
    typedef HRESULT (WINAPI *SetName)(HANDLE, PCWSTR);
    FARPROC found = GetProcAddress(GetModuleHandleW(L"kernel32.dll"), "SetThreadDescription");
    wchar_t wide[64];

    if (found && MultiByteToWideChar(CP_UTF8, 0, name, -1, wide, 64)) {
        ((SetName)(void *)found)(GetCurrentThread(), wide);
    }
}

/* Signals come in threads of the system's. */
static inline int process_has_threads(void)
{
    return 1;
}

/* There is no fork. */
static inline int process_at_fork(void (*prepare)(void), void (*parent)(void),
                                  void (*child)(void))
{
    (void)prepare;
    (void)parent;
    (void)child;
    return 0;
}

#endif
