# The handshake: greeting, client flags, then options until one of them chooses
# the export.

from libc.stdint cimport uint32_t

from nbd_export.export cimport Export
from nbd_export.stream cimport Stream, Verdict


cdef struct Handshake:
    bint flags_received
    bint fixed_newstyle         # what the client's flags agreed to
    bint no_zeroes
    uint32_t option             # an option that is too long to look at, and how much of
    uint32_t skip_bytes         # its data is still to come
    bint done                   # requests follow

cdef void handshake_greet(Handshake *handshake, Stream *stream) noexcept nogil
# Does one thing that the client has asked for, if all of it is there.
cdef Verdict handshake_step(Handshake *handshake, Stream *stream,
                            const Export *export) noexcept nogil
