from libc.stdint cimport uint8_t, uint16_t
from libc.string cimport memcpy, memset

from nbd_export.export cimport EXPORT_NAME_LIMIT_BYTES, export_flags, export_is_named
from nbd_export.protocol cimport *
from nbd_export.stream cimport (
    GO_ON, HANG_UP, NEED_INPUT, NEED_OUTPUT, stream_add_header, stream_available,
    stream_consume, stream_has_room, stream_input)

cdef enum:
    # A name of the longest kind and all the information requests there could be.
    OPTION_LIMIT_BYTES = 8192
    # Four replies, two of them with the export's name.
    OPTION_ROOM_BYTES = 4 * (OPTION_REPLY_HEADER_BYTES + 16) + 2 * EXPORT_NAME_LIMIT_BYTES
    BLOCK_MINIMUM_BYTES = 1
    BLOCK_PREFERRED_BYTES = 4096

# The data of NBD_OPT_INFO and NBD_OPT_GO.
cdef struct InfoRequest:
    const uint8_t *name
    uint32_t name_bytes
    const uint8_t *items        # 16 bits each
    uint32_t item_count


cdef void handshake_greet(Handshake *handshake, Stream *stream) noexcept nogil:
    cdef uint8_t *greeting = stream_add_header(stream, GREETING_BYTES)
    memset(handshake, 0, sizeof(handshake[0]))
    store_be64(greeting, NBD_MAGIC)
    store_be64(greeting + 8, NBD_OPTION_MAGIC)
    store_be16(greeting + 16, NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES)


cdef Verdict handshake_step(Handshake *handshake, Stream *stream,
                            const Export *export) noexcept nogil:
    cdef uint32_t available = stream_available(stream), option, length
    cdef const uint8_t *wire = stream_input(stream)
    if not stream_has_room(stream, OPTION_ROOM_BYTES):
        return NEED_OUTPUT
    if not handshake.flags_received:
        return flags_step(handshake, stream)
    if handshake.skip_bytes > 0:
        return skip_step(handshake, stream)
    if available < OPTION_HEADER_BYTES:
        return NEED_INPUT
    if load_be64(wire) != NBD_OPTION_MAGIC:
        return HANG_UP
    option = load_be32(wire + 8)
    length = load_be32(wire + 12)
    # Only this option is known to clients from before fixed newstyle.
    if option != NBD_OPT_EXPORT_NAME and not handshake.fixed_newstyle:
        return HANG_UP
    if length > OPTION_LIMIT_BYTES:
        stream_consume(stream, OPTION_HEADER_BYTES)
        handshake.option = option
        handshake.skip_bytes = length
        return GO_ON if option != NBD_OPT_EXPORT_NAME else HANG_UP
    if available < OPTION_HEADER_BYTES + length:
        return NEED_INPUT
    stream_consume(stream, OPTION_HEADER_BYTES + length)
    return option_answer(handshake, stream, export, option, wire + OPTION_HEADER_BYTES, length)


cdef Verdict flags_step(Handshake *handshake, Stream *stream) noexcept nogil:
    cdef uint32_t flags
    if stream_available(stream) < CLIENT_FLAGS_BYTES:
        return NEED_INPUT
    flags = load_be32(stream_input(stream))
    if flags & ~<uint32_t> (NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES):
        return HANG_UP
    stream_consume(stream, CLIENT_FLAGS_BYTES)
    handshake.fixed_newstyle = flags & NBD_FLAG_FIXED_NEWSTYLE != 0
    handshake.no_zeroes = flags & NBD_FLAG_NO_ZEROES != 0
    handshake.flags_received = True
    return GO_ON


cdef Verdict skip_step(Handshake *handshake, Stream *stream) noexcept nogil:
    cdef uint32_t length = min(handshake.skip_bytes, stream_available(stream))
    if length == 0:
        return NEED_INPUT
    stream_consume(stream, length)
    handshake.skip_bytes -= length
    if handshake.skip_bytes == 0:
        reply_error(stream, handshake.option, NBD_REP_ERR_TOO_BIG)
    return GO_ON


cdef Verdict option_answer(Handshake *handshake, Stream *stream, const Export *export,
                           uint32_t option, const uint8_t *data,
                           uint32_t length) noexcept nogil:
    if option == NBD_OPT_EXPORT_NAME:
        if not export_is_named(export, data, length):
            return HANG_UP         # this option has no way to say so
        reply_export_name(handshake, stream, export)
        handshake.done = True
    elif option == NBD_OPT_GO or option == NBD_OPT_INFO:
        handshake.done = info_answer(stream, export, option, data, length)
    elif option == NBD_OPT_LIST:
        list_answer(stream, export, length)
    elif option == NBD_OPT_ABORT:
        reply_option(stream, option, NBD_REP_ACK, 0)
        return HANG_UP
    else:
        reply_error(stream, option, NBD_REP_ERR_UNSUP)
    return GO_ON


# True: the client goes on to the transmission phase.
cdef bint info_answer(Stream *stream, const Export *export, uint32_t option,
                      const uint8_t *data, uint32_t length) noexcept nogil:
    cdef InfoRequest request
    if not info_parse(&request, data, length):
        reply_error(stream, option, NBD_REP_ERR_INVALID)
        return False
    if not export_is_named(export, request.name, request.name_bytes):
        reply_error(stream, option, NBD_REP_ERR_UNKNOWN)
        return False
    if info_wants(&request, NBD_INFO_NAME):
        reply_name(stream, export, option)
    # Any block size will do, so only those who ask are told the best one.
    if info_wants(&request, NBD_INFO_BLOCK_SIZE):
        reply_block_size(stream, option)
    reply_export(stream, export, option)
    reply_option(stream, option, NBD_REP_ACK, 0)
    return option == NBD_OPT_GO


cdef bint info_parse(InfoRequest *request, const uint8_t *data, uint32_t length) noexcept nogil:
    if length < 6:
        return False
    request.name_bytes = load_be32(data)
    if request.name_bytes > length - 6:
        return False
    request.name = data + 4
    request.item_count = load_be16(data + 4 + request.name_bytes)
    request.items = data + 6 + request.name_bytes
    return length == 6 + request.name_bytes + 2 * request.item_count


cdef bint info_wants(const InfoRequest *request, uint16_t item) noexcept nogil:
    cdef uint32_t i
    for i in range(request.item_count):
        if load_be16(request.items + 2 * i) == item:
            return True
    return False


cdef void list_answer(Stream *stream, const Export *export, uint32_t length) noexcept nogil:
    cdef uint8_t *data
    if length != 0:
        reply_error(stream, NBD_OPT_LIST, NBD_REP_ERR_INVALID)
        return
    data = reply_option(stream, NBD_OPT_LIST, NBD_REP_SERVER, 4 + export.name_bytes)
    store_be32(data, export.name_bytes)
    memcpy(data + 4, export.name, export.name_bytes)
    reply_option(stream, NBD_OPT_LIST, NBD_REP_ACK, 0)


# Queues a reply to an option and returns where its data is to be put.
cdef uint8_t *reply_option(Stream *stream, uint32_t option, uint32_t kind,
                           uint32_t data_bytes) noexcept nogil:
    cdef uint8_t *wire = stream_add_header(stream, OPTION_REPLY_HEADER_BYTES + data_bytes)
    store_be64(wire, NBD_REPLY_OPTION_MAGIC)
    store_be32(wire + 8, option)
    store_be32(wire + 12, kind)
    store_be32(wire + 16, data_bytes)
    return wire + OPTION_REPLY_HEADER_BYTES


cdef void reply_error(Stream *stream, uint32_t option, uint32_t error) noexcept nogil:
    reply_option(stream, option, NBD_REP_ERROR_BIT | error, 0)


cdef void reply_export(Stream *stream, const Export *export, uint32_t option) noexcept nogil:
    cdef uint8_t *data = reply_option(stream, option, NBD_REP_INFO, 12)
    store_be16(data, NBD_INFO_EXPORT)
    store_be64(data + 2, export.disk.size_bytes)
    store_be16(data + 10, export_flags(export))


cdef void reply_name(Stream *stream, const Export *export, uint32_t option) noexcept nogil:
    cdef uint8_t *data = reply_option(stream, option, NBD_REP_INFO, 2 + export.name_bytes)
    store_be16(data, NBD_INFO_NAME)
    memcpy(data + 2, export.name, export.name_bytes)


cdef void reply_block_size(Stream *stream, uint32_t option) noexcept nogil:
    cdef uint8_t *data = reply_option(stream, option, NBD_REP_INFO, 14)
    store_be16(data, NBD_INFO_BLOCK_SIZE)
    store_be32(data + 2, BLOCK_MINIMUM_BYTES)
    store_be32(data + 6, BLOCK_PREFERRED_BYTES)
    store_be32(data + 10, PAYLOAD_LIMIT_BYTES)


cdef void reply_export_name(Handshake *handshake, Stream *stream,
                            const Export *export) noexcept nogil:
    cdef uint32_t zeroes_bytes = 0 if handshake.no_zeroes else EXPORT_NAME_ZEROES_BYTES
    cdef uint8_t *wire = stream_add_header(stream, EXPORT_NAME_REPLY_BYTES + zeroes_bytes)
    store_be64(wire, export.disk.size_bytes)
    store_be16(wire + 8, export_flags(export))
    memset(wire + EXPORT_NAME_REPLY_BYTES, 0, zeroes_bytes)
