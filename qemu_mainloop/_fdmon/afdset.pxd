# Sockets, and asking the driver of all of them at once: level-triggered, for any number.
#
# The driver takes one request with a list of sockets, and answers with those that are
# ready.  With no time to wait it answers at once: a look.  Else the request goes on until
# one is ready, while its owner waits for other things; it is taken back when the owner is
# awake.

from qemu_mainloop._core.fdmon cimport FDReady
from qemu_mainloop._fdmon.pollset cimport PollSet
from qemu_mainloop._sys.win32 cimport AfdList, AfdRequest


cdef struct AfdSet:
    PollSet members
    AfdRequest request
    AfdList *asked           # the members, for the driver
    AfdList *found
    int room                 # of both lists
    bint stale               # the members have changed

# 0 or negative errno.
cdef int afdset_open(AfdSet *s) noexcept nogil
cdef void afdset_close(AfdSet *s) noexcept nogil
# 0, -ENOMEM.
cdef int afdset_put(AfdSet *s, int fd, unsigned int tag, int events) noexcept nogil
cdef void afdset_remove(AfdSet *s, int fd) noexcept nogil
cdef void afdset_clear(AfdSet *s) noexcept nogil
# Reports who is ready now; count or negative errno.
cdef int afdset_look(AfdSet *s, FDReady *ready, int max) noexcept nogil
# True: request.done will be set when one is ready, and afdset_end_wait must follow.  False:
# do not sleep.
cdef bint afdset_begin_wait(AfdSet *s) noexcept nogil
cdef void afdset_end_wait(AfdSet *s) noexcept nogil
