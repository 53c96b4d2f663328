# main-loop.h's names over the core; what they promise is in main_loop.pxd.

from libc.errno cimport EINVAL, EPERM, errno
from libc.stdint cimport int64_t, uint32_t

from qemu_mainloop._core.bh cimport (
    bh_cancel, bh_delete, bh_new, bh_schedule, bh_schedule_idle)
from qemu_mainloop._core.child cimport child_watch
from qemu_mainloop._core.context cimport context_has_nothing_to_do
from qemu_mainloop._core.iteration cimport (
    Outcome, iteration_foreign_timeout_ns, iteration_run, iteration_run_bottom_halves)
from qemu_mainloop._core.dispatch cimport Dispatch, runtime_resume, runtime_suspend
from qemu_mainloop._core.fdtable cimport FD_HANDLER
from qemu_mainloop._core.iohandler cimport fd_table_set
from qemu_mainloop._core.lock cimport lock_acquire, lock_is_mine, lock_release
from qemu_mainloop._core.mainloop cimport iothread_lock, main_context, main_loop_make
from qemu_mainloop._core.polling cimport polling_add, polling_remove
from qemu_mainloop._core.signals cimport signals_attach
from qemu_mainloop._core.waitobj cimport wait_object_add, wait_object_remove
from qemu_mainloop._core.wakeup cimport wakeup_notify
from qemu_mainloop._sys.errno cimport EDEADLK

qemu_mainloop_abi = 1


# The first call made the loop but could not take the signals: the lock is still to be
# taken by the one that can.
cdef bint owes_lock = False


cdef int qemu_init_main_loop() noexcept nogil:
    global owes_lock
    cdef bint made
    cdef int rc = main_loop_make(&made)
    if rc < 0:
        return rc
    rc = signals_attach(&main_context.fds)
    if rc < 0 and made:
        owes_lock = True
        lock_release(&iothread_lock)
    elif rc == 0 and owes_lock:
        owes_lock = False
        qemu_mutex_lock_iothread()
    return rc


cdef int main_loop_init() noexcept nogil:
    return qemu_init_main_loop()


cdef int main_loop_wait(int nonblocking) noexcept nogil:
    cdef Outcome out
    cdef int rc
    if main_context == NULL:
        return -EINVAL
    if nonblocking and context_has_nothing_to_do(main_context):
        return 0
    rc = iteration_run(main_context, 0 if nonblocking else -1, NULL, &out)
    return rc if rc < 0 else out.descriptors


cdef void qemu_notify_event() noexcept nogil:
    if main_context != NULL:
        wakeup_notify(&main_context.wakeup)


cdef int qemu_set_fd_handler2(int fd, IOCanReadHandler *fd_read_poll, IOHandler *fd_read,
                              IOHandler *fd_write, void *opaque) noexcept nogil:
    if main_context == NULL:
        return -EINVAL
    return fd_table_set(&main_context.fds, fd, FD_HANDLER, fd_read, fd_write, fd_read_poll,
                        opaque, NULL, main_context.wakeup.hosted)


cdef int qemu_set_fd_handler(int fd, IOHandler *fd_read, IOHandler *fd_write,
                             void *opaque) noexcept nogil:
    return qemu_set_fd_handler2(fd, NULL, fd_read, fd_write, opaque)


cdef QEMUBH *qemu_bh_new(QEMUBHFunc *cb, void *opaque) noexcept nogil:
    if main_context == NULL or cb == NULL:
        return NULL
    return bh_new(&main_context.bhs, cb, opaque, NULL, False)


cdef void qemu_bh_schedule(QEMUBH *bh) noexcept nogil:
    bh_schedule(bh)


cdef void qemu_bh_schedule_idle(QEMUBH *bh) noexcept nogil:
    bh_schedule_idle(bh)


cdef void qemu_bh_cancel(QEMUBH *bh) noexcept nogil:
    bh_cancel(bh)


cdef void qemu_bh_delete(QEMUBH *bh) noexcept nogil:
    if bh != NULL:
        bh_delete(bh)


cdef int qemu_bh_poll() noexcept nogil:
    if main_context == NULL:
        return -EINVAL
    return iteration_run_bottom_halves(main_context)


cdef void qemu_bh_update_timeout(uint32_t *timeout) noexcept nogil:
    cdef int64_t ns
    cdef uint32_t ms
    if main_context == NULL:
        return
    ns = iteration_foreign_timeout_ns(main_context)
    if ns >= 0:
        ms = <uint32_t> ((ns + 999999) // 1000000)
        if ms < timeout[0]:
            timeout[0] = ms


cdef int qemu_add_child_watch(pid_t pid) noexcept nogil:
    if main_context == NULL:
        return -EINVAL
    return child_watch(&main_context.children, pid, NULL, NULL, NULL)


cdef void qemu_mutex_lock_iothread() noexcept nogil:
    cdef Dispatch d
    if lock_is_mine(&iothread_lock):
        (&errno)[0] = EDEADLK
        return
    if lock_acquire(&iothread_lock, 0) == 0:
        return
    runtime_suspend(&d)
    lock_acquire(&iothread_lock, -1)
    runtime_resume(&d)


cdef void qemu_mutex_unlock_iothread() noexcept nogil:
    if lock_release(&iothread_lock) < 0:
        (&errno)[0] = EPERM


cdef bint qemu_mutex_iothread_locked() noexcept nogil:
    return lock_is_mine(&iothread_lock)


cdef int qemu_add_polling_cb(PollingFunc *func, void *opaque) noexcept nogil:
    if main_context == NULL or func == NULL:
        return -EINVAL
    return polling_add(&main_context.polling, func, opaque, NULL)


cdef void qemu_del_polling_cb(PollingFunc *func, void *opaque) noexcept nogil:
    if main_context != NULL:
        polling_remove(&main_context.polling, func, opaque)


cdef int qemu_add_wait_object(HANDLE handle, WaitObjectFunc *func, void *opaque) noexcept nogil:
    if main_context == NULL:
        return -EINVAL
    return wait_object_add(&main_context.fds, handle, func, opaque, NULL)


cdef void qemu_del_wait_object(HANDLE handle, WaitObjectFunc *func, void *opaque) noexcept nogil:
    if main_context != NULL:
        wait_object_remove(&main_context.fds, handle)
