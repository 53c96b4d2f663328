# The process's main loop.

from qemu_mainloop._core.context cimport context_new, context_unref
from qemu_mainloop._core.fork cimport ForkMember, fork_join
from qemu_mainloop._core.lock cimport lock_acquire, lock_init, lock_repair
from qemu_mainloop._sys.atomic cimport atomic_load_acquire_ptr, atomic_store_release_ptr
from qemu_mainloop._sys.thread cimport Mutex, mutex_init, mutex_lock, mutex_unlock

cdef Mutex making
cdef ForkMember fork_member

main_context = NULL


cdef int main_loop_make(bint *made) noexcept nogil:
    # The context joins the list of fork members, so it is made before the lock is taken.
    cdef AioContext *ctx = NULL
    cdef int rc = 0
    made[0] = False
    if atomic_load_acquire_ptr(&main_context) != NULL:
        return 0
    rc = context_new(&ctx, &iothread_lock)
    if rc < 0:
        return rc
    mutex_lock(&making)
    if main_context == NULL:
        # Nobody else can want the lock before the context is known.
        made[0] = lock_acquire(&iothread_lock, 0) == 0
        atomic_store_release_ptr(&main_context, ctx)
        ctx = NULL
    mutex_unlock(&making)
    context_unref(ctx)
    return 0


cdef void fork_lock(void *owner) noexcept nogil:
    mutex_lock(&making)
    mutex_lock(&iothread_lock.mutex)


cdef void fork_unlock(void *owner) noexcept nogil:
    mutex_unlock(&iothread_lock.mutex)
    mutex_unlock(&making)


cdef void fork_child(void *owner) noexcept nogil:
    lock_repair(&iothread_lock)


lock_init(&iothread_lock)
mutex_init(&making)
fork_member.lock = fork_lock
fork_member.unlock = fork_unlock
fork_member.child = fork_child
fork_join(&fork_member)
