# kqueue(2): filters of descriptors, and what their events are as poll(2) bits.

from libc.stdint cimport int64_t, uint32_t


cdef extern from "qemu_mainloop/_sys/kqueue.h" nogil:
    ctypedef struct KEvent:
        pass

    int kqueue_open()
    # After -EINTR the changes are made.
    int kqueue_call(int kq, const KEvent *changes, int n, KEvent *events, int max,
                    int64_t timeout_ns)
    void kqueue_change(KEvent *e, int fd, int bit, bint wanted, uint32_t tag, bint receipt)
    int kqueue_suits(int fd)             # 1; 0: poll(2) shall serve it; -EBADF

    int kevent_fd(const KEvent *e)
    uint32_t kevent_tag(const KEvent *e)
    int kevent_bit(const KEvent *e)      # POLLIN, POLLOUT
    bint kevent_is_answer(const KEvent *e, int *error)
    int kevent_events(const KEvent *e)
