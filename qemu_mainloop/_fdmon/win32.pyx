# Windows' fdmon: sockets by their driver, handles by the system's own wait.
#
# A descriptor is either, which update finds out: the fd table above refuses fd handlers
# for what is no socket, so a socket is one wherever it comes from.  All reports come from
# looking, which is level-triggered; a sleep only ends when it is worth looking again.

from libc.errno cimport EAGAIN, EBADF, EINTR, ENOMEM
from libc.stdint cimport int64_t, uint32_t
from libc.stdlib cimport calloc, free

from qemu_mainloop._core.fdmon cimport FDMon, FDMonOps, FDReady, fdmon_register
from qemu_mainloop._fdmon.afdset cimport (
    AfdSet, afdset_begin_wait, afdset_clear, afdset_close, afdset_end_wait, afdset_look,
    afdset_open, afdset_put, afdset_remove)
from qemu_mainloop._fdmon.handleset cimport (
    OTHERS, HandleSet, handleset_clear, handleset_close, handleset_look, handleset_open,
    handleset_put, handleset_remove, handleset_taken, handleset_wait)
from qemu_mainloop._sys.clock cimport clock_monotonic_ns
from qemu_mainloop._sys.posix cimport fd_is_open, fd_may_have_handler
from qemu_mainloop._sys.thread cimport SignalMask
from qemu_mainloop._sys.win32 cimport (
    Handle, Interrupts, handle_close, timer_arm_in, timer_open)

cdef struct Win32:
    AfdSet sockets
    HandleSet handles
    Handle timer


cdef int win32_open(FDMon *mon) noexcept nogil:
    cdef Win32 *w = <Win32 *> calloc(1, sizeof(Win32))
    cdef int rc
    if w == NULL:
        return -ENOMEM
    rc = afdset_open(&w.sockets)
    if rc < 0:
        free(w)
        return rc
    w.timer = timer_open()
    if w.timer == NULL or handleset_open(&w.handles) < 0:
        if w.timer != NULL:
            handle_close(w.timer)
        afdset_close(&w.sockets)
        free(w)
        return -ENOMEM
    mon.state = w
    return 0


cdef void win32_close(FDMon *mon) noexcept nogil:
    cdef Win32 *w = <Win32 *> mon.state
    afdset_close(&w.sockets)
    handleset_close(&w.handles)
    handle_close(w.timer)
    free(w)


cdef int win32_update(FDMon *mon, int fd, uint32_t tag, int now, int wanted) noexcept nogil:
    cdef Win32 *w = <Win32 *> mon.state
    cdef bint is_socket
    if wanted == 0:
        afdset_remove(&w.sockets, fd)
        handleset_remove(&w.handles, fd)
        return 0
    is_socket = fd_may_have_handler(fd)
    # The number may have been of the other kind.
    if is_socket:
        handleset_remove(&w.handles, fd)
        return afdset_put(&w.sockets, fd, tag, wanted)
    afdset_remove(&w.sockets, fd)
    if not fd_is_open(fd):
        handleset_remove(&w.handles, fd)
        return -EBADF
    return handleset_put(&w.handles, fd, tag)


cdef int win32_detach(FDMon *mon, int fd) noexcept nogil:
    return -EAGAIN


cdef void win32_taken(FDMon *mon, int fd) noexcept nogil:
    handleset_taken(&(<Win32 *> mon.state).handles, fd)


# ---- waiting

cdef int look(Win32 *w, FDReady *ready, int max) noexcept nogil:
    # At least one place for the sockets, so that neither side starves.
    cdef int room = max - 1 if max > 1 and w.sockets.members.n > 0 else max
    cdef int n = handleset_look(&w.handles, ready, room)
    cdef int rc = afdset_look(&w.sockets, ready + n, max - n) if n < max else 0
    return n + rc if rc >= 0 or n == 0 else n


# Until it is worth looking, at most so long (< 0: without end).  0 or -EINTR.
cdef int sleep(Win32 *w, int64_t timeout_ns, const SignalMask *mask) noexcept nogil:
    cdef Handle others[OTHERS]
    cdef int n = 0
    cdef int interrupt = -2
    cdef int woken_by
    if mask != NULL and (<const Interrupts *> mask).interrupt != NULL:
        interrupt = n
        others[n] = (<const Interrupts *> mask).interrupt
        n += 1
    if timeout_ns >= 0:
        timer_arm_in(w.timer, timeout_ns)
        others[n] = w.timer
        n += 1
    if w.sockets.members.n > 0:
        if not afdset_begin_wait(&w.sockets):
            return 0
        others[n] = w.sockets.request.done
        n += 1
    woken_by = handleset_wait(&w.handles, others, n)
    if w.sockets.members.n > 0:
        afdset_end_wait(&w.sockets)
    return -EINTR if woken_by == interrupt else 0


cdef int win32_wait(FDMon *mon, int64_t timeout_ns, const SignalMask *mask, FDReady *ready,
                    int max) noexcept nogil:
    cdef Win32 *w = <Win32 *> mon.state
    cdef int64_t end_ns = 0
    cdef int n = look(w, ready, max)
    cdef int rc = 0
    if n != 0 or timeout_ns == 0:
        return n
    if timeout_ns > 0:
        end_ns = clock_monotonic_ns() + timeout_ns
    while rc == 0 and n == 0 and timeout_ns != 0:
        rc = sleep(w, timeout_ns, mask)
        n = look(w, ready, max)
        if timeout_ns > 0:
            # The timer counts in another way than the clock: never early.
            timeout_ns = end_ns - clock_monotonic_ns()
            timeout_ns = timeout_ns if timeout_ns > 0 else 0
    return n if n != 0 or rc == 0 else rc


# ---- the rest

cdef int win32_fileno(FDMon *mon) noexcept nogil:
    return -1


cdef bint win32_has_hidden(FDMon *mon) noexcept nogil:
    cdef Win32 *w = <Win32 *> mon.state
    return w.sockets.members.n > 0 or w.handles.members.n > 0


cdef int win32_rebuild(FDMon *mon) noexcept nogil:
    cdef Win32 *w = <Win32 *> mon.state
    afdset_clear(&w.sockets)
    handleset_clear(&w.handles)
    return 0


cdef FDMonOps ops
ops.name = "win32"
ops.open = win32_open
ops.close = win32_close
ops.update = win32_update
ops.detach = win32_detach
ops.wait = win32_wait
ops.fileno = win32_fileno
ops.has_hidden = win32_has_hidden
ops.rebuild = win32_rebuild
ops.taken = win32_taken
fdmon_register(&ops)
