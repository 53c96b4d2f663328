# Calling users: what every phase of an iteration carries to its callbacks.
#
# Callbacks of one kind, those of a language runtime with a lock of its own (the
# GIL), are run in batches: the lock is taken at the first of a run of them and
# let go before a plain C callback, before a wait, and at the end.  The core knows
# that there are such callbacks, not what the runtime is; _objects/callback
# registers its hooks and the functions through which it is called.

from qemu_mainloop._core.fork cimport fork_generation


cdef struct Dispatch:
    int holds                # this thread has the runtime's lock: 1, 0; -1: not asked
    int held_before          # what the iteration began with, once it is known
    int generation           # of forks, when the iteration began
    bint acquired            # by us from nothing (for the runtime)
    int state                # the runtime's
    void *token              # the runtime's

cdef struct RuntimeOps:
    bint (*attached)() noexcept nogil            # does this thread hold the lock?
    void (*enter)(Dispatch *d) noexcept nogil    # take it
    void (*leave)(Dispatch *d) noexcept nogil    # let it go
    void *interrupt          # Windows: an event that is set when it gets a signal; or NULL

ctypedef void (*AnyFunction)() noexcept nogil

cdef RuntimeOps runtime
cdef void runtime_register(RuntimeOps ops) noexcept nogil
# fn is called with the runtime's lock held.  At import time; at most 8.
cdef void runtime_register_callback(AnyFunction fn) noexcept nogil
cdef bint runtime_owns(AnyFunction fn) noexcept nogil

cdef void dispatch_attach(Dispatch *d) noexcept nogil
cdef void dispatch_detach(Dispatch *d) noexcept nogil


# holds: 1 if the caller has the runtime's lock for certain, else -1.
cdef inline void dispatch_begin(Dispatch *d, int holds) noexcept nogil:
    d.holds = d.held_before = holds
    d.generation = fork_generation
    d.acquired = False
    d.token = NULL


cdef inline void dispatch_end(Dispatch *d) noexcept nogil:
    if d.holds == d.held_before:
        return
    if d.held_before == 1:
        dispatch_attach(d)
    else:
        dispatch_detach(d)


# Before each callback.
cdef inline void dispatch_switch(Dispatch *d, bint in_runtime) noexcept nogil:
    if in_runtime:
        if d.holds != 1:
            dispatch_attach(d)
    elif d.holds != 0:
        dispatch_detach(d)


# After each callback: this process is the child of a fork that the callback made.
cdef inline bint dispatch_forked(Dispatch *d) noexcept nogil:
    return d.generation != fork_generation


# Around calls that block outside an iteration: let the lock go if we have it.
cdef inline void runtime_suspend(Dispatch *d) noexcept nogil:
    dispatch_begin(d, -1)
    dispatch_detach(d)


cdef inline void runtime_resume(Dispatch *d) noexcept nogil:
    dispatch_end(d)
