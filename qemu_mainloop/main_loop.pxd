# QEMU's main-loop.h under its own names, on the process's main loop.
#
#     from qemu_mainloop.main_loop cimport main_loop_wait, qemu_bh_new
#
# Everything here is noexcept nogil.  Errors are negative errno values; nothing
# prints, raises or aborts.  Callbacks are plain C functions, or functions
# marked "noexcept with gil".  docs/from-qemu.md has the differences from QEMU.
#
# "Any thread" below means: with or without the GIL, with or without the
# iothread lock.  Before qemu_init_main_loop() functions that return int give
# -EINVAL, those that return a pointer NULL, and the others do nothing.

from libc.stdint cimport uint8_t, uint32_t


cdef extern from *:
    """
    #ifndef QEMU_MAINLOOP_MAIN_LOOP_TYPES
    #define QEMU_MAINLOOP_MAIN_LOOP_TYPES
    #include <signal.h>
    #include <stdint.h>
    #include <sys/types.h>
    #ifdef SIGUSR1
    #define QEMU_MAINLOOP_SIG_IPI SIGUSR1
    #else
    #define QEMU_MAINLOOP_SIG_IPI 0
    #endif
    typedef void IOReadHandler(void *opaque, const uint8_t *buf, int size);
    typedef int IOCanReadHandler(void *opaque);
    typedef void IOHandler(void *opaque);
    typedef void QEMUBHFunc(void *opaque);
    typedef int PollingFunc(void *opaque);
    typedef void WaitObjectFunc(void *opaque);
    typedef struct QEMUBH QEMUBH;
    typedef int qemu_mainloop_abi_1;
    #endif
    """
    # The signal that interrupts a virtual CPU: SIGUSR1, 0 where there is none.
    enum: SIG_IPI "QEMU_MAINLOOP_SIG_IPI"
    ctypedef int pid_t

    # Character-device types of the header: data arrived; how much can you take?
    ctypedef void IOReadHandler(void *opaque, const uint8_t *buf, int size) noexcept nogil
    ctypedef int IOCanReadHandler(void *opaque) noexcept nogil
    # A descriptor can be read from, or written to.
    ctypedef void IOHandler(void *opaque) noexcept nogil
    ctypedef void QEMUBHFunc(void *opaque) noexcept nogil
    # Non-zero: do not block in this iteration.
    ctypedef int PollingFunc(void *opaque) noexcept nogil
    ctypedef void WaitObjectFunc(void *opaque) noexcept nogil
    # Windows: a HANDLE.  POSIX: a descriptor cast to a pointer; 0 is valid.
    ctypedef void *HANDLE "void *"
    ctypedef struct QEMUBH

    # The number in this name is the ABI's.  Whoever cimports this file imports
    # the variable below with it, so one compiled for another ABI fails at
    # import with a TypeError that names both numbers.
    ctypedef int qemu_mainloop_abi_1


cdef qemu_mainloop_abi_1 qemu_mainloop_abi

# Makes the main loop and takes the iothread lock, the first time; blocks
# SIG_IPI in the calling thread and takes SIGIO, SIGALRM and asynchronous SIGBUS
# through a signalfd (POSIX).  A later call returns 0 and leaves the lock as it is.
# Context: any thread; the one that is to run the loop.
# Errors: -EMFILE, -ENFILE, -ENOMEM: nothing was made, the lock is not held.
cdef int qemu_init_main_loop() noexcept nogil
# The same under the name that QEMU's tools use.
cdef int main_loop_init() noexcept nogil

# One iteration: wait (unless nonblocking), descriptors, timers, bottom halves;
# docs/iteration.md has the phases.  Returns how many descriptors and wait
# objects had a callback due, 0 when none.  The iothread lock is held through
# every callback; a caller that does not hold it has it taken for the call.  A
# thread that has the GIL lets it go while waiting and while C callbacks run.
# Context: one thread at a time, nested calls from callbacks included.
# Errors: -EBUSY: another thread is inside; -ELOOP: 1000 are nested in this one already; others
# when waiting is impossible.
cdef int main_loop_wait(int nonblocking) noexcept nogil

# Makes the current or the next blocking wait return, once.
# Context: any thread, signal handlers.  Cannot fail.
cdef void qemu_notify_event() noexcept nogil

# Calls fd_read(opaque) when fd can be read (or has hung up, or has an error)
# and fd_write(opaque) when it can be written (or has an error), instead of
# what fd had before.  Both NULL removes.  fd_read_poll, if given, is asked once
# an iteration before waiting; while it says 0 fd is not watched for reading.
# opaque and fd stay the caller's; opaque must live until the removal, and from
# another thread until aio_wait_bh_oneshot() after it.
# Context: any thread.
# Errors: -EBADF: negative, not open, or O_PATH; -EBUSY: a wait object, or the loop's own;
# -ENOMEM: nothing was changed.
cdef int qemu_set_fd_handler2(int fd, IOCanReadHandler *fd_read_poll, IOHandler *fd_read,
                              IOHandler *fd_write, void *opaque) noexcept nogil
cdef int qemu_set_fd_handler(int fd, IOHandler *fd_read, IOHandler *fd_write,
                             void *opaque) noexcept nogil

# A bottom half that calls cb(opaque) from the loop once it is scheduled.
# opaque stays the caller's until qemu_bh_delete().
# Context: any thread.  Errors: NULL: no memory, or not initialised.
cdef QEMUBH *qemu_bh_new(QEMUBHFunc *cb, void *opaque) noexcept nogil
# Runs it in this or the next bottom-half phase, once however often it is called.
# What the caller wrote before is visible to the callback.
# Context: any thread, signal handlers; wait-free.  Cannot fail.
cdef void qemu_bh_schedule(QEMUBH *bh) noexcept nogil
# The same without hurry: within 10 ms.  Does not demote one that is scheduled.
cdef void qemu_bh_schedule_idle(QEMUBH *bh) noexcept nogil
# Takes the schedule back.  Context: any thread, signal handlers.
cdef void qemu_bh_cancel(QEMUBH *bh) noexcept nogil
# Cancels it and gives it up: bh must not be used again.  NULL is accepted.
# Context: any thread, its own callback included.
cdef void qemu_bh_delete(QEMUBH *bh) noexcept nogil

# Runs the scheduled bottom halves of the main loop, as an iteration does; 1 if
# one that was not idle ran.  For programs that have another loop around ours.
# Context: the loop's thread, with the iothread lock.  Errors: -EBUSY.
cdef int qemu_bh_poll() noexcept nogil
# Lowers *timeout (milliseconds) to 0 if a bottom half is scheduled, to 10 if an
# idle one is.  Context: the loop's thread.
cdef void qemu_bh_update_timeout(uint32_t *timeout) noexcept nogil

# Reaps the child pid when it has exited, also one that is gone already.
# Returns 0, or 1 if it is watched already.
# Context: any thread.  Errors: -EINVAL: pid <= 0; -ECHILD: not a child of ours;
# -ENOMEM; -ENOSYS where there are no child processes.
cdef int qemu_add_child_watch(pid_t pid) noexcept nogil

# The iothread lock: held through every callback of the main loop, dropped while
# it waits; first come, first served.  Taking it twice does nothing and sets errno
# to EDEADLK; giving back what one does not hold does nothing and sets EPERM.
# A thread that has the GIL lets it go while it waits for the lock.
# Context: any thread; not in a signal handler.
cdef void qemu_mutex_lock_iothread() noexcept nogil
cdef void qemu_mutex_unlock_iothread() noexcept nogil
# Does the calling thread hold it?
cdef bint qemu_mutex_iothread_locked() noexcept nogil

# Calls func(opaque) once an iteration, before the timeout is computed, in the
# order of registration; a non-zero result makes the iteration not block.
# Duplicates are allowed; del removes the first that matches, none is no error.
# Context: any thread, the callback itself included.  Errors: -ENOMEM.
cdef int qemu_add_polling_cb(PollingFunc *func, void *opaque) noexcept nogil
cdef void qemu_del_polling_cb(PollingFunc *func, void *opaque) noexcept nogil

# Calls func(opaque) when handle is signalled.  On POSIX a handle is any
# descriptor that polls readable then (eventfd, pidfd, timerfd); the callback
# resets it.  del goes by the handle alone, as in QEMU.
# Context: any thread, the callback itself included.
# Errors: -EEXIST: there already; -EBADF; -EBUSY: has an fd handler; -ENOMEM.
cdef int qemu_add_wait_object(HANDLE handle, WaitObjectFunc *func, void *opaque) noexcept nogil
cdef void qemu_del_wait_object(HANDLE handle, WaitObjectFunc *func, void *opaque) noexcept nogil
