# The registry of fdmons.

from libc.errno cimport EINVAL
from libc.string cimport memset, strcmp

from qemu_mainloop._sys.errno cimport ENOTSUP

cdef enum:
    MOST = 8

cdef const FDMonOps *registered[MOST]
cdef int count = 0


cdef void fdmon_register(const FDMonOps *ops) noexcept nogil:
    global count
    if count < MOST:
        registered[count] = ops
        count += 1


cdef const FDMonOps *fdmon_at(int i) noexcept nogil:
    return registered[i] if i < count else NULL


cdef const FDMonOps *fdmon_find(const char *name) noexcept nogil:
    cdef int i
    for i in range(count):
        if strcmp(registered[i].name, name) == 0:
            return registered[i]
    return NULL


cdef bint is_known(const char *name) noexcept nogil:
    return (strcmp(name, b"adaptive") == 0 or strcmp(name, b"epoll") == 0
            or strcmp(name, b"io_uring") == 0 or strcmp(name, b"poll") == 0
            or strcmp(name, b"kqueue") == 0 or strcmp(name, b"win32") == 0)


cdef int try_open(FDMon *mon, const FDMonOps *ops) noexcept nogil:
    cdef int rc = ops.open(mon)
    mon.ops = ops if rc == 0 else NULL
    return rc


cdef int fdmon_open(FDMon *mon, const char *name) noexcept nogil:
    cdef const FDMonOps *ops
    cdef int rc = -EINVAL
    cdef int i
    memset(mon, 0, sizeof(FDMon))
    if name != NULL:
        ops = fdmon_find(name)
        if ops != NULL:
            return try_open(mon, ops)
        return -ENOTSUP if is_known(name) else -EINVAL
    for i in range(count):
        rc = try_open(mon, registered[i])
        if rc == 0:
            break
    return rc


cdef void fdmon_close(FDMon *mon) noexcept nogil:
    if mon.ops != NULL:
        mon.ops.close(mon)
        mon.ops = NULL
