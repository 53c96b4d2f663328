# Signals.

from libc.errno cimport EINVAL, EMFILE, ENFILE, ENOMEM
from libc.stdlib cimport free, malloc

from qemu_mainloop._core.bh cimport bh_schedule
from qemu_mainloop._core.fork cimport ForkMember, fork_generation, fork_join
from qemu_mainloop._core.fdtable cimport FD_INTERNAL
from qemu_mainloop._core.iohandler cimport fd_table_set
from qemu_mainloop._sys.atomic cimport (
    atomic_add_seq_int, atomic_exchange_seq_ptr, atomic_load_acquire_ptr, atomic_load_seq_int,
    cpu_relax)
from qemu_mainloop._sys.fdsource cimport (
    SIGNAL_COUNT, SignalAction, SignalInfo, SignalSet, signal_deliver, signal_source_open,
    signal_source_read, signal_source_set, signal_trap_install, signal_trap_restore,
    signals_give_back, signals_take, source_close)
from qemu_mainloop._sys.thread cimport Mutex, mutex_init, mutex_lock, mutex_unlock

cdef enum:
    MOST_SIGNALS = 65

# ---- the main loop's signals

cdef int source_fd = -1
cdef int generation              # of forks, when it was opened: who is the main loop's process
cdef FdTable *attached = NULL
cdef SignalSet taken             # what this process blocked, and gives back after a fork
cdef ForkMember fork_member


cdef void on_signals(void *opaque) noexcept nogil:
    cdef SignalInfo info
    cdef int signo = signal_source_read(source_fd, &info)
    while signo:
        signal_deliver(signo, &info)
        signo = signal_source_read(source_fd, &info) if source_fd >= 0 else 0


cdef int signals_attach(FdTable *t) noexcept nogil:
    global source_fd, attached, generation
    cdef SignalSet wanted
    cdef int rc
    if source_fd >= 0 and generation == fork_generation:
        return 0
    signals_drop(attached)
    signals_take(&taken)
    signal_source_set(&wanted)
    source_fd = signal_source_open(&wanted)
    if (source_fd < 0 and source_fd != -EMFILE and source_fd != -ENFILE
            and source_fd != -ENOMEM):
        # No signalfd here, or it is forbidden: blocking what nobody reads would lose it.
        source_fd = -1
        signals_give_back(&taken)
        return 0
    rc = source_fd
    if rc >= 0:
        rc = fd_table_set(t, source_fd, FD_INTERNAL, on_signals, NULL, NULL, NULL, NULL, False)
    if rc < 0:
        if source_fd >= 0:
            source_close(source_fd, False)
        source_fd = -1
        signals_give_back(&taken)
        return rc
    attached = t
    generation = fork_generation
    return 0


cdef void signals_drop(FdTable *t) noexcept nogil:
    # This process gave the signals back when it was forked.
    global source_fd
    if source_fd >= 0 and generation != fork_generation and attached == t:
        fd_table_set(t, source_fd, FD_INTERNAL, NULL, NULL, NULL, NULL, NULL, False)
        source_close(source_fd, True)
        source_fd = -1


# ---- trapped signals

cdef struct Trap:
    QEMUBH *bh
    Trap *below              # gets the signal when this one goes

cdef Trap *traps[MOST_SIGNALS]           # the last one made is on top
cdef QEMUBH *scheduled[MOST_SIGNALS]     # its bottom half, for the handler
cdef SignalAction before[MOST_SIGNALS]
cdef int in_handler = 0
cdef Mutex traps_lock


cdef void on_trap(int signo) noexcept nogil:
    # signal_untrap first takes the bottom half away, then waits for this count.
    cdef QEMUBH *bh
    atomic_add_seq_int(&in_handler, 1)
    bh = <QEMUBH *> atomic_load_acquire_ptr(&scheduled[signo])
    if bh != NULL:
        bh_schedule(bh)
    atomic_add_seq_int(&in_handler, -1)


cdef bint is_signal(int signo) noexcept nogil:
    return 0 < signo < SIGNAL_COUNT and signo < MOST_SIGNALS


cdef void wait_for_handlers() noexcept nogil:
    # Of other threads, a few instructions long; one of this thread has ended by now.
    while atomic_load_seq_int(&in_handler):
        cpu_relax()


cdef int signal_trap(int signo, QEMUBH *bh) noexcept nogil:
    cdef Trap *trap
    cdef QEMUBH *covered
    cdef SignalAction old
    cdef int rc
    if not is_signal(signo):
        return -EINVAL
    trap = <Trap *> malloc(sizeof(Trap))
    if trap == NULL:
        return -ENOMEM
    mutex_lock(&traps_lock)
    covered = <QEMUBH *> atomic_exchange_seq_ptr(&scheduled[signo], bh)
    rc = signal_trap_install(signo, on_trap, &old)
    if rc < 0:
        atomic_exchange_seq_ptr(&scheduled[signo], covered)
        free(trap)
    else:
        if covered == NULL:
            before[signo] = old
        trap.bh = bh
        trap.below = traps[signo]
        traps[signo] = trap
    wait_for_handlers()
    mutex_unlock(&traps_lock)
    return rc


cdef void signal_untrap(int signo, QEMUBH *bh) noexcept nogil:
    cdef Trap **place
    cdef Trap *trap
    if not is_signal(signo):
        return
    mutex_lock(&traps_lock)
    place = &traps[signo]
    while place[0] != NULL and place[0].bh != bh:
        place = &place[0].below
    trap = place[0]
    if trap != NULL:
        place[0] = trap.below
        free(trap)
        if traps[signo] == NULL:
            signal_trap_restore(signo, &before[signo])
            atomic_exchange_seq_ptr(&scheduled[signo], NULL)
        else:
            atomic_exchange_seq_ptr(&scheduled[signo], traps[signo].bh)
    wait_for_handlers()
    mutex_unlock(&traps_lock)


# ---- fork

cdef void lock_traps(void *owner) noexcept nogil:
    mutex_lock(&traps_lock)


cdef void unlock_traps(void *owner) noexcept nogil:
    mutex_unlock(&traps_lock)


cdef void in_child(void *owner) noexcept nogil:
    # The child is not the main loop's process: its signals are its own again, until it
    # calls for them.  A child's child has had them back already.
    global in_handler
    in_handler = 0
    if source_fd >= 0 and generation == fork_generation - 1:
        signals_give_back(&taken)


mutex_init(&traps_lock)
fork_member.lock = lock_traps
fork_member.unlock = unlock_traps
fork_member.child = in_child
fork_join(&fork_member)
