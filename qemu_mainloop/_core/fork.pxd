# fork(): who is told, and how many forks this process is away from the first.
#
# A member is locked before a fork, so that no structure is copied half changed,
# unlocked after it, and in the child also repaired.  Kernel objects are not
# touched there: each owner compares the generation at its entry points and makes
# new ones then, so that a child which only calls exec() pays nothing.

cdef struct ForkMember:
    ForkMember *next
    ForkMember *prev
    void *owner
    void (*lock)(void *owner) noexcept nogil
    void (*unlock)(void *owner) noexcept nogil
    void (*child)(void *owner) noexcept nogil      # locked; one thread exists

# Written in the child alone, while it has one thread; read everywhere.
cdef int fork_generation

# Context: any thread, no internal lock held.
cdef void fork_join(ForkMember *m) noexcept nogil
cdef void fork_leave(ForkMember *m) noexcept nogil
