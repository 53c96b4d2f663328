# Signals for scenarios: one handler for all, which calls each target's function.

from libc.stdint cimport uint64_t

from stress_kit.system cimport pthread_t


cdef extern from *:
    """
    #ifndef STRESS_KIT_SIGNAL_TARGET
    #define STRESS_KIT_SIGNAL_TARGET
    #include <pthread.h>
    #include <stdint.h>
    typedef struct SignalTarget {
        void (*handle)(void *opaque);
        void *opaque;
        pthread_t only;
        uint64_t calls;
    } SignalTarget;
    #endif
    """
    ctypedef struct SignalTarget:
        void (*handle)(void *opaque) noexcept nogil      # signal-safe
        void *opaque
        pthread_t only           # called in this thread alone; 0: in any
        uint64_t calls

cdef int signals_number() noexcept nogil
cdef void signals_join(SignalTarget *target) noexcept nogil
# When it returns no handler is using target, nor will one.
cdef void signals_leave(SignalTarget *target) noexcept nogil
