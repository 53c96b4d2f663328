# The transmission phase: requests, one after the other, from a client's stream.
#
# A client may have as many requests under way as it likes.  Those that have not
# been received wait in its socket, so what one client costs in memory is fixed.

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from nbd_export.export cimport Export
from nbd_export.stream cimport Stream, Verdict

cdef enum:
    BOUNCE_BYTES = 262144
    # What a request costs of a turn's budget besides its bytes.
    REQUEST_COST_BYTES = 16384

ctypedef enum Activity:
    AWAIT_REQUEST
    TAKE_PAYLOAD        # a WRITE's payload is arriving
    READ_FILE           # a READ's reply does not fit the staging area at once
    ERASE               # TRIM, WRITE_ZEROES


cdef struct Transmission:
    Activity activity
    # The request at work; offset and length are what is left to do of it.
    uint16_t flags
    uint16_t command
    uint64_t cookie             # as on the wire: only the client understands it
    uint64_t offset
    uint32_t length
    uint32_t error              # the payload is thrown away, then this is the answer
    bint long_payload
    # A file's payload is collected here, so that it takes few pwrite() calls.
    uint8_t *bounce             # BOUNCE_BYTES; NULL for a RAM disk
    uint32_t bounce_used

cdef int transmission_open(Transmission *transmission, bint with_bounce) noexcept nogil
cdef void transmission_close(Transmission *transmission) noexcept nogil
# Does one bounded piece of work and takes it off the budget.
cdef Verdict transmission_step(Transmission *transmission, Stream *stream, Export *export,
                               int64_t *budget_bytes) noexcept nogil
# Where payload had best be received straight to, and how much (0: nowhere); and
# what the caller says when length bytes have arrived there.
cdef uint8_t *transmission_target(Transmission *transmission, Export *export,
                                  size_t *target_bytes) noexcept nogil
cdef void transmission_received(Transmission *transmission, Export *export,
                                uint32_t length) noexcept nogil
