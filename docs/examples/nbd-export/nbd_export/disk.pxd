# What is exported: a RAM disk (anonymous memory) or a file.
#
# Errors are negative errno values.  Ranges are the caller's to check.

from libc.stdint cimport int64_t, uint8_t, uint64_t


cdef struct Disk:
    uint64_t size_bytes
    uint8_t *memory             # a RAM disk's bytes; NULL: a file
    uint64_t page_bytes         # the unit in which a RAM disk's memory can be given back
    int fd                      # the file, which stays the caller's; -1: a RAM disk
    # What the file's file system was not yet seen to refuse.
    bint can_punch_hole
    bint can_zero_range

cdef int disk_open_memory(Disk *disk, uint64_t size_bytes) noexcept nogil
cdef int disk_open_file(Disk *disk, int fd) noexcept nogil
cdef void disk_close(Disk *disk) noexcept nogil

cdef int disk_read(Disk *disk, uint8_t *data, size_t length, uint64_t offset) noexcept nogil
cdef int disk_write(Disk *disk, const uint8_t *data, size_t length,
                    uint64_t offset) noexcept nogil
# Returns when everything that was written before is on stable storage.
cdef int disk_flush(Disk *disk) noexcept nogil

# Both begin at offset and return how many bytes they did, as many as take a few
# milliseconds; the caller comes again for the rest.
# Gives the storage back; what the range reads as afterwards is not defined.
cdef int64_t disk_trim(Disk *disk, uint64_t offset, uint64_t length) noexcept nogil
# The range reads as zeroes afterwards; with keep_storage no later write to it
# can fail for want of space.
cdef int64_t disk_zero(Disk *disk, uint64_t offset, uint64_t length,
                       bint keep_storage) noexcept nogil
