# The seam between the loop and a kernel interface that waits for descriptors.
#
# An fdmon reports: it fills an array and never calls a user.  The fd table above it
# (iohandler) decides what each report means.  Every slot says who calls it how:
#
#   open      Makes the state.  0, or negative errno: not to be had here.
#   close     Releases it; the state may be that of a parent process.
#   update    fd shall be watched for `wanted` (POLLIN | POLLOUT; 0: not at all)
#             instead of `now`; what is reported for it carries `tag`.  Called with
#             the context's lock held, by the polling thread when it is not in wait,
#             or by any thread while nobody polls.  The number may name another file
#             than at the last call.  A kernel that refuses to watch it
#             (EPERM, ENOSPC, ENOMEM) is no error: the fdmon serves it another way.
#             0; -EBADF: not open (or wait reports POLLNVAL for it); -ENOMEM.
#   detach    fd shall not be watched any more, at once: called with the lock held by
#             any thread, also while another one waits.  0; -EAGAIN: not now, update
#             will be called.
#   wait      Waits up to timeout_ns (0: only looks; < 0: for ever) and reports at
#             most `max` entries.  Called without the lock and, if it may block, without
#             the runtime's.  `mask`, if any, is the thread's signal mask while it waits, put
#             in force atomically.  Count, -EINTR (a signal, or something else that is no
#             report, ended it early), or another negative errno.
#   fileno    A descriptor that polls readable when wait() would report, from now on; -1:
#             none.  Called by the polling thread with the lock held.
#   has_hidden  Some of what wait() reports does not show in fileno.
#   rebuild   Reports came that fit no registration: start from an empty kernel set.
#             The table calls update for everything again.  0 or negative errno.
#   warm      fd was reported in several waits running: it may be watched in another way,
#             one that is cheaper for such a one.  Called by the polling thread with the
#             lock held.  NULL: there is one way only.
#   taken     Where a wait uses up what it finds (WAIT_CONSUMES): what was reported of fd,
#             which is no socket, is being dispatched; until then each wait reports it anew.
#             Called by the polling thread without the lock.  NULL elsewhere.
#   tend      Called likewise before a wait after the fdmon has set `restless`, which
#             it clears.  NULL, if it never does.
#
# Registration is by import; _fdmon/__init__ has the order of preference.

from libc.stdint cimport int64_t, uint32_t, uintptr_t

from qemu_mainloop._sys.atomic cimport atomic_load_acquire_ptr, atomic_load_acquire_u32
from qemu_mainloop._sys.thread cimport SignalMask, thread_self


cdef struct FDReady:
    int fd
    uint32_t tag
    int events               # POLLIN, POLLOUT, POLLERR, POLLHUP, POLLNVAL
    bint by_number           # asked for by its number: it is open, or events has POLLNVAL

cdef struct FDMon:
    const FDMonOps *ops      # NULL: closed
    void *state
    # While this word has this value a wait that only looks would find nothing, for
    # this thread.  NULL: ask the kernel.
    const uint32_t *bell
    uint32_t bell_quiet
    uintptr_t bell_thread
    int restless             # tend is to be called; atomic, a wait sets it without the lock

cdef struct FDMonOps:
    const char *name
    int (*open)(FDMon *mon) noexcept nogil
    void (*close)(FDMon *mon) noexcept nogil
    int (*update)(FDMon *mon, int fd, uint32_t tag, int now, int wanted) noexcept nogil
    int (*detach)(FDMon *mon, int fd) noexcept nogil
    int (*wait)(FDMon *mon, int64_t timeout_ns, const SignalMask *mask, FDReady *ready,
                int max) noexcept nogil
    int (*fileno)(FDMon *mon) noexcept nogil
    bint (*has_hidden)(FDMon *mon) noexcept nogil
    int (*rebuild)(FDMon *mon) noexcept nogil
    void (*warm)(FDMon *mon, int fd, uint32_t tag, int events) noexcept nogil
    int (*tend)(FDMon *mon) noexcept nogil
    void (*taken)(FDMon *mon, int fd) noexcept nogil

# At import time; ops lives as long as the process.
cdef void fdmon_register(const FDMonOps *ops) noexcept nogil
# The i-th in the order of registration; NULL: there are not so many.
cdef const FDMonOps *fdmon_at(int i) noexcept nogil
cdef const FDMonOps *fdmon_find(const char *name) noexcept nogil
# NULL opens the first that can be had.  0; -EINVAL: unknown; -ENOTSUP: known, but not
# on this platform or in this build; else why not.
cdef int fdmon_open(FDMon *mon, const char *name) noexcept nogil
cdef void fdmon_close(FDMon *mon) noexcept nogil


cdef inline bint fdmon_is_quiet(FDMon *mon) noexcept nogil:
    # The polling thread's.  Asked for once: a thread that found nobody polling, a moment ago,
    # may be about to take it away.  Pairs with the kernel's release of the word.
    cdef const uint32_t *bell = <const uint32_t *> atomic_load_acquire_ptr(<void *> &mon.bell)
    return (bell != NULL and mon.bell_thread == thread_self()
            and atomic_load_acquire_u32(bell) == mon.bell_quiet)
