# How a loop is woken; the test is the sleeper and the waker.

from libc.stdint cimport uintptr_t
from libc.string cimport memset

from qemu_mainloop._core.fork cimport fork_generation
from qemu_mainloop._core.wakeup cimport (
    Wakeup, wakeup_accept, wakeup_end_sleep, wakeup_is_mine, wakeup_is_notified, wakeup_kick,
    wakeup_notify, wakeup_notify_others, wakeup_prepare_sleep)
from qemu_mainloop._sys.notifier cimport notifier_clear, notifier_close, notifier_open
from qemu_mainloop._sys.thread cimport thread_self


cdef class Sleeper:
    cdef Wakeup w

    def __cinit__(self):
        memset(&self.w, 0, sizeof(Wakeup))
        if notifier_open(&self.w.notifier) < 0:
            raise OSError
        self.w.generation = fork_generation

    def close(self):
        notifier_close(&self.w.notifier)

    def prepare_sleep(self):
        wakeup_prepare_sleep(&self.w)

    def end_sleep(self):
        wakeup_end_sleep(&self.w)

    def accept(self):
        wakeup_accept(&self.w)

    def clear(self):
        notifier_clear(&self.w.notifier)

    def kick(self):
        with nogil:
            wakeup_kick(&self.w)

    def notify(self):
        with nogil:
            wakeup_notify(&self.w)

    def notify_others(self):
        with nogil:
            wakeup_notify_others(&self.w)

    def is_notified(self):
        return wakeup_is_notified(&self.w)

    def is_mine(self):
        return wakeup_is_mine(&self.w)

    def claim(self):
        self.w.poller = thread_self()

    def claim_for_another(self):
        self.w.poller = <uintptr_t> 1

    def set_hosted(self, bint hosted):
        self.w.hosted = hosted

    def set_parents(self):
        self.w.generation = fork_generation - 1

    @property
    def notifier(self):
        return self.w.notifier.read_fd
