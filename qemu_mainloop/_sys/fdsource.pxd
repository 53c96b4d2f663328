# Events of the system as descriptors: exited child, time, wall clock, signals.

from libc.stdint cimport int64_t

from qemu_mainloop._sys.posix cimport pid_t


cdef extern from "qemu_mainloop/_sys/fdsource.h" nogil:
    ctypedef struct SignalSet:
        pass
    ctypedef struct SignalInfo:
        pass
    ctypedef struct SignalAction:
        pass
    enum: SIGNAL_COUNT "NSIG"

    int pidfd_open_child(pid_t pid)
    int timerfd_open()
    int timerfd_arm(int fd, int64_t expire_ns)
    void timerfd_clear(int fd)
    # of_parent: this is a forked child, and opened was it before.
    void source_close(int fd, bint of_parent)
    int wall_clock_watch_open()
    int wall_clock_watch_arm(int fd)

    int signal_source_open(const SignalSet *set)
    int signal_source_read(int fd, SignalInfo *info)
    void signal_source_set(SignalSet *set)
    void signal_deliver(int signo, SignalInfo *info)
    void signals_take(SignalSet *added)
    void signals_give_back(const SignalSet *added)
    int signal_trap_install(int signo, void (*handler)(int) noexcept nogil, SignalAction *before)
    void signal_trap_restore(int signo, const SignalAction *before)
