# Handles, any number of them, and waiting for the first that is signalled.
#
# A wait for an event that resets itself, a semaphore or a timer uses up what it finds.
# It is used up for somebody: whose callback then runs.  So what a wait has found of such a
# handle is kept beside it, and reported by every look, until handleset_taken says that the
# callback runs.  Of a handle that is removed before that, it is given back.
#
# The system waits for 64 at a time.  Those beyond are waited for by threads of our own, a
# group each, and only as long as the owner of the set sleeps: nothing is used up outside
# a wait.  One more reason is that a thread of the system's pool would find things while
# nobody waits.

from qemu_mainloop._core.fdmon cimport FDReady
from qemu_mainloop._fdmon.pollset cimport PollSet
from qemu_mainloop._sys.thread cimport Thread
from qemu_mainloop._sys.win32 cimport Handle


cdef enum:
    OTHERS = 3               # handles of the sleeper's own, at most

cdef struct HandleGroup:
    Thread thread
    Handle begin             # set for each wait, and for the end
    Handle ended             # set when the thread waits no more
    Handle stop              # the set's; member 0 of what is waited for
    Handle woken             # the set's
    Handle *handles          # room for one wait
    int n
    int first                # of its members in the set
    int found                # the index among the handles; or WAIT_NOTHING and so on
    bint is_over

cdef struct HandleSet:
    PollSet members          # revents: found, and not taken; heat: a wait leaves it signalled
    Handle *handles          # room for one wait
    HandleGroup **groups
    int group_count
    Handle stop              # set: the groups' waits end; made with the first group
    Handle woken             # set by a group that found something

# 0, -ENOMEM.
cdef int handleset_open(HandleSet *s) noexcept nogil
cdef void handleset_close(HandleSet *s) noexcept nogil
cdef int handleset_put(HandleSet *s, int fd, unsigned int tag) noexcept nogil
cdef void handleset_remove(HandleSet *s, int fd) noexcept nogil
cdef void handleset_clear(HandleSet *s) noexcept nogil
# Reports who is signalled now, at most max.
cdef int handleset_look(HandleSet *s, FDReady *ready, int max) noexcept nogil
# Waits until one is signalled, which the next look reports, or one of the n others is
# (n <= OTHERS), whose index is returned; -1: a member, or nothing that is known.
cdef int handleset_wait(HandleSet *s, const Handle *others, int n) noexcept nogil
cdef void handleset_taken(HandleSet *s, int fd) noexcept nogil
