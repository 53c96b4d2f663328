from libc.errno cimport (
    EDQUOT, EFBIG, EINVAL, ENOMEM, ENOSPC, EPERM, EROFS)
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from nbd_export.disk cimport disk_flush, disk_read, disk_trim, disk_write, disk_zero
from nbd_export.protocol cimport *
from nbd_export.stream cimport (
    DROP, GO_ON, HANG_UP, INPUT_BYTES, INPUT_SHORT_BYTES, NEED_INPUT, NEED_OUTPUT, STAGING_BYTES,
    stream_add_data, stream_add_header, stream_available, stream_consume, stream_has_output,
    stream_has_room, stream_input)

cdef enum:
    LONG_PAYLOAD_BYTES = 32768


cdef int transmission_open(Transmission *transmission, bint with_bounce) noexcept nogil:
    memset(transmission, 0, sizeof(transmission[0]))
    transmission.activity = AWAIT_REQUEST
    if with_bounce:
        transmission.bounce = <uint8_t *> malloc(BOUNCE_BYTES)
        if transmission.bounce == NULL:
            return -ENOMEM
    return 0


cdef void transmission_close(Transmission *transmission) noexcept nogil:
    free(transmission.bounce)


cdef Verdict transmission_step(Transmission *transmission, Stream *stream, Export *export,
                               int64_t *budget_bytes) noexcept nogil:
    if transmission.activity == AWAIT_REQUEST:
        return request_step(transmission, stream, export, budget_bytes)
    if transmission.activity == TAKE_PAYLOAD:
        return payload_step(transmission, stream, export, budget_bytes)
    if transmission.activity == READ_FILE:
        return read_file_step(transmission, stream, export, budget_bytes)
    return erase_step(transmission, stream, export, budget_bytes)


cdef Verdict request_step(Transmission *transmission, Stream *stream, Export *export,
                          int64_t *budget_bytes) noexcept nogil:
    cdef const uint8_t *wire = stream_input(stream)
    if stream_available(stream) < REQUEST_BYTES:
        return NEED_INPUT
    if load_be32(wire) != NBD_REQUEST_MAGIC:
        return HANG_UP
    # Every request ends in a reply, so none begins without room for one.
    if not stream_has_room(stream, SIMPLE_REPLY_BYTES):
        return NEED_OUTPUT
    transmission.flags = load_be16(wire + 4)
    transmission.command = load_be16(wire + 6)
    memcpy(&transmission.cookie, wire + 8, sizeof(transmission.cookie))
    transmission.offset = load_be64(wire + 16)
    transmission.length = load_be32(wire + 24)
    transmission.error = request_check(transmission, export)
    if (transmission.command == NBD_CMD_READ and transmission.error == 0
            and not read_has_room(transmission, stream)):
        return NEED_OUTPUT
    stream_consume(stream, REQUEST_BYTES)
    budget_bytes[0] -= REQUEST_COST_BYTES
    return request_begin(transmission, stream, export, budget_bytes)


# The error that the request is answered with, 0: none.
cdef uint32_t request_check(const Transmission *request, const Export *export) noexcept nogil:
    cdef uint16_t known_flags = NBD_CMD_FLAG_FUA
    cdef bint writes = request.command in (NBD_CMD_WRITE, NBD_CMD_TRIM, NBD_CMD_WRITE_ZEROES)
    if request.command == NBD_CMD_WRITE_ZEROES:
        known_flags |= NBD_CMD_FLAG_NO_HOLE
    if request.flags & ~known_flags:
        return NBD_EINVAL
    if request.command == NBD_CMD_FLUSH:
        return 0
    if not writes and request.command != NBD_CMD_READ:
        return NBD_EINVAL
    if writes and export.read_only:
        return NBD_EPERM
    if request.command == NBD_CMD_READ and request.length > PAYLOAD_LIMIT_BYTES:
        return NBD_EINVAL
    if (request.offset > export.disk.size_bytes
            or request.length > export.disk.size_bytes - request.offset):
        return NBD_EINVAL if request.command in (NBD_CMD_READ, NBD_CMD_TRIM) else NBD_ENOSPC
    return 0


cdef Verdict request_begin(Transmission *transmission, Stream *stream, Export *export,
                           int64_t *budget_bytes) noexcept nogil:
    if transmission.command == NBD_CMD_DISC:
        return HANG_UP
    if transmission.command == NBD_CMD_WRITE:
        # A payload beyond the limit is not worth being waited for.
        if transmission.length > PAYLOAD_LIMIT_BYTES:
            return HANG_UP
        transmission.activity = TAKE_PAYLOAD
        transmission.bounce_used = 0
        transmission.long_payload = transmission.length >= LONG_PAYLOAD_BYTES
        return payload_step(transmission, stream, export, budget_bytes)
    if transmission.error != 0:
        return request_end(transmission, stream)
    if transmission.command == NBD_CMD_READ:
        return read_begin(transmission, stream, export, budget_bytes)
    if transmission.command == NBD_CMD_FLUSH:
        transmission.error = wire_error(disk_flush(&export.disk))
        return request_end(transmission, stream)
    transmission.activity = ERASE
    return GO_ON


cdef Verdict request_end(Transmission *transmission, Stream *stream) noexcept nogil:
    transmission.activity = AWAIT_REQUEST
    reply(transmission, stream)
    return GO_ON


cdef void reply(const Transmission *request, Stream *stream) noexcept nogil:
    cdef uint8_t *wire = stream_add_header(stream, SIMPLE_REPLY_BYTES)
    store_be32(wire, NBD_SIMPLE_REPLY_MAGIC)
    store_be32(wire + 4, request.error)
    memcpy(wire + 8, &request.cookie, sizeof(request.cookie))


# An errno value (negative; 0: none) as the protocol spells it.
cdef uint32_t wire_error(int64_t result) noexcept nogil:
    if result >= 0:
        return 0
    if result == -EPERM or result == -EROFS:
        return NBD_EPERM
    if result == -ENOMEM:
        return NBD_ENOMEM
    if result == -EINVAL:
        return NBD_EINVAL
    if result == -ENOSPC or result == -EDQUOT or result == -EFBIG:
        return NBD_ENOSPC
    return NBD_EIO


# READ: a RAM disk's bytes are sent from where they are.  A file's go through the
# staging area, which several short replies share.

cdef bint read_has_room(const Transmission *request, const Stream *stream) noexcept nogil:
    return (stream.staging_used == 0
            or request.length <= STAGING_BYTES - stream.staging_used)


cdef Verdict read_begin(Transmission *transmission, Stream *stream, Export *export,
                        int64_t *budget_bytes) noexcept nogil:
    cdef uint8_t *staged
    cdef uint32_t length = transmission.length
    if export.disk.memory != NULL:
        reply(transmission, stream)
        if length > 0:
            stream_add_data(stream, export.disk.memory + transmission.offset, length)
        budget_bytes[0] -= length
        return GO_ON
    # Read first: an error can be told only as long as no success has been.
    length = min(length, <uint32_t> STAGING_BYTES)
    staged = stream.staging + stream.staging_used
    transmission.error = wire_error(
        disk_read(&export.disk, staged, length, transmission.offset))
    reply(transmission, stream)
    if transmission.error == 0 and length > 0:
        read_staged(transmission, stream, staged, length)
        budget_bytes[0] -= length
    return GO_ON


cdef Verdict read_file_step(Transmission *transmission, Stream *stream, Export *export,
                            int64_t *budget_bytes) noexcept nogil:
    cdef uint32_t length = min(transmission.length, <uint32_t> STAGING_BYTES)
    if stream_has_output(stream):
        return NEED_OUTPUT
    if disk_read(&export.disk, stream.staging, length, transmission.offset) < 0:
        return DROP             # the reply's header has promised data
    read_staged(transmission, stream, stream.staging, length)
    budget_bytes[0] -= length
    return GO_ON


cdef void read_staged(Transmission *transmission, Stream *stream, uint8_t *staged,
                      uint32_t length) noexcept nogil:
    stream_add_data(stream, staged, length)
    stream.staging_used += length
    transmission.offset += length
    transmission.length -= length
    transmission.activity = READ_FILE if transmission.length > 0 else AWAIT_REQUEST


# WRITE: the payload that has come along with the header is taken from the input
# buffer; what has not goes straight to the RAM disk, or to the bounce buffer.

cdef Verdict payload_step(Transmission *transmission, Stream *stream, Export *export,
                          int64_t *budget_bytes) noexcept nogil:
    cdef uint32_t length = min(transmission.length, stream_available(stream))
    if length > 0:
        if transmission.error == 0:
            length = payload_take(transmission, export, stream_input(stream), length)
        else:
            transmission.length -= length
        stream_consume(stream, length)
        budget_bytes[0] -= length
    if transmission.length > 0:
        return GO_ON if stream_available(stream) > 0 else NEED_INPUT
    if transmission.error == 0 and transmission.flags & NBD_CMD_FLAG_FUA:
        transmission.error = wire_error(disk_flush(&export.disk))
    # Who writes much at a time will go on: the next payload's bytes are then not
    # worth being received into the input buffer only to be copied.
    stream.input_limit = INPUT_SHORT_BYTES if transmission.long_payload else INPUT_BYTES
    return request_end(transmission, stream)


# Returns how much of the payload it has taken.
cdef uint32_t payload_take(Transmission *transmission, Export *export, const uint8_t *payload,
                           uint32_t length) noexcept nogil:
    if export.disk.memory != NULL:
        memcpy(export.disk.memory + transmission.offset, payload, length)
    elif transmission.bounce_used == 0 and length == transmission.length:
        transmission.error = wire_error(
            disk_write(&export.disk, payload, length, transmission.offset))
        transmission.length = 0
        return length
    else:
        length = min(length, BOUNCE_BYTES - transmission.bounce_used)
        memcpy(transmission.bounce + transmission.bounce_used, payload, length)
    transmission_received(transmission, export, length)
    return length


cdef uint8_t *transmission_target(Transmission *transmission, Export *export,
                                  size_t *target_bytes) noexcept nogil:
    target_bytes[0] = 0
    if transmission.activity != TAKE_PAYLOAD or transmission.error != 0:
        return NULL
    target_bytes[0] = transmission.length
    if export.disk.memory != NULL:
        return export.disk.memory + transmission.offset
    target_bytes[0] = min(transmission.length, BOUNCE_BYTES - transmission.bounce_used)
    return transmission.bounce + transmission.bounce_used


cdef void transmission_received(Transmission *transmission, Export *export,
                                uint32_t length) noexcept nogil:
    transmission.offset += length
    transmission.length -= length
    if export.disk.memory != NULL:
        return
    transmission.bounce_used += length
    if transmission.length == 0 or transmission.bounce_used == BOUNCE_BYTES:
        transmission.error = wire_error(
            disk_write(&export.disk, transmission.bounce, transmission.bounce_used,
                       transmission.offset - transmission.bounce_used))
        transmission.bounce_used = 0


# TRIM, WRITE_ZEROES: of a length up to 4 GiB, hence in slices.

cdef Verdict erase_step(Transmission *transmission, Stream *stream, Export *export,
                        int64_t *budget_bytes) noexcept nogil:
    cdef int64_t done = 0
    if transmission.length > 0:
        if transmission.command == NBD_CMD_TRIM:
            done = disk_trim(&export.disk, transmission.offset, transmission.length)
        else:
            done = disk_zero(&export.disk, transmission.offset, transmission.length,
                             transmission.flags & NBD_CMD_FLAG_NO_HOLE != 0)
    if done >= 0:
        budget_bytes[0] -= done
        transmission.offset += done
        transmission.length -= <uint32_t> done
        if transmission.length > 0:
            return GO_ON
        if transmission.flags & NBD_CMD_FLAG_FUA:
            done = disk_flush(&export.disk)
    transmission.error = wire_error(done)
    return request_end(transmission, stream)
