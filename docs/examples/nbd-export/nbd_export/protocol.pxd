# The NBD protocol's numbers, and how they lie on the wire (big-endian).
#
# The names are those of the protocol's specification.  "Fixed newstyle" is the
# handshake that every client of the last ten years speaks.

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy


cdef extern from *:
    """
    #include <stdint.h>
    #define NBD_MAGIC UINT64_C(0x4e42444d41474943)         /* "NBDMAGIC" */
    #define NBD_OPTION_MAGIC UINT64_C(0x49484156454f5054)  /* "IHAVEOPT" */
    #define NBD_REPLY_OPTION_MAGIC UINT64_C(0x3e889045565a9)
    #define NBD_REQUEST_MAGIC UINT32_C(0x25609513)
    #define NBD_SIMPLE_REPLY_MAGIC UINT32_C(0x67446698)
    #define NBD_REP_ERROR_BIT (UINT32_C(1) << 31)
    """
    const uint64_t NBD_MAGIC
    const uint64_t NBD_OPTION_MAGIC
    const uint64_t NBD_REPLY_OPTION_MAGIC
    const uint32_t NBD_REQUEST_MAGIC
    const uint32_t NBD_SIMPLE_REPLY_MAGIC
    const uint32_t NBD_REP_ERROR_BIT

cdef extern from "<endian.h>" nogil:
    uint16_t htobe16(uint16_t)
    uint32_t htobe32(uint32_t)
    uint64_t htobe64(uint64_t)
    uint16_t be16toh(uint16_t)
    uint32_t be32toh(uint32_t)
    uint64_t be64toh(uint64_t)

# Handshake flags of the server; the client answers with the same bits.
cdef enum:
    NBD_FLAG_FIXED_NEWSTYLE = 1 << 0
    NBD_FLAG_NO_ZEROES = 1 << 1

# Transmission flags: what the export can do.
cdef enum:
    NBD_FLAG_HAS_FLAGS = 1 << 0
    NBD_FLAG_READ_ONLY = 1 << 1
    NBD_FLAG_SEND_FLUSH = 1 << 2
    NBD_FLAG_SEND_FUA = 1 << 3
    NBD_FLAG_SEND_TRIM = 1 << 5
    NBD_FLAG_SEND_WRITE_ZEROES = 1 << 6
    NBD_FLAG_CAN_MULTI_CONN = 1 << 8

# Options of the handshake.
cdef enum:
    NBD_OPT_EXPORT_NAME = 1
    NBD_OPT_ABORT = 2
    NBD_OPT_LIST = 3
    NBD_OPT_INFO = 6
    NBD_OPT_GO = 7

# Replies to options; the errors come with NBD_REP_ERROR_BIT.
cdef enum:
    NBD_REP_ACK = 1
    NBD_REP_SERVER = 2
    NBD_REP_INFO = 3
    NBD_REP_ERR_UNSUP = 1
    NBD_REP_ERR_INVALID = 3
    NBD_REP_ERR_UNKNOWN = 6
    NBD_REP_ERR_TOO_BIG = 9

cdef enum:
    NBD_INFO_EXPORT = 0
    NBD_INFO_NAME = 1
    NBD_INFO_BLOCK_SIZE = 3

# Requests of the transmission phase, and their flags.
cdef enum:
    NBD_CMD_READ = 0
    NBD_CMD_WRITE = 1
    NBD_CMD_DISC = 2
    NBD_CMD_FLUSH = 3
    NBD_CMD_TRIM = 4
    NBD_CMD_WRITE_ZEROES = 6

cdef enum:
    NBD_CMD_FLAG_FUA = 1 << 0
    NBD_CMD_FLAG_NO_HOLE = 1 << 1

# Errors of replies: Linux's errno values, spelled out by the protocol.
cdef enum:
    NBD_EPERM = 1
    NBD_EIO = 5
    NBD_ENOMEM = 12
    NBD_EINVAL = 22
    NBD_ENOSPC = 28

cdef enum:
    GREETING_BYTES = 18
    CLIENT_FLAGS_BYTES = 4
    OPTION_HEADER_BYTES = 16
    OPTION_REPLY_HEADER_BYTES = 20
    EXPORT_NAME_REPLY_BYTES = 10        # the answer to NBD_OPT_EXPORT_NAME,
    EXPORT_NAME_ZEROES_BYTES = 124      # and what follows unless NO_ZEROES is agreed
    REQUEST_BYTES = 28
    SIMPLE_REPLY_BYTES = 16
    # The longest payload: what clients assume of a server that says nothing.
    PAYLOAD_LIMIT_BYTES = 32 << 20


# Fields are not aligned on the wire, hence memcpy, which compiles to one load.
cdef inline uint16_t load_be16(const uint8_t *wire) noexcept nogil:
    cdef uint16_t value
    memcpy(&value, wire, sizeof(value))
    return be16toh(value)


cdef inline uint32_t load_be32(const uint8_t *wire) noexcept nogil:
    cdef uint32_t value
    memcpy(&value, wire, sizeof(value))
    return be32toh(value)


cdef inline uint64_t load_be64(const uint8_t *wire) noexcept nogil:
    cdef uint64_t value
    memcpy(&value, wire, sizeof(value))
    return be64toh(value)


cdef inline void store_be16(uint8_t *wire, uint16_t value) noexcept nogil:
    value = htobe16(value)
    memcpy(wire, &value, sizeof(value))


cdef inline void store_be32(uint8_t *wire, uint32_t value) noexcept nogil:
    value = htobe32(value)
    memcpy(wire, &value, sizeof(value))


cdef inline void store_be64(uint8_t *wire, uint64_t value) noexcept nogil:
    value = htobe64(value)
    memcpy(wire, &value, sizeof(value))
