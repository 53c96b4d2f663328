# The main loop's descriptors under a select() of our own.

from libc.string cimport memset
from posix.unistd cimport close

from qemu_mainloop.iohandler cimport (
    fd_set, qemu_fd_register, qemu_iohandler_fill, qemu_iohandler_poll)
from qemu_mainloop.main_loop cimport (
    QEMUBH, qemu_bh_delete, qemu_bh_new, qemu_bh_poll, qemu_bh_schedule,
    qemu_mutex_lock_iothread, qemu_mutex_unlock_iothread, qemu_set_fd_handler)

cdef extern from "<sys/select.h>" nogil:
    enum: FD_SETSIZE
    void FD_ZERO(fd_set *s)
    void FD_SET(int fd, fd_set *s)
    bint FD_ISSET(int fd, fd_set *s)
    int select(int n, fd_set *r, fd_set *w, fd_set *x, void *timeout)

cdef extern from "<fcntl.h>" nogil:
    enum: F_DUPFD_CLOEXEC
    int fcntl(int fd, int command, ...)

cdef extern from "<sys/eventfd.h>" nogil:
    int eventfd(unsigned int count, int flags)

cdef struct Sets:
    fd_set r
    fd_set w
    fd_set x
    unsigned char canary[64]

cdef int reads = 0
cdef int writes = 0
cdef int bottom_halves = 0


cdef void on_read(void *opaque) noexcept nogil:
    global reads
    reads += 1


cdef void on_write(void *opaque) noexcept nogil:
    global writes
    writes += 1


cdef void on_bh(void *opaque) noexcept nogil:
    global bottom_halves
    bottom_halves += 1


cdef void begin(Sets *s) noexcept nogil:
    global reads, writes, bottom_halves
    reads = writes = bottom_halves = 0
    FD_ZERO(&s.r)
    FD_ZERO(&s.w)
    FD_ZERO(&s.x)
    memset(s.canary, 0x5a, sizeof(s.canary))


cdef bint canary_lives(Sets *s) noexcept nogil:
    for i in range(<int> sizeof(s.canary)):
        if s.canary[i] != 0x5a:
            return False
    return True


def round_trip(int readable):
    """One turn of somebody else's loop: (nfds is the fd, reads, writes, bottom halves)."""
    cdef Sets s
    cdef QEMUBH *bh
    cdef int nfds = -1
    cdef int fd, rc
    with nogil:
        begin(&s)
        qemu_mutex_lock_iothread()
        bh = qemu_bh_new(on_bh, NULL)
        qemu_bh_schedule(bh)
        fd = eventfd(1 if readable else 0, 0)
        qemu_fd_register(fd)
        qemu_set_fd_handler(fd, on_read, on_write, NULL)
        qemu_iohandler_fill(&nfds, &s.r, &s.w, &s.x)
        rc = select(nfds + 1, &s.r, &s.w, &s.x, NULL)
        qemu_iohandler_poll(&s.r, &s.w, &s.x, rc)
        qemu_bh_poll()
        qemu_set_fd_handler(fd, NULL, NULL, NULL)
        qemu_bh_delete(bh)
        qemu_mutex_unlock_iothread()
        close(fd)
    return nfds >= fd, reads, writes, bottom_halves


def fill_keeps_what_is_there():
    """nfds stays when it is higher, and a member of a set that is somebody else's stays."""
    cdef Sets s
    cdef int nfds = FD_SETSIZE - 1
    with nogil:
        begin(&s)
        FD_SET(FD_SETSIZE - 1, &s.w)
        qemu_mutex_lock_iothread()
        qemu_iohandler_fill(&nfds, &s.r, &s.w, &s.x)
        qemu_mutex_unlock_iothread()
    return nfds == FD_SETSIZE - 1, FD_ISSET(FD_SETSIZE - 1, &s.w)


def poll_of_nothing(int rc):
    """How often the handler of a descriptor in the sets runs when select() gave rc."""
    cdef Sets s
    cdef int fd
    cdef int nfds = -1
    with nogil:
        begin(&s)
        qemu_mutex_lock_iothread()
        fd = eventfd(1, 0)
        qemu_set_fd_handler(fd, on_read, NULL, NULL)
        qemu_iohandler_fill(&nfds, &s.r, &s.w, &s.x)
        qemu_iohandler_poll(&s.r, &s.w, &s.x, rc)
        qemu_set_fd_handler(fd, NULL, NULL, NULL)
        qemu_mutex_unlock_iothread()
        close(fd)
    return reads


def beyond_the_set():
    """A descriptor from FD_SETSIZE on: (was there one, nfds fits, the canary lives, reads)."""
    cdef Sets s
    cdef int nfds = -1
    cdef int low, high, rc
    with nogil:
        begin(&s)
        qemu_mutex_lock_iothread()
        low = eventfd(1, 0)
        high = fcntl(low, F_DUPFD_CLOEXEC, FD_SETSIZE + 8)
        qemu_set_fd_handler(low, on_read, NULL, NULL)
        qemu_set_fd_handler(high, on_write, on_write, NULL)
        qemu_iohandler_fill(&nfds, &s.r, &s.w, &s.x)
        rc = select(nfds + 1, &s.r, &s.w, &s.x, NULL)
        qemu_iohandler_poll(&s.r, &s.w, &s.x, rc)
        qemu_set_fd_handler(low, NULL, NULL, NULL)
        qemu_set_fd_handler(high, NULL, NULL, NULL)
        qemu_mutex_unlock_iothread()
        close(low)
        close(high)
    return high >= FD_SETSIZE, nfds < FD_SETSIZE, canary_lives(&s), reads, writes
