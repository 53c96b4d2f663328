# Two hundred sockets and two hundred events, registered, signalled and called from C.

from libc.stdint cimport intptr_t

from qemu_mainloop.main_loop cimport (
    HANDLE, main_loop_wait, qemu_add_wait_object, qemu_del_wait_object, qemu_init_main_loop,
    qemu_mutex_unlock_iothread, qemu_set_fd_handler)

cdef extern from *:
    """
    #include <winsock2.h>
    #include <windows.h>

    static struct sockaddr_in at[200];

    static int make_socket(int i)
    {
        SOCKET s = socket(AF_INET, SOCK_DGRAM, 0);
        int size = sizeof at[i];

        at[i].sin_family = AF_INET;
        at[i].sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        at[i].sin_port = 0;
        bind(s, (struct sockaddr *)&at[i], size);
        getsockname(s, (struct sockaddr *)&at[i], &size);
        return (int)s;
    }

    static void send_to(int from, int i)
    {
        sendto((SOCKET)from, "x", 1, 0, (struct sockaddr *)&at[i], sizeof at[i]);
    }

    static void take_from(int s)
    {
        char byte;

        recv((SOCKET)s, &byte, 1, 0);
    }

    static void close_socket(int s)
    {
        closesocket((SOCKET)s);
    }

    static HANDLE make_event(void)
    {
        return CreateEventW(NULL, FALSE, FALSE, NULL);
    }
    """
    int make_socket(int i) nogil
    void send_to(int sender, int i) nogil
    void take_from(int s) nogil
    void close_socket(int s) nogil
    HANDLE make_event() nogil
    int SetEvent(HANDLE event) nogil
    int CloseHandle(HANDLE event) nogil

cdef enum:
    MANY = 200

cdef int sockets[MANY]
cdef HANDLE events[MANY]
cdef int socket_calls[MANY]
cdef int event_calls[MANY]


cdef void on_socket(void *opaque) noexcept nogil:
    cdef int i = <int> <intptr_t> opaque
    take_from(sockets[i])
    socket_calls[i] += 1


cdef void on_event(void *opaque) noexcept nogil:
    event_calls[<intptr_t> opaque] += 1


def open():
    cdef int i
    if qemu_init_main_loop() < 0:
        raise OSError
    for i in range(MANY):
        sockets[i] = make_socket(i)
        events[i] = make_event()
        if qemu_set_fd_handler(sockets[i], on_socket, NULL, <void *> <intptr_t> i) < 0:
            raise OSError
        if qemu_add_wait_object(events[i], on_event, <void *> <intptr_t> i) < 0:
            raise OSError


def signal(some_sockets, some_events):
    """Signals them, and iterates until as many were called; which ones, and how often."""
    cdef int i
    cdef int wanted = len(some_sockets) + len(some_events)
    cdef int called = 0
    for i in range(MANY):
        socket_calls[i] = event_calls[i] = 0
    for i in some_sockets:
        send_to(sockets[0], i)
    for i in some_events:
        SetEvent(events[i])
    with nogil:
        while called < wanted:
            called += main_loop_wait(0)
        called += main_loop_wait(1)
    return ({i: socket_calls[i] for i in range(MANY) if socket_calls[i]},
            {i: event_calls[i] for i in range(MANY) if event_calls[i]}, called)


def close():
    cdef int i
    for i in range(MANY):
        qemu_set_fd_handler(sockets[i], NULL, NULL, NULL)
        qemu_del_wait_object(events[i], NULL, NULL)
        close_socket(sockets[i])
        CloseHandle(events[i])
    qemu_mutex_unlock_iothread()
