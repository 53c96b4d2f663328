# Being hosted by another loop: one descriptor that polls readable when the context
# wants an iteration.
#
# It is an epoll descriptor with three members: the fdmon's own descriptor (or an
# epoll that mirrors the fdmon, if it has none), the notifier, and a timerfd.  From
# the first call on the context counts as asleep outside its iterations, so every
# notification writes the notifier; interest goes to the kernel at once; and whoever
# changes the earliest timer arms the timerfd.

from libc.stdint cimport int64_t

from qemu_mainloop._core.bh cimport BHQueue
from qemu_mainloop._core.fdtable cimport FdTable
from qemu_mainloop._core.timer cimport TimerGroup
from qemu_mainloop._core.wakeup cimport Wakeup
from qemu_mainloop._sys.thread cimport Mutex


cdef struct Hosting:
    int fd                       # -1: not hosted
    int timer_fd
    int shown_fd                 # the fdmon's or the mirror's, as a member of fd
    int shown_rebuilds           # of the table, when it became one
    int stale_looks              # in a row, at a mirror with an entry that fits no registration
    int64_t idle_until_ns        # when idle bottom halves or muted descriptors are due
    Mutex lock                   # makes computing and setting the time one step
    FdTable *fds
    TimerGroup *timers
    BHQueue *bhs
    Wakeup *wakeup

cdef void hosting_init(Hosting *h, FdTable *fds, TimerGroup *timers, BHQueue *bhs,
                       Wakeup *wakeup) noexcept nogil
# The descriptor, or negative errno; -ENOTSUP: no kernel object can do it here.
cdef int hosting_open(Hosting *h) noexcept nogil
cdef void hosting_close(Hosting *h) noexcept nogil
# The polling thread's, at the end of an iteration: asleep from here on.
cdef void hosting_sleep(Hosting *h) noexcept nogil
# Any thread: the earliest timer changed.
cdef void hosting_rearm(void *hosting) noexcept nogil
# The fdmon was rebuilt, or has another descriptor.  0 or negative errno.
cdef int hosting_show(Hosting *h) noexcept nogil
# Of the thread that polls, before it looks: what only the mirror knows.
cdef void hosting_clear(Hosting *h) noexcept nogil
