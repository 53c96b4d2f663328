from libc.errno cimport EAGAIN, EINTR, ENOMEM, errno
from libc.stdlib cimport free, malloc
from libc.string cimport memmove, memset
from posix.uio cimport readv
from posix.unistd cimport close

from nbd_export.sockets cimport MSG_NOSIGNAL, msghdr, sendmsg


cdef int stream_open(Stream *stream, int fd, bint with_staging) noexcept nogil:
    stream.fd = fd
    stream.input_start = stream.input_end = 0
    stream.input_limit = INPUT_BYTES
    stream.slots_sent = stream.slots_used = 0
    stream.header_used = stream.staging_used = 0
    stream.staging = NULL
    if with_staging:
        stream.staging = <uint8_t *> malloc(STAGING_BYTES)
        if stream.staging == NULL:
            return -ENOMEM
    return 0


cdef void stream_close(Stream *stream) noexcept nogil:
    close(stream.fd)
    free(stream.staging)


cdef ssize_t stream_receive(Stream *stream, uint8_t *target, size_t target_bytes) noexcept nogil:
    cdef iovec[2] pieces
    cdef uint32_t kept = stream_available(stream)
    cdef ssize_t got
    # What is kept is the beginning of a header, so this moves next to nothing.
    if stream.input_start > 0:
        memmove(stream.input, stream_input(stream), kept)
        stream.input_start = 0
        stream.input_end = kept
    pieces[0].iov_base = target
    pieces[0].iov_len = target_bytes
    pieces[1].iov_base = stream.input + kept
    pieces[1].iov_len = max(stream.input_limit, kept) - kept
    while True:
        got = readv(stream.fd, pieces, 2)
        if got >= 0:
            break
        if errno != EINTR:
            return -errno
    if <size_t> got > target_bytes:
        stream.input_end += <uint32_t> (<size_t> got - target_bytes)
    return got


cdef uint8_t *stream_add_header(Stream *stream, uint32_t length) noexcept nogil:
    cdef uint8_t *header = stream.header + stream.header_used
    cdef iovec *last
    stream.header_used += length
    # Headers without data between them lie one after the other: one slot will do.
    if stream_has_output(stream):
        last = &stream.slots[stream.slots_used - 1]
        if <uint8_t *> last.iov_base + last.iov_len == header:
            last.iov_len += length
            return header
    stream_add_data(stream, header, length)
    return header


cdef void stream_add_data(Stream *stream, uint8_t *data, size_t length) noexcept nogil:
    cdef iovec *slot = &stream.slots[stream.slots_used]
    slot.iov_base = data
    slot.iov_len = length
    stream.slots_used += 1


cdef Sent stream_send(Stream *stream) noexcept nogil:
    cdef msghdr message
    cdef iovec *slot
    cdef ssize_t sent
    memset(&message, 0, sizeof(message))
    message.msg_iov = &stream.slots[stream.slots_sent]
    message.msg_iovlen = stream.slots_used - stream.slots_sent
    while True:
        # MSG_NOSIGNAL: a client that is gone is an error here, not a SIGPIPE.
        sent = sendmsg(stream.fd, &message, MSG_NOSIGNAL)
        if sent >= 0:
            break
        if errno != EINTR:
            return SENT_BLOCKED if errno == EAGAIN else SENT_BROKEN
    while stream.slots_sent < stream.slots_used:
        slot = &stream.slots[stream.slots_sent]
        if <size_t> sent < slot.iov_len:
            # Less than there was: asking again at once would only give EAGAIN.
            slot.iov_base = <uint8_t *> slot.iov_base + sent
            slot.iov_len -= sent
            return SENT_BLOCKED
        sent -= slot.iov_len
        stream.slots_sent += 1
    stream.slots_sent = stream.slots_used = 0
    stream.header_used = stream.staging_used = 0
    return SENT_ALL
