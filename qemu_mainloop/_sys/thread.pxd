# Mutex, condition, thread, and the calling thread's signal mask.

from libc.stdint cimport int64_t, uintptr_t


cdef extern from "qemu_mainloop/_sys/thread.h" nogil:
    ctypedef struct Mutex:
        pass
    ctypedef struct Cond:
        pass
    ctypedef struct Thread:
        pass
    ctypedef struct SignalMask:
        pass

    uintptr_t thread_self()
    int thread_start(Thread *t, void *(*fn)(void *) noexcept nogil, void *arg)
    void thread_join(Thread t)
    void thread_set_name(const char *name)
    void thread_wake_in_time()

    void mutex_init(Mutex *m)
    void mutex_destroy(Mutex *m)
    void mutex_lock(Mutex *m)
    void mutex_unlock(Mutex *m)

    void cond_init(Cond *c)
    void cond_destroy(Cond *c)
    void cond_wait(Cond *c, Mutex *m)
    bint cond_wait_for(Cond *c, Mutex *m, int64_t timeout_ns)
    void cond_signal(Cond *c)
    void cond_broadcast(Cond *c)

    # All but the signals that report a fault of the thread's own instructions.
    void signal_mask_block_all(SignalMask *before)
    # Windows, which has no masks: this event ends a wait that has the mask.
    void signal_mask_interrupt(SignalMask *mask, void *event)
    void signal_mask_restore(const SignalMask *mask)
    # A signal is held back that the mask lets through.
    bint signal_mask_is_waited_for(const SignalMask *mask)

    bint process_has_threads()
    int process_at_fork(void (*prepare)() noexcept nogil, void (*parent)() noexcept nogil,
                        void (*child)() noexcept nogil)
