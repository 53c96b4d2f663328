"""The export and the sockets it is reached by, as an object for Python.

Python opens, configures and closes; every byte is moved by callbacks that the main
loop calls without the GIL.
"""

cimport cython
from libc.errno cimport EAGAIN, ECONNABORTED, EINTR, errno
from libc.stdint cimport int64_t, uint32_t
from libc.string cimport memcpy, strerror

from nbd_export.client cimport Clients, client_add, clients_close
from nbd_export.disk cimport disk_close, disk_flush, disk_open_file, disk_open_memory
from nbd_export.export cimport EXPORT_NAME_LIMIT_BYTES, Export
from nbd_export.sockets cimport (
    IPPROTO_TCP, SO_KEEPALIVE, SOCK_CLOEXEC, SOCK_NONBLOCK, SOL_SOCKET, TCP_NODELAY, accept4,
    setsockopt)
from qemu_mainloop.main_loop cimport (
    qemu_mutex_iothread_locked, qemu_mutex_lock_iothread, qemu_mutex_unlock_iothread,
    qemu_set_fd_handler2)
from qemu_mainloop.timer cimport (
    QEMU_CLOCK_REALTIME, QEMUTimer, qemu_clock_get_ms, timer_free, timer_mod, timer_new_ms,
    timer_pending)

cdef enum:
    LISTENERS_LIMIT = 16
    ACCEPTS_PER_TURN = 16
    ACCEPT_PAUSE_MS = 200

cdef struct Server:
    Clients clients
    uint32_t clients_limit
    QEMUTimer *accept_pause

cdef struct Listener:
    Server *server
    int fd


# Asked before every wait: a full server leaves newcomers in the socket's backlog.
cdef int listener_can_accept(void *opaque) noexcept nogil:
    cdef Server *server = (<Listener *> opaque).server
    return (server.clients.count < server.clients_limit
            and not timer_pending(server.accept_pause))


# Handler: somebody wants to connect.
cdef void listener_readable(void *opaque) noexcept nogil:
    cdef Listener *listener = <Listener *> opaque
    cdef Server *server = listener.server
    cdef int fd, on = 1, _attempt
    for _attempt in range(ACCEPTS_PER_TURN):
        if server.clients.count >= server.clients_limit:
            return
        fd = accept4(listener.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)
        if fd < 0:
            if errno != EAGAIN and errno != EINTR and errno != ECONNABORTED:
                server_pause(server)
            return
        # Replies are sent whole, so there is nothing to be gained by holding them back.
        # Neither call can fail in a way that matters; on a UNIX socket the first one does.
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on))
        setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on))
        if client_add(&server.clients, fd) < 0:
            server_pause(server)
            return


# Out of descriptors or memory: the socket stays readable, so do not look for a while.
cdef void server_pause(Server *server) noexcept nogil:
    timer_mod(server.accept_pause, qemu_clock_get_ms(QEMU_CLOCK_REALTIME) + ACCEPT_PAUSE_MS)


# Timer: that one has fired is all listener_can_accept() wants to know.
cdef void server_pause_over(void *opaque) noexcept nogil:
    pass


# From here on with the GIL: what Python calls.  The iothread lock keeps the main
# loop's callbacks out, should it be running in another thread.

cdef bint callbacks_lock() noexcept nogil:
    if qemu_mutex_iothread_locked():
        return False
    qemu_mutex_lock_iothread()
    return True


cdef void callbacks_unlock(bint locked) noexcept nogil:
    if locked:
        qemu_mutex_unlock_iothread()


# no_gc_clear: the file and the sockets stay open until __dealloc__() has let go of them.
@cython.no_gc_clear
cdef class ExportServer:
    """An export of *size_bytes* of memory, or of the file *file*.

    The process's main loop must have been made: ``qemu_mainloop.main_loop()``.
    """

    cdef Server server
    cdef Listener[LISTENERS_LIMIT] listeners
    cdef int listener_count
    cdef object file
    cdef list sockets

    def __cinit__(self, name="", *, size_bytes=None, file=None, bint read_only=False,
                  uint32_t max_clients=128, double handshake_timeout=10.0):
        cdef bytes name_bytes = name.encode()
        self.server.clients.export.disk.fd = -1
        if len(name_bytes) > EXPORT_NAME_LIMIT_BYTES or b"\0" in name_bytes:
            raise ValueError("an export's name has at most 256 bytes, none of them zero")
        if (size_bytes is None) == (file is None):
            raise ValueError("either size_bytes or file must be given")
        if max_clients < 1 or not 0.001 <= handshake_timeout <= 86400:
            raise ValueError("max_clients or handshake_timeout is out of range")
        self.sockets = []
        self.file = file
        self.server.clients_limit = max_clients
        self.server.clients.handshake_timeout_ms = <int64_t> (handshake_timeout * 1000)
        self.server.clients.export.read_only = read_only
        self.server.clients.export.name_bytes = len(name_bytes)
        memcpy(self.server.clients.export.name, <const char *> name_bytes, len(name_bytes))
        self._open_disk(size_bytes)
        self.server.accept_pause = timer_new_ms(
            QEMU_CLOCK_REALTIME, server_pause_over, &self.server)
        if self.server.accept_pause == NULL:
            raise RuntimeError("no main loop: call qemu_mainloop.main_loop() first")

    cdef _open_disk(self, size_bytes):
        cdef int result
        if self.file is None:
            result = disk_open_memory(&self.server.clients.export.disk, size_bytes)
        else:
            result = disk_open_file(&self.server.clients.export.disk, self.file.fileno())
        if result < 0:
            raise OSError(-result, strerror(-result).decode())

    def __dealloc__(self):
        self._close()

    @property
    def size_bytes(self):
        return self.server.clients.export.disk.size_bytes

    @property
    def client_count(self):
        return self.server.clients.count

    def listen(self, socket):
        """Accept clients from the listening *socket*, which is kept until close()."""
        cdef int result
        cdef Listener *listener
        if self.server.accept_pause == NULL:
            raise RuntimeError("the export is closed")
        if self.listener_count == LISTENERS_LIMIT:
            raise ValueError("too many listening sockets")
        socket.setblocking(False)
        listener = &self.listeners[self.listener_count]
        listener.server = &self.server
        listener.fd = socket.fileno()
        result = qemu_set_fd_handler2(
            listener.fd, listener_can_accept, listener_readable, NULL, listener)
        if result < 0:
            raise OSError(-result, strerror(-result).decode())
        self.listener_count += 1
        self.sockets.append(socket)

    def close(self):
        """Leave every client and the listening sockets, and flush the file.

        A flush that fails raises OSError; all is closed nevertheless.
        """
        cdef int result = self._close()
        self.sockets.clear()
        self.file = None
        if result < 0:
            raise OSError(-result, strerror(-result).decode())

    cdef int _close(self) noexcept:
        cdef int i, result = 0
        cdef bint locked
        cdef Export *export = &self.server.clients.export
        with nogil:
            locked = callbacks_lock()
            for i in range(self.listener_count):
                qemu_set_fd_handler2(self.listeners[i].fd, NULL, NULL, NULL, NULL)
            self.listener_count = 0
            clients_close(&self.server.clients)
            timer_free(self.server.accept_pause)
            self.server.accept_pause = NULL
            if export.disk.fd >= 0 and not export.read_only:
                result = disk_flush(&export.disk)
            disk_close(&export.disk)
            callbacks_unlock(locked)
        return result
