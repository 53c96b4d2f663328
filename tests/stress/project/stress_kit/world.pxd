# A loop with a thread of its own that runs it: a context, the main loop, or a context
# that poll(2) hosts.

from libc.stdint cimport uint64_t

from qemu_mainloop.aio cimport AioContext
from stress_kit.system cimport Verdict, pthread_t

cdef enum: OWN, MAIN, HOSTED

cdef struct World:
    AioContext *ctx
    int mode
    int fd                       # HOSTED: what poll(2) watches
    pthread_t loop
    uint64_t polls
    uint64_t stop
    Verdict verdict
    # What a forked child does first, to disturb its parent if it can; or NULL.
    void (*in_child)(void *opaque) noexcept nogil
    void *opaque

# Set in a forked child: what is the parent's too must not be read there.
cdef int world_is_child

# fdmon NULL: the best there is.  0, or -1: no such loop here.
cdef int world_begin(World *w, int mode, const char *fdmon) noexcept nogil
# Stops the loop and gives back what world_begin took.
cdef void world_end(World *w) noexcept nogil
# Forks; the child runs the loop for a bit and ends.  Accuses, if either goes wrong.
cdef void world_fork(World *w, uint64_t *rng) noexcept nogil
