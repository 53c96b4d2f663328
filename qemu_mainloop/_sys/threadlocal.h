/*
 * threadlocal.h - what a thread has of its own.  Each module that includes it has its own
 * copy: one does.
 */
#ifndef QEMU_MAINLOOP_SYS_THREADLOCAL_H
#define QEMU_MAINLOOP_SYS_THREADLOCAL_H

#include <stdint.h>

typedef struct ThreadOwn {
    void *current;              /* the context that it is in an iteration of */
    uintptr_t number;           /* 0: it has none yet */
    int wakes_in_time;          /* it has been asked for */
    int depth;                  /* iterations on its stack, of whatever context */
} ThreadOwn;

#if defined(_MSC_VER)
static __declspec(thread) ThreadOwn thread_own_;
#else
static __thread ThreadOwn thread_own_;
#endif

/* Finding it is a call, in a shared object: ask once and keep it. */
static inline ThreadOwn *thread_own(void)
{
    ThreadOwn *own = &thread_own_;

#if defined(__GNUC__)
    /* So that the compiler, which knows where it is, does not call again. */
    __asm__("" : "+r"(own));
#endif
    return own;
}

#endif
