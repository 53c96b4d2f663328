# The main loop's services on a context of one's own: QEMU's AioContext.
#
# Functions may be called from any thread with no lock held unless they say
# otherwise.  Contexts run without the iothread lock; the main loop's has it.

from libc.stdint cimport int64_t

from qemu_mainloop.main_loop cimport (
    IOCanReadHandler, IOHandler, QEMUBH, QEMUBHFunc, pid_t, qemu_mainloop_abi_1)
from qemu_mainloop.timer cimport QEMUClockType, QEMUTimer, QEMUTimerCB


cdef extern from *:
    """
    #ifndef QEMU_MAINLOOP_AIO_TYPES
    #define QEMU_MAINLOOP_AIO_TYPES
    #include <sys/types.h>
    typedef struct AioContext AioContext;
    typedef struct IOThread IOThread;
    typedef void AioChildFunc(void *opaque, pid_t pid, int status);
    #endif
    """
    ctypedef struct AioContext
    ctypedef struct IOThread
    # status is wait(2)'s; -1: another part of the program collected it.
    ctypedef void AioChildFunc(void *opaque, pid_t pid, int status) noexcept nogil


# A new context with one reference.  Errors: NULL: no memory or no descriptors.
cdef AioContext *aio_context_new() noexcept nogil
cdef void aio_context_ref(AioContext *ctx) noexcept nogil
# Gives a reference back; the last one frees the context and all that is left in
# it (handlers, bottom halves, timers, watches).  NULL is accepted.  The last one
# must not go while the context is polled or used by another thread.
cdef void aio_context_unref(AioContext *ctx) noexcept nogil
# The main loop's context, no reference taken; NULL before initialisation.
cdef AioContext *qemu_get_aio_context() noexcept nogil
# The context this thread is polling, the innermost one; NULL: none.
cdef AioContext *qemu_get_current_aio_context() noexcept nogil

# One iteration, as main_loop_wait().  1: something other than a notification or
# an idle bottom half ran; 0: nothing did.
# Errors: -EBUSY: another thread polls it; -ELOOP: 1000 are nested in this one already; others
# when waiting is impossible.
cdef int aio_poll(AioContext *ctx, bint blocking) noexcept nogil
# Context: any thread, signal handlers; wait-free.
cdef void aio_notify(AioContext *ctx) noexcept nogil

# As qemu_set_fd_handler2(), with the callbacks in QEMU's order for contexts.
cdef int aio_set_fd_handler(AioContext *ctx, int fd, IOHandler *io_read, IOHandler *io_write,
                            IOCanReadHandler *io_can_read, void *opaque) noexcept nogil
# qemu_bh_schedule() and the others of main_loop.pxd work on it.
cdef QEMUBH *aio_bh_new(AioContext *ctx, QEMUBHFunc *cb, void *opaque) noexcept nogil
# Runs cb(opaque) once in the next bottom-half phase.
# Context: any thread; not signal handlers (it allocates).  Errors: -ENOMEM.
cdef int aio_bh_schedule_oneshot(AioContext *ctx, QEMUBHFunc *cb, void *opaque) noexcept nogil
# The same, and waits until it has run (cb may be NULL): when it returns, no callback
# that was removed before is running.  Somebody must be polling ctx, or will be.
# Lets the GIL go while it waits.
# Errors: -EDEADLK: called in the thread that polls ctx, or with the iothread lock in
# hand for the main loop's (where it is not needed: no callback runs); -ENOMEM.
cdef int aio_wait_bh_oneshot(AioContext *ctx, QEMUBHFunc *cb, void *opaque) noexcept nogil
# timer_mod() and the others of timer.pxd work on it.
cdef QEMUTimer *aio_timer_new(AioContext *ctx, QEMUClockType type, int scale, QEMUTimerCB *cb,
                              void *opaque) noexcept nogil
# Calls cb(opaque, pid, status) once the child is reaped; never in this call.
# Returns 0, or 1 if pid is watched already.  Errors: as qemu_add_child_watch().
cdef int aio_add_child_watch(AioContext *ctx, pid_t pid, AioChildFunc *cb,
                             void *opaque) noexcept nogil

# Busy polling before a sleep: for up to max_ns (0: none), adapted by factors grow
# and shrink (0: twice; to nothing).  Errors: -EINVAL: a negative value.
cdef int aio_context_set_poll_params(AioContext *ctx, int64_t max_ns, int64_t grow,
                                     int64_t shrink) noexcept nogil
# The kernel interface that waits: "epoll", "poll", …; NULL: the best there is.
# Errors: -EINVAL: an unknown name; -ENOTSUP and others: not to be had here, the
# one in use stays; -EBUSY: the context is being polled, or nested by its fileno.
cdef int aio_context_set_fdmon(AioContext *ctx, const char *name) noexcept nogil
cdef const char *aio_context_fdmon_name(AioContext *ctx) noexcept nogil
# A descriptor that polls readable when the context wants an iteration, so that
# another loop can host it; docs/guide.md.  The context's own: not to be closed.
# Errors: -ENOTSUP: no kernel object can do it here; -EMFILE, -ENOMEM.
cdef int aio_context_fileno(AioContext *ctx) noexcept nogil

# A context that a native thread of its own runs, with all signals blocked.
# id is copied, NULL accepted.  Errors: NULL: no memory, descriptors or threads.
cdef IOThread *iothread_create(const char *id) noexcept nogil
# No reference taken.
cdef AioContext *iothread_get_aio_context(IOThread *t) noexcept nogil
# Ends the thread after its iteration and waits for it; lets the GIL go meanwhile.
# A second call returns 0.  Errors: -EDEADLK: from its own thread; -ESRCH: this is
# a forked child, where the thread never was.
cdef int iothread_stop(IOThread *t) noexcept nogil
# Stops and frees it, with its reference to the context.  NULL is accepted; from
# its own thread it does nothing and sets errno to EDEADLK.
cdef void iothread_destroy(IOThread *t) noexcept nogil
