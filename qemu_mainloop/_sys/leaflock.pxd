# The lock of a context: cheap, and a leaf.


cdef extern from "qemu_mainloop/_sys/leaflock.h" nogil:
    ctypedef struct LeafLock:
        pass

    void leaf_init(LeafLock *l)
    void leaf_lock(LeafLock *l)
    void leaf_unlock(LeafLock *l)
    void leaf_repair(LeafLock *l)
