# Contexts of one's own over the core; what the names promise is in aio.pxd.

from libc.errno cimport EINVAL, ENOMEM, errno
from libc.stdint cimport int64_t

from qemu_mainloop._core.barrier cimport barrier_run
from qemu_mainloop._core.bh cimport bh_new, bh_schedule
from qemu_mainloop._core.child cimport child_watch
from qemu_mainloop._core.context cimport (
    context_bhs, context_children, context_fdmon_name, context_fds, context_fileno,
    context_has_nothing_to_do, context_is_hosted, context_new, context_ref, context_set_fdmon,
    context_set_poll_params, context_timers, context_unref, context_wakeup)
from qemu_mainloop._core.iteration cimport Outcome, iteration_current, iteration_run
from qemu_mainloop._core.fdtable cimport FD_HANDLER
from qemu_mainloop._core.iohandler cimport fd_table_set
from qemu_mainloop._core.iothread cimport (
    iothread_context, iothread_end, iothread_free, iothread_new)
from qemu_mainloop._core.mainloop cimport main_context
from qemu_mainloop._core.timer cimport timer_create
from qemu_mainloop._core.wakeup cimport wakeup_notify
from qemu_mainloop._sys.errno cimport EDEADLK


cdef AioContext *aio_context_new() noexcept nogil:
    cdef AioContext *ctx = NULL
    context_new(&ctx, NULL)
    return ctx


cdef void aio_context_ref(AioContext *ctx) noexcept nogil:
    context_ref(ctx)


cdef void aio_context_unref(AioContext *ctx) noexcept nogil:
    context_unref(ctx)


cdef AioContext *qemu_get_aio_context() noexcept nogil:
    return main_context


cdef AioContext *qemu_get_current_aio_context() noexcept nogil:
    return iteration_current()


cdef int aio_poll(AioContext *ctx, bint blocking) noexcept nogil:
    cdef Outcome out
    cdef int rc
    if not blocking and context_has_nothing_to_do(ctx):
        return 0
    rc = iteration_run(ctx, -1 if blocking else 0, NULL, &out)
    return rc if rc < 0 else out.progress


cdef void aio_notify(AioContext *ctx) noexcept nogil:
    wakeup_notify(context_wakeup(ctx))


cdef int aio_set_fd_handler(AioContext *ctx, int fd, IOHandler *io_read, IOHandler *io_write,
                            IOCanReadHandler *io_can_read, void *opaque) noexcept nogil:
    return fd_table_set(context_fds(ctx), fd, FD_HANDLER, io_read, io_write, io_can_read, opaque,
                        NULL, context_is_hosted(ctx))


cdef QEMUBH *aio_bh_new(AioContext *ctx, QEMUBHFunc *cb, void *opaque) noexcept nogil:
    return bh_new(context_bhs(ctx), cb, opaque, NULL, False) if cb != NULL else NULL


cdef int aio_bh_schedule_oneshot(AioContext *ctx, QEMUBHFunc *cb, void *opaque) noexcept nogil:
    cdef QEMUBH *bh
    if cb == NULL:
        return -EINVAL
    bh = bh_new(context_bhs(ctx), cb, opaque, NULL, True)
    if bh == NULL:
        return -ENOMEM
    bh_schedule(bh)
    return 0


cdef int aio_wait_bh_oneshot(AioContext *ctx, QEMUBHFunc *cb, void *opaque) noexcept nogil:
    return barrier_run(ctx, cb, opaque)


cdef QEMUTimer *aio_timer_new(AioContext *ctx, QEMUClockType type, int scale, QEMUTimerCB *cb,
                              void *opaque) noexcept nogil:
    if cb == NULL:
        return NULL
    return timer_create(context_timers(ctx), <int> type, scale, cb, opaque)


cdef int aio_add_child_watch(AioContext *ctx, pid_t pid, AioChildFunc *cb,
                             void *opaque) noexcept nogil:
    return child_watch(context_children(ctx), pid, cb, opaque, NULL)


cdef int aio_context_set_poll_params(AioContext *ctx, int64_t max_ns, int64_t grow,
                                     int64_t shrink) noexcept nogil:
    return context_set_poll_params(ctx, max_ns, grow, shrink)


cdef int aio_context_set_fdmon(AioContext *ctx, const char *name) noexcept nogil:
    return context_set_fdmon(ctx, name)


cdef const char *aio_context_fdmon_name(AioContext *ctx) noexcept nogil:
    return context_fdmon_name(ctx)


cdef int aio_context_fileno(AioContext *ctx) noexcept nogil:
    return context_fileno(ctx)


cdef IOThread *iothread_create(const char *id) noexcept nogil:
    cdef IOThread *t = NULL
    iothread_new(&t, id)
    return t


cdef AioContext *iothread_get_aio_context(IOThread *t) noexcept nogil:
    return iothread_context(t)


cdef int iothread_stop(IOThread *t) noexcept nogil:
    return iothread_end(t)


cdef void iothread_destroy(IOThread *t) noexcept nogil:
    if iothread_free(t) < 0:
        (&errno)[0] = EDEADLK
