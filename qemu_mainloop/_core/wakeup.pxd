# How other threads and signal handlers wake a loop, and how it falls asleep.
#
#   waker                                sleeper
#   W1 publish work, or notified = 1     S1 notify_me = 1
#   W2 full fence                        S2 full fence
#   W3 notify_me? write the eventfd      S3 any work, or notified? do not block
#                                        S4 wait in the kernel, then notify_me = 0
#
# W2 and S2 order each side's store before its load, so at least one of the two
# sees the other: no wake-up is lost, and a loop that is awake costs its wakers no
# system call.  The write is not skipped because notified is set already: the
# thread that set it may not have got to W3.
#
# notified is sticky and is cleared after the wait and before anything is looked
# at, so that a notification from a callback makes the next wait return.

from libc.stdint cimport uintptr_t

from qemu_mainloop._core.fork cimport fork_generation
from qemu_mainloop._sys.atomic cimport (
    atomic_exchange_seq_int, atomic_load_int, atomic_load_seq_int, atomic_load_seq_size,
    atomic_store_int)
from qemu_mainloop._sys.notifier cimport Notifier, notifier_set
from qemu_mainloop._sys.thread cimport thread_self


cdef struct Wakeup:
    uintptr_t poller             # the thread that is in an iteration; 0: none
    char apart[56]               # what each iteration writes is not where wakers look
    int notify_me                # the loop sleeps, or is about to
    int notified                 # somebody called wakeup_notify since it last looked
    int generation               # of forks; the notifier is the parent's if it is another
    int hosted                   # another loop watches us: asleep outside iterations
    Notifier notifier            # and behind it, on the same cache line, the queue's top


# W3, for work whose publication was a full fence (W1, W2).
cdef inline void wakeup_kick(Wakeup *w) noexcept nogil:
    # Pairs with the exchange in wakeup_prepare_sleep.
    if atomic_load_seq_int(&w.notify_me) and w.generation == fork_generation:
        notifier_set(&w.notifier)


cdef inline void wakeup_notify(Wakeup *w) noexcept nogil:
    # Pairs with the load in wakeup_is_notified after wakeup_prepare_sleep.
    atomic_exchange_seq_int(&w.notified, 1)
    wakeup_kick(w)


# For changes that the loop finds by itself before its next wait.
cdef inline void wakeup_notify_others(Wakeup *w) noexcept nogil:
    # Mine and on the way to sleep: a signal handler's doing, after the last look.
    if (atomic_load_int(&w.hosted) or atomic_load_seq_int(&w.notify_me)
            or not wakeup_is_mine(w)):
        wakeup_notify(w)


# True in the thread that is in an iteration, and in every thread if none is.
# For callers that changed something under the context's lock, or hold it: a poller
# takes that lock once between its claim and a wait that blocks, and before any other if the
# fd table is unsettled (fd_table_open).  Either it does so after the caller's turn, and
# finds the change; or before, and the caller finds the poller.
cdef inline bint wakeup_is_mine(Wakeup *w) noexcept nogil:
    cdef uintptr_t poller = atomic_load_seq_size(&w.poller)
    return poller == 0 or poller == thread_self()


cdef inline void wakeup_prepare_sleep(Wakeup *w) noexcept nogil:
    atomic_exchange_seq_int(&w.notify_me, 1)       # S1, S2: pairs with wakeup_kick


cdef inline void wakeup_end_sleep(Wakeup *w) noexcept nogil:
    # Not written for nothing: wakers read it.
    if atomic_load_int(&w.notify_me):
        atomic_store_int(&w.notify_me, 0)


cdef inline bint wakeup_is_notified(Wakeup *w) noexcept nogil:
    return atomic_load_seq_int(&w.notified)


cdef inline void wakeup_accept(Wakeup *w) noexcept nogil:
    # A full fence: what the notifier's thread did before is looked for after.
    if atomic_load_int(&w.notified):
        atomic_exchange_seq_int(&w.notified, 0)
