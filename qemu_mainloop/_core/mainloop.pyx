# The process's main loop.

from qemu_mainloop._core.context cimport context_new
from qemu_mainloop._core.fork cimport ForkMember, fork_join
from qemu_mainloop._core.lock cimport lock_acquire, lock_init, lock_repair
from qemu_mainloop._sys.atomic cimport atomic_store_release_ptr
from qemu_mainloop._sys.thread cimport Mutex, mutex_init, mutex_lock, mutex_unlock

cdef Mutex making
cdef ForkMember fork_member

main_context = NULL


cdef int main_loop_make(bint *made) noexcept nogil:
    cdef AioContext *ctx = NULL
    cdef bint locked
    cdef int rc = 0
    made[0] = False
    mutex_lock(&making)
    if main_context == NULL:
        rc = context_new(&ctx, &iothread_lock)
        if rc == 0:
            # Nobody else can want it before the context is known.
            locked = lock_acquire(&iothread_lock, 0) == 0
            atomic_store_release_ptr(&main_context, ctx)
            made[0] = locked
    mutex_unlock(&making)
    return rc


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
