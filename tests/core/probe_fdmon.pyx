# An fdmon without a table above it.

from libc.stdint cimport int64_t, uint32_t
from libc.stdlib cimport calloc, free

from qemu_mainloop._core.fdmon cimport (
    FDMon, FDMonOps, FDReady, fdmon_at, fdmon_close, fdmon_find, fdmon_open)
from qemu_mainloop._sys.posix cimport POLLERR, POLLHUP, POLLIN, POLLNVAL, POLLOUT
from qemu_mainloop._sys.thread cimport (
    SignalMask, signal_mask_block_all, signal_mask_restore)

cdef extern from "signal.h" nogil:
    int raise_ "raise"(int signo)

IN, OUT, ERR, HUP, NVAL = POLLIN, POLLOUT, POLLERR, POLLHUP, POLLNVAL


def registered():
    """The names in their order."""
    names = []
    cdef const FDMonOps *ops = fdmon_at(0)
    while ops != NULL:
        assert fdmon_find(ops.name) == ops
        names.append(ops.name.decode())
        ops = fdmon_at(len(names))
    return names


cdef class Mon:
    cdef FDMon mon

    def open(self, name):
        """None: the first that can be had."""
        cdef bytes encoded
        if name is None:
            return fdmon_open(&self.mon, NULL)
        encoded = name.encode()
        return fdmon_open(&self.mon, encoded)

    def close(self):
        fdmon_close(&self.mon)

    def is_open(self):
        return self.mon.ops != NULL

    @property
    def name(self):
        return self.mon.ops.name.decode()

    def update(self, int fd, uint32_t tag, int now, int wanted):
        return self.mon.ops.update(&self.mon, fd, tag, now, wanted)

    def detach(self, int fd):
        return self.mon.ops.detach(&self.mon, fd)

    def fileno(self):
        return self.mon.ops.fileno(&self.mon)

    def has_hidden(self):
        return self.mon.ops.has_hidden(&self.mon)

    def rebuild(self):
        return self.mon.ops.rebuild(&self.mon)

    cdef wait_(self, int64_t timeout_ns, const SignalMask *mask, int max_):
        cdef FDReady *ready = <FDReady *> calloc(max_, sizeof(FDReady))
        cdef int n, i
        if ready == NULL:
            raise MemoryError
        with nogil:
            n = self.mon.ops.wait(&self.mon, timeout_ns, mask, ready, max_)
        try:
            assert n <= max_
            if n < 0:
                return n
            return sorted([(ready[i].fd, ready[i].tag, ready[i].events) for i in range(n)])
        finally:
            free(ready)

    def wait(self, int64_t timeout_ns=0, int max=64):
        """[(fd, tag, events)], or a negative errno."""
        return self.wait_(timeout_ns, NULL, max)

    def wait_for_signal(self, int64_t timeout_ns, int signo):
        """The signal is pending and blocked before; the wait lets it through."""
        cdef SignalMask before
        signal_mask_block_all(&before)
        raise_(signo)
        try:
            return self.wait_(timeout_ns, &before, 64)
        finally:
            signal_mask_restore(&before)
