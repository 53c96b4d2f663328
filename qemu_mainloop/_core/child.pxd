# Child watches: a pidfd each, or where there is none a timer that looks.
#
# Never a SIGCHLD handler (it would be the program's only one, and somebody else's),
# and never waitpid(-1) (it would take other people's children).

from qemu_mainloop._core.fdtable cimport FdTable
from qemu_mainloop._core.timer cimport QEMUTimer, TimerGroup
from qemu_mainloop._sys.leaflock cimport LeafLock
from qemu_mainloop._sys.posix cimport pid_t

# status is wait(2)'s; -1: somebody else has collected it.
ctypedef void (*ChildCallback)(void *opaque, pid_t pid, int status) noexcept nogil
ctypedef void (*ReleaseCallback)(void *opaque) noexcept nogil

cdef struct ChildWatch:
    ChildWatch *next
    ChildList *list
    pid_t pid
    int pidfd                # -1: the timer looks
    int generation           # of forks
    ChildCallback cb         # NULL: just collect
    void *opaque
    ReleaseCallback release  # called with opaque when the watch is dropped uncalled

cdef struct ChildList:
    ChildWatch *first
    int count                # read without the lock
    QEMUTimer *timer         # made with the first watch that needs it
    FdTable *fds
    TimerGroup *timers
    LeafLock *lock              # the context's

cdef void child_list_init(ChildList *list, FdTable *fds, TimerGroup *timers,
                          LeafLock *lock) noexcept nogil
cdef void child_list_destroy(ChildList *list) noexcept nogil
# In a forked child: what its parent watched are its siblings.
cdef void child_list_drop(ChildList *list) noexcept nogil
# 0; 1: watched already; -EINVAL, -ECHILD, -ENOMEM, -EMFILE.
cdef int child_watch(ChildList *list, pid_t pid, ChildCallback cb, void *opaque,
                     ReleaseCallback release) noexcept nogil
# For tests: as if the system had no pidfds.
cdef bint child_without_pidfd
