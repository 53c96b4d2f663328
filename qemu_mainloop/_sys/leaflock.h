/*
 * leaflock.h - the lock of a context: held for a few dozen instructions, and never while
 * anything else is waited for.
 *
 * A mutex costs two locked instructions and two calls, which is as much as what this lock
 * guards.  Here taking it is one exchange and giving it back a plain store:
 *
 *   holder                          waiter
 *   H1 held := 0 (release)          W1 waiters += 1
 *   H2 waiters? wake one            W2 membarrier(2): a full fence in every running thread
 *                                   W3 held := 1 by exchange; it was 0: have it
 *                                   W4 sleep while held is 1
 *
 * H1 and H2 are not ordered by the holder's processor (the compiler keeps them in this order),
 * W2 orders them from afar: the fence comes either before H2, which then sees W1, or after
 * H1, which W3 then sees.  So no waiter sleeps beside a free lock.  Where membarrier is not to
 * be had H1 is an exchange, a full fence of the holder's own.
 */
#ifndef QEMU_MAINLOOP_SYS_LEAFLOCK_H
#define QEMU_MAINLOOP_SYS_LEAFLOCK_H

#include <stdint.h>

#include "qemu_mainloop/_sys/system.h"

#ifdef QML_LINUX

#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "qemu_mainloop/_sys/atomic.h"

typedef struct LeafLock {
    uint32_t held;
    uint32_t waiters;
} LeafLock;

enum {
    LEAF_SPINS = 100,
    LEAF_MEMBARRIER = 1 << 3,           /* PRIVATE_EXPEDITED */
    LEAF_REGISTER = 1 << 4,
};

/* Each module's own: the answer is the process's, and a fork keeps it. */
static int leaf_has_membarrier;         /* 1: yes; -1: no; 0: not asked */

static inline int leaf_ask_membarrier(void)
{
#ifdef SYS_membarrier
    if (syscall(SYS_membarrier, LEAF_REGISTER, 0) == 0) {
        return 1;
    }
#endif
    return -1;
}

static inline void leaf_init(LeafLock *l)
{
    l->held = 0;
    l->waiters = 0;
}

static inline int leaf_fence_everywhere(void)
{
#ifdef SYS_membarrier
    return syscall(SYS_membarrier, LEAF_MEMBARRIER, 0) == 0;
#else
    return 0;
#endif
}

static __attribute__((noinline)) void leaf_wait(LeafLock *l)
{
    int i;

    for (i = 0; i < LEAF_SPINS; i++) {
        if (!__atomic_load_n(&l->held, __ATOMIC_RELAXED) &&
            !__atomic_exchange_n(&l->held, 1, __ATOMIC_ACQUIRE)) {
            return;
        }
        cpu_relax();
    }
    __atomic_fetch_add(&l->waiters, 1, __ATOMIC_SEQ_CST);
    for (;;) {
        /* Refused after all, by a sandbox that came later: look again from time to time. */
        struct timespec ms = { 0, 1000000 };
        int fenced = leaf_fence_everywhere();

        if (!__atomic_exchange_n(&l->held, 1, __ATOMIC_SEQ_CST)) {
            break;
        }
        syscall(SYS_futex, &l->held, FUTEX_WAIT_PRIVATE, 1, fenced ? NULL : &ms, NULL, 0);
    }
    __atomic_fetch_sub(&l->waiters, 1, __ATOMIC_SEQ_CST);
}

static inline void leaf_lock(LeafLock *l)
{
    if (__atomic_exchange_n(&l->held, 1, __ATOMIC_ACQUIRE)) {
        leaf_wait(l);
    }
}

static inline void leaf_unlock(LeafLock *l)
{
    int known = atomic_load_int(&leaf_has_membarrier);

    if (known > 0) {
        __atomic_store_n(&l->held, 0, __ATOMIC_RELEASE);
        /* A release lets a later load pass before it: no instruction, but not here. */
        __atomic_signal_fence(__ATOMIC_SEQ_CST);
    } else {
        __atomic_exchange_n(&l->held, 0, __ATOMIC_SEQ_CST);
        if (known == 0) {
            atomic_store_int(&leaf_has_membarrier, leaf_ask_membarrier());
        }
    }
    /* Pairs with the addition in leaf_wait. */
    if (__atomic_load_n(&l->waiters, __ATOMIC_RELAXED)) {
        syscall(SYS_futex, &l->held, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    }
}

/* In a forked child, by the thread that holds it: those who waited are not here. */
static inline void leaf_repair(LeafLock *l)
{
    l->waiters = 0;
}

#else

#include "qemu_mainloop/_sys/thread.h"

typedef Mutex LeafLock;

static inline void leaf_init(LeafLock *l)
{
    mutex_init(l);
}

static inline void leaf_lock(LeafLock *l)
{
    mutex_lock(l);
}

static inline void leaf_unlock(LeafLock *l)
{
    mutex_unlock(l);
}

static inline void leaf_repair(LeafLock *l)
{
    (void)l;
}

#endif
#endif
