/*
 * atomic.h - the atomic operations of ../atomic.h for Windows, whatever the compiler:
 * Interlocked functions, which are full fences, and volatile accesses, which are
 * single instructions there.
 */
#ifndef QEMU_MAINLOOP_SYS_WINDOWS_ATOMIC_H
#define QEMU_MAINLOOP_SYS_WINDOWS_ATOMIC_H

#include "qemu_mainloop/_sys/windows/base.h"

#ifndef _WIN64
#error "64-bit Windows only: 64-bit loads and stores are to be single instructions"
#endif

/*
 * x86 keeps all orders but that of a store before a later load, so the compiler alone is
 * to be held back; others need a fence.  A load of the one order ("_seq") pairs with
 * exchanges, which are full fences.
 */
#if defined(_M_X64) || defined(__x86_64__)
#define QML_ORDER() _ReadWriteBarrier()
#else
#define QML_ORDER() MemoryBarrier()
#endif

#define QML_ATOMIC(suffix, type, word, bits)                                    \
    static inline type atomic_load_##suffix(const type *p)                      \
    { return *(const volatile type *)p; }                                       \
    static inline type atomic_load_acquire_##suffix(const type *p)              \
    { type v = *(const volatile type *)p; QML_ORDER(); return v; }              \
    static inline type atomic_load_seq_##suffix(const type *p)                  \
    { type v; QML_ORDER(); v = *(const volatile type *)p; QML_ORDER(); return v; } \
    static inline void atomic_store_##suffix(type *p, type v)                   \
    { *(volatile type *)p = v; }                                                \
    static inline void atomic_store_release_##suffix(type *p, type v)           \
    { QML_ORDER(); *(volatile type *)p = v; }                                   \
    static inline type atomic_exchange_seq_##suffix(type *p, type v)            \
    { return (type)InterlockedExchange##bits((volatile word *)p, (word)v); }    \
    static inline int atomic_cas_seq_##suffix(type *p, type old, type v)        \
    { return InterlockedCompareExchange##bits((volatile word *)p, (word)v,      \
                                              (word)old) == (word)old; }

QML_ATOMIC(int, int, LONG, )
QML_ATOMIC(u32, uint32_t, LONG, )
QML_ATOMIC(i64, int64_t, LONG64, 64)
QML_ATOMIC(size, uintptr_t, LONG64, 64)
#undef QML_ATOMIC

static inline int atomic_add_seq_int(int *p, int v)
{
    return (int)InterlockedExchangeAdd((volatile LONG *)p, v);
}

static inline int64_t atomic_add_i64(int64_t *p, int64_t v)
{
    return InterlockedExchangeAdd64((volatile LONG64 *)p, v);
}

/* Pointers: void ** in C, so that one set serves every type. */
static inline void *atomic_load_acquire_ptr(void *p)
{
    return (void *)atomic_load_acquire_size((const uintptr_t *)p);
}

static inline void *atomic_load_seq_ptr(void *p)
{
    return (void *)atomic_load_seq_size((const uintptr_t *)p);
}

static inline void atomic_store_ptr(void *p, void *v)
{
    *(volatile uintptr_t *)p = (uintptr_t)v;
}

static inline void atomic_store_release_ptr(void *p, void *v)
{
    atomic_store_release_size((uintptr_t *)p, (uintptr_t)v);
}

static inline void *atomic_exchange_seq_ptr(void *p, void *v)
{
    return (void *)atomic_exchange_seq_size((uintptr_t *)p, (uintptr_t)v);
}

static inline void cpu_prefetch(const void *p)
{
#ifdef __GNUC__
    __builtin_prefetch(p);
#else
    PreFetchCacheLine(PF_TEMPORAL_LEVEL_1, p);
#endif
}

static inline void cpu_relax(void)
{
    YieldProcessor();
}

#endif
