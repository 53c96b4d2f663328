# One of the threads that do things to a loop, and what they share.

from libc.stdint cimport uint64_t

from qemu_mainloop.main_loop cimport QEMUBH
from qemu_mainloop.timer cimport QEMUTimer
from stress_kit.signals cimport SignalTarget
from stress_kit.system cimport pthread_t
from stress_kit.world cimport World

cdef enum:
    MOST_ACTORS = 8
    CHANNELS = 3
    VICTIMS = 64
    DEEDS = 10

cdef struct Channel:
    Actor *actor
    QEMUBH *bh
    uint64_t written, seen

cdef struct Victim:
    Actor *actor
    QEMUBH *bh
    uint64_t gone, runs

cdef struct Actor:
    Storm *storm
    World *w
    pthread_t thread
    uint64_t rng
    uint64_t deeds[DEEDS]
    uint64_t longest_ns
    Channel now[CHANNELS]
    Channel idle
    Channel cancelled
    uint64_t oneshots_made, oneshots_ran
    Victim victims[VICTIMS]
    int next_victim
    QEMUTimer *timer
    uint64_t due_ns, fired
    int fd                       # readable now and then
    bint watched
    uint64_t sent, received
    int busy_fd                  # readable always

cdef struct Storm:
    World w
    int actors
    bint forks
    uint64_t forked
    uint64_t until_ns
    uint64_t struck, struck_seen
    QEMUBH *struck_bh
    SignalTarget target
    Actor all[MOST_ACTORS]

# Signal handlers call it, in any thread.
cdef void strike(void *storm) noexcept nogil
cdef void see_struck(void *storm) noexcept nogil

cdef void actor_begin(Actor *a, Storm *s, uint64_t seed, int number) noexcept nogil
# The thread: one deed after the other, until the storm is over.
cdef void *act(void *actor) noexcept nogil
# What was begun last must come, too; then everything is given back.
cdef void actor_settle(Actor *a) noexcept nogil
