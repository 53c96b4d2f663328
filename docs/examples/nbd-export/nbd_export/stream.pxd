# A client's socket with its two buffers, both of a fixed size.
#
# Input is received in large pieces, parsed in place and consumed.  Output is a
# list of slots for one sendmsg(): replies' headers, which are kept here, and data
# that lies elsewhere, in a RAM disk or in the staging area.

from libc.stdint cimport uint8_t, uint32_t
from posix.uio cimport iovec

cdef enum:
    INPUT_BYTES = 65536
    # As much as is received when payloads are so long that they had better go
    # straight to where they belong: enough for some headers.
    INPUT_SHORT_BYTES = 4096
    OUTPUT_SLOTS = 256
    OUTPUT_HEADER_BYTES = 4096
    STAGING_BYTES = 262144

# What a step of the protocol says to whoever drives it.
ctypedef enum Verdict:
    GO_ON               # something was done; there may be more to do
    NEED_INPUT          # what has been received is used up
    NEED_OUTPUT         # queued output must be sent first
    HANG_UP             # send what is queued, then close: the client is done, or talks nonsense
    DROP                # close at once: what would have to be sent cannot be had

ctypedef enum Sent:
    SENT_ALL
    SENT_BLOCKED        # the socket takes no more for now
    SENT_BROKEN


cdef struct Stream:
    int fd
    uint32_t input_start        # received and not consumed: input[input_start:input_end]
    uint32_t input_end
    uint32_t input_limit        # how much of the input buffer is used at present
    uint32_t slots_sent         # queued and not sent: slots[slots_sent:slots_used]
    uint32_t slots_used
    uint32_t header_used
    uint32_t staging_used
    uint8_t *staging            # STAGING_BYTES, or NULL
    iovec[OUTPUT_SLOTS] slots
    uint8_t[OUTPUT_HEADER_BYTES] header
    uint8_t[INPUT_BYTES] input

# Makes a stream of a non-blocking socket, which belongs to it from then on; -ENOMEM.
cdef int stream_open(Stream *stream, int fd, bint with_staging) noexcept nogil
cdef void stream_close(Stream *stream) noexcept nogil

# Receives once: into target as far as it goes (0: none), then into the input
# buffer.  Returns how much came; 0: the client has closed; a negative errno value.
cdef ssize_t stream_receive(Stream *stream, uint8_t *target, size_t target_bytes) noexcept nogil

# Room for length bytes of a reply's header, queued; stream_has_room() is asked before.
cdef uint8_t *stream_add_header(Stream *stream, uint32_t length) noexcept nogil
# Queues data that stays where it is until it is sent.
cdef void stream_add_data(Stream *stream, uint8_t *data, size_t length) noexcept nogil
cdef Sent stream_send(Stream *stream) noexcept nogil


cdef inline uint32_t stream_available(const Stream *stream) noexcept nogil:
    return stream.input_end - stream.input_start


# Valid until the next stream_receive().
cdef inline const uint8_t *stream_input(const Stream *stream) noexcept nogil:
    return stream.input + stream.input_start


cdef inline void stream_consume(Stream *stream, uint32_t length) noexcept nogil:
    stream.input_start += length


cdef inline bint stream_has_output(const Stream *stream) noexcept nogil:
    return stream.slots_sent < stream.slots_used


# For header_bytes in one header, and data in one slot.
cdef inline bint stream_has_room(const Stream *stream, uint32_t header_bytes) noexcept nogil:
    return (stream.slots_used + 2 <= OUTPUT_SLOTS
            and stream.header_used + header_bytes <= OUTPUT_HEADER_BYTES)
