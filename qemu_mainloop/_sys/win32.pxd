# Waiting for sockets and for handles of Windows.

from libc.stdint cimport int64_t, uint32_t, uintptr_t


cdef extern from "qemu_mainloop/_sys/win32.h" nogil:
    ctypedef void *Handle "HANDLE"
    Handle fd_handle(int fd)
    # What stands for the thread's signal mask here.
    ctypedef struct Interrupts "SignalMask":
        Handle interrupt         # NULL: nothing ends the wait

    ctypedef struct AfdSocket:
        uintptr_t handle
        uint32_t events
    ctypedef struct AfdList:
        uint32_t count
        AfdSocket *sockets
    ctypedef struct AfdRequest:
        Handle done

    int winsock_start()
    int afd_open(AfdRequest *r)
    void afd_close(AfdRequest *r)
    size_t afd_size(uint32_t count)
    uint32_t afd_events(int events)
    int afd_poll_events(uint32_t events, int wanted)
    uintptr_t afd_base(int fd)
    int afd_ask(AfdRequest *r, AfdList *asked, AfdList *found, int64_t timeout)
    void afd_end(AfdRequest *r, AfdList *found)

    enum: WAIT_MOST              # handles that one wait takes
    enum: WAIT_NOTHING
    enum: WAIT_NOT_POSSIBLE
    Handle event_open(bint stays)
    bint event_set "SetEvent"(Handle event)
    bint event_reset "ResetEvent"(Handle event)
    bint handle_close(Handle h)
    int handles_wait(Handle *handles, int n, int ms)
    bint handle_stays(Handle h)
    void handle_give_back(Handle h)
    Handle timer_open()
    void timer_arm_in(Handle timer, int64_t ns)
