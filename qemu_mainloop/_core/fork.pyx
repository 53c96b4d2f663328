# The list of who must be whole when the process forks.
#
# Lock order: the list's lock, then the members' in the order in which they joined.
# Whoever holds a member's lock never takes the list's.

from qemu_mainloop._sys.thread cimport (
    Mutex, mutex_init, mutex_lock, mutex_unlock, process_at_fork)


cdef Mutex list_lock
cdef ForkMember members            # the head of a ring

fork_generation = 0


cdef void fork_join(ForkMember *m) noexcept nogil:
    mutex_lock(&list_lock)
    m.next = &members
    m.prev = members.prev
    members.prev.next = m
    members.prev = m
    mutex_unlock(&list_lock)


cdef void fork_leave(ForkMember *m) noexcept nogil:
    mutex_lock(&list_lock)
    m.prev.next = m.next
    m.next.prev = m.prev
    mutex_unlock(&list_lock)


cdef void prepare() noexcept nogil:
    mutex_lock(&list_lock)
    cdef ForkMember *m = members.next
    while m != &members:
        m.lock(m.owner)
        m = m.next


cdef void release(bint in_child) noexcept nogil:
    cdef ForkMember *m = members.prev
    while m != &members:
        if in_child:
            m.child(m.owner)
        m.unlock(m.owner)
        m = m.prev
    mutex_unlock(&list_lock)


cdef void parent() noexcept nogil:
    release(False)


cdef void child() noexcept nogil:
    global fork_generation
    fork_generation += 1
    release(True)


members.next = members.prev = &members
mutex_init(&list_lock)
if process_at_fork(prepare, parent, child) < 0:
    raise MemoryError("pthread_atfork")
