# Atomic operations; the order is in the name, "_seq" ones are in one order for all.

from libc.stdint cimport int64_t, uint32_t, uintptr_t


cdef extern from "qemu_mainloop/_sys/atomic.h" nogil:
    int atomic_load_int(const int *p)
    int atomic_load_acquire_int(const int *p)
    int atomic_load_seq_int(const int *p)
    void atomic_store_int(int *p, int v)
    void atomic_store_release_int(int *p, int v)
    int atomic_exchange_seq_int(int *p, int v)
    bint atomic_cas_seq_int(int *p, int old, int v)
    int atomic_add_seq_int(int *p, int v)          # the value before

    int64_t atomic_load_i64(const int64_t *p)
    int64_t atomic_load_seq_i64(const int64_t *p)
    void atomic_store_i64(int64_t *p, int64_t v)
    int64_t atomic_exchange_seq_i64(int64_t *p, int64_t v)
    int64_t atomic_add_i64(int64_t *p, int64_t v)  # no order; the value before

    uint32_t atomic_load_acquire_u32(const uint32_t *p)

    uintptr_t atomic_load_size(const uintptr_t *p)
    uintptr_t atomic_load_acquire_size(const uintptr_t *p)
    uintptr_t atomic_load_seq_size(const uintptr_t *p)
    void atomic_store_release_size(uintptr_t *p, uintptr_t v)
    uintptr_t atomic_exchange_seq_size(uintptr_t *p, uintptr_t v)
    bint atomic_cas_seq_size(uintptr_t *p, uintptr_t old, uintptr_t v)

    # p is the address of a pointer of any type.
    void *atomic_load_acquire_ptr(void *p)
    void *atomic_load_seq_ptr(void *p)
    void atomic_store_ptr(void *p, void *v)
    void atomic_store_release_ptr(void *p, void *v)
    void *atomic_exchange_seq_ptr(void *p, void *v)

    void cpu_relax()
    void cpu_prefetch(const void *p)
