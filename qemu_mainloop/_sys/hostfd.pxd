# A descriptor that polls readable when one of several others does.


cdef extern from "qemu_mainloop/_sys/hostfd.h" nogil:
    int hostfd_open()                    # -ENOTSUP: there is no such thing here
    int hostfd_add(int host, int fd)
    void hostfd_remove(int host, int fd)
