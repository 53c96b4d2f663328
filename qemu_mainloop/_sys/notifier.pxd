# A kernel object that one thread sets and another one polls (eventfd or pipe).


cdef extern from "qemu_mainloop/_sys/notifier.h" nogil:
    ctypedef struct Notifier:
        int read_fd                      # -1: none
    int notifier_open(Notifier *n)       # 0, -EMFILE, -ENFILE, -ENOMEM
    void notifier_close(Notifier *n)
    void notifier_set(const Notifier *n)     # signal-safe, leaves errno alone
    void notifier_clear(const Notifier *n)
