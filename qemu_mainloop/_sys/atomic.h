/*
 * atomic.h - the atomic operations the loop uses, with their order in the name.
 *
 * All "_seq" operations of all threads happen in one order, which the proofs in
 * wakeup.pxd and bh.pxd rest on: of two threads that write one word and then look at
 * the other's, one sees the other's write.  That takes a "_seq" write and a "_seq" look
 * on both sides: a look that merely acquires may come before a "_seq" write on some
 * machines.
 */
#ifndef QEMU_MAINLOOP_SYS_ATOMIC_H
#define QEMU_MAINLOOP_SYS_ATOMIC_H

#ifdef _WIN32
#include "qemu_mainloop/_sys/windows/atomic.h"
#else

#include <stdint.h>

#define QML_ATOMIC(suffix, type)                                             \
    static inline type atomic_load_##suffix(const type *p)                   \
    { return __atomic_load_n(p, __ATOMIC_RELAXED); }                         \
    static inline type atomic_load_acquire_##suffix(const type *p)           \
    { return __atomic_load_n(p, __ATOMIC_ACQUIRE); }                         \
    static inline type atomic_load_seq_##suffix(const type *p)               \
    { return __atomic_load_n(p, __ATOMIC_SEQ_CST); }                         \
    static inline void atomic_store_##suffix(type *p, type v)                \
    { __atomic_store_n(p, v, __ATOMIC_RELAXED); }                            \
    static inline void atomic_store_release_##suffix(type *p, type v)        \
    { __atomic_store_n(p, v, __ATOMIC_RELEASE); }                            \
    static inline type atomic_exchange_seq_##suffix(type *p, type v)         \
    { return __atomic_exchange_n(p, v, __ATOMIC_SEQ_CST); }                  \
    static inline int atomic_cas_seq_##suffix(type *p, type old, type v)     \
    { return __atomic_compare_exchange_n(p, &old, v, 0, __ATOMIC_SEQ_CST,    \
                                         __ATOMIC_SEQ_CST); }

QML_ATOMIC(int, int)
QML_ATOMIC(i64, int64_t)
QML_ATOMIC(size, uintptr_t)
QML_ATOMIC(u32, uint32_t)
#undef QML_ATOMIC

static inline int atomic_add_seq_int(int *p, int v)
{
    return __atomic_fetch_add(p, v, __ATOMIC_SEQ_CST);
}

static inline int64_t atomic_add_i64(int64_t *p, int64_t v)
{
    return __atomic_fetch_add(p, v, __ATOMIC_RELAXED);
}

/* Pointers: void ** in C, so that one set serves every type. */
static inline void *atomic_load_acquire_ptr(void *p)
{
    return __atomic_load_n((void **)p, __ATOMIC_ACQUIRE);
}

static inline void *atomic_load_seq_ptr(void *p)
{
    return __atomic_load_n((void **)p, __ATOMIC_SEQ_CST);
}

static inline void atomic_store_ptr(void *p, void *v)
{
    __atomic_store_n((void **)p, v, __ATOMIC_RELAXED);
}

static inline void atomic_store_release_ptr(void *p, void *v)
{
    __atomic_store_n((void **)p, v, __ATOMIC_RELEASE);
}

static inline void *atomic_exchange_seq_ptr(void *p, void *v)
{
    return __atomic_exchange_n((void **)p, v, __ATOMIC_SEQ_CST);
}

/*
 * p's cache line is going to be read soon.  Whatever p is, this cannot fail.  A function
 * that does nothing else is taken for one without effect, and its calls are left out.
 */
static inline void cpu_prefetch(const void *p)
{
    __builtin_prefetch(p);
}

static inline void cpu_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__) || defined(__arm__)
    __asm__ __volatile__("yield" ::: "memory");
#endif
}

#endif
#endif
