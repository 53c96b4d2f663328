# The clients of an export, each driven by callbacks of the main loop.

from libc.stdint cimport int64_t, uint32_t

from nbd_export.export cimport Export
from nbd_export.handshake cimport Handshake
from nbd_export.stream cimport Stream
from nbd_export.transmission cimport Transmission
from qemu_mainloop.main_loop cimport QEMUBH
from qemu_mainloop.timer cimport QEMUTimer


cdef struct Clients:
    Export export
    int64_t handshake_timeout_ms
    uint32_t count
    Client *first

cdef struct Client:
    Clients *clients
    Client *next
    Client *previous
    # What the main loop watches the socket for at present.
    bint watched_for_input
    bint watched_for_output
    bint hanging_up
    QEMUBH *next_turn
    QEMUTimer *handshake_timer      # NULL once requests may come
    Stream stream
    Handshake handshake
    Transmission transmission

# Adds the client behind a non-blocking socket, which belongs to it from then on, and
# greets it.  Errors: -ENOMEM: the socket is closed again.
cdef int client_add(Clients *clients, int fd) noexcept nogil
cdef void clients_close(Clients *clients) noexcept nogil
