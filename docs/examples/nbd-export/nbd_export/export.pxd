# An export is a disk under a name, with the flags that say what it can do.

from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memcmp

from nbd_export.disk cimport Disk
from nbd_export.protocol cimport (
    NBD_FLAG_CAN_MULTI_CONN, NBD_FLAG_HAS_FLAGS, NBD_FLAG_READ_ONLY, NBD_FLAG_SEND_FLUSH,
    NBD_FLAG_SEND_FUA, NBD_FLAG_SEND_TRIM, NBD_FLAG_SEND_WRITE_ZEROES)

cdef enum:
    EXPORT_NAME_LIMIT_BYTES = 256       # what the protocol recommends


cdef struct Export:
    Disk disk
    bint read_only
    uint32_t name_bytes
    uint8_t[EXPORT_NAME_LIMIT_BYTES] name


# All connections work on one memory or one descriptor and nothing is cached in
# between, so a flush on one of them covers the others: that is CAN_MULTI_CONN.
cdef inline uint16_t export_flags(const Export *export) noexcept nogil:
    if export.read_only:
        return NBD_FLAG_HAS_FLAGS | NBD_FLAG_READ_ONLY | NBD_FLAG_CAN_MULTI_CONN
    return (NBD_FLAG_HAS_FLAGS | NBD_FLAG_CAN_MULTI_CONN | NBD_FLAG_SEND_FLUSH
            | NBD_FLAG_SEND_FUA | NBD_FLAG_SEND_TRIM | NBD_FLAG_SEND_WRITE_ZEROES)


# A client that gives no name wants the default export, which is the only one.
cdef inline bint export_is_named(const Export *export, const uint8_t *name,
                                 uint32_t name_bytes) noexcept nogil:
    return name_bytes == 0 or (
        name_bytes == export.name_bytes and memcmp(name, export.name, name_bytes) == 0)
