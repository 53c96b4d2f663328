from libc.errno cimport EINTR, EIO, ENOSYS, EOPNOTSUPP, errno
from libc.string cimport memcpy, memset
from posix.mman cimport (
    MADV_DONTNEED, MAP_ANONYMOUS, MAP_FAILED, MAP_NORESERVE, MAP_PRIVATE, PROT_READ, PROT_WRITE,
    madvise, mmap, munmap)
from posix.types cimport off_t
from posix.unistd cimport (
    _SC_PAGESIZE, SEEK_END, fdatasync, lseek, pread, pwrite, sysconf)


cdef extern from "<fcntl.h>" nogil:
    enum: FALLOC_FL_KEEP_SIZE
    enum: FALLOC_FL_PUNCH_HOLE
    enum: FALLOC_FL_ZERO_RANGE
    int fallocate(int fd, int mode, off_t offset, off_t length)

cdef enum:
    ZEROES_BYTES = 65536
    # How much is done at once, so that other clients get their turn.
    ZERO_SLICE_BYTES = 4 << 20
    DISCARD_SLICE_BYTES = 64 << 20

cdef uint8_t[ZEROES_BYTES] zeroes


cdef int disk_open_memory(Disk *disk, uint64_t size_bytes) noexcept nogil:
    # Pages come into being when they are written to, so a RAM disk may be larger
    # than what is free now.
    cdef void *memory = mmap(NULL, size_bytes, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
    if memory == MAP_FAILED:
        return -errno
    disk.size_bytes = size_bytes
    disk.memory = <uint8_t *> memory
    disk.page_bytes = sysconf(_SC_PAGESIZE)
    disk.fd = -1
    return 0


cdef int disk_open_file(Disk *disk, int fd) noexcept nogil:
    # The end of a block device is found in the same way as that of a file.
    cdef off_t size_bytes = lseek(fd, 0, SEEK_END)
    if size_bytes < 0:
        return -errno
    disk.size_bytes = size_bytes
    disk.memory = NULL
    disk.fd = fd
    disk.can_punch_hole = True
    disk.can_zero_range = True
    return 0


cdef void disk_close(Disk *disk) noexcept nogil:
    if disk.memory != NULL:
        munmap(disk.memory, disk.size_bytes)
        disk.memory = NULL
    disk.fd = -1


cdef int disk_read(Disk *disk, uint8_t *data, size_t length, uint64_t offset) noexcept nogil:
    cdef ssize_t got
    if disk.memory != NULL:
        memcpy(data, disk.memory + offset, length)
        return 0
    while length > 0:
        got = pread(disk.fd, data, length, offset)
        if got > 0:
            data += got
            offset += got
            length -= got
        elif got == 0:
            return -EIO         # somebody has truncated the file
        elif errno != EINTR:
            return -errno
    return 0


cdef int disk_write(Disk *disk, const uint8_t *data, size_t length,
                    uint64_t offset) noexcept nogil:
    cdef ssize_t done
    if disk.memory != NULL:
        memcpy(disk.memory + offset, data, length)
        return 0
    while length > 0:
        done = pwrite(disk.fd, data, length, offset)
        if done >= 0:
            data += done
            offset += done
            length -= done
        elif errno != EINTR:
            return -errno
    return 0


cdef int disk_flush(Disk *disk) noexcept nogil:
    if disk.memory == NULL and fdatasync(disk.fd) < 0:
        return -errno
    return 0


# The whole pages of a RAM disk's range go back to the kernel, which gives new
# ones full of zeroes.  0: there are none, or it refuses (locked memory).
cdef uint64_t memory_discard(Disk *disk, uint64_t begin, uint64_t end) noexcept nogil:
    begin = (begin + disk.page_bytes - 1) & ~(disk.page_bytes - 1)
    end = end & ~(disk.page_bytes - 1)
    if end <= begin or madvise(disk.memory + begin, end - begin, MADV_DONTNEED) < 0:
        return 0
    return end - begin


cdef int64_t memory_zero(Disk *disk, uint64_t offset, uint64_t length,
                         bint keep_storage) noexcept nogil:
    cdef uint64_t head
    if keep_storage or length < 2 * disk.page_bytes:
        length = min(length, <uint64_t> ZERO_SLICE_BYTES)
        memset(disk.memory + offset, 0, length)
        return length
    # First up to a page's beginning, the next time the whole pages, then the rest.
    head = -offset & (disk.page_bytes - 1)
    if head > 0:
        memset(disk.memory + offset, 0, head)
        return head
    length = min(length, <uint64_t> DISCARD_SLICE_BYTES)
    head = memory_discard(disk, offset, offset + length)
    return head if head > 0 else memory_zero(disk, offset, length, True)


# 1: done; 0: this file system cannot; or an error.
cdef int file_allocate(Disk *disk, int mode, uint64_t offset, uint64_t length) noexcept nogil:
    while fallocate(disk.fd, mode | FALLOC_FL_KEEP_SIZE, offset, length) < 0:
        if errno == EOPNOTSUPP or errno == ENOSYS:
            return 0
        if errno != EINTR:
            return -errno
    return 1


cdef int file_punch_hole(Disk *disk, uint64_t offset, uint64_t length) noexcept nogil:
    cdef int done = 0
    if disk.can_punch_hole:
        done = file_allocate(disk, FALLOC_FL_PUNCH_HOLE, offset, length)
        disk.can_punch_hole = done != 0
    return done


cdef int file_zero_range(Disk *disk, uint64_t offset, uint64_t length) noexcept nogil:
    cdef int done = 0
    if disk.can_zero_range:
        done = file_allocate(disk, FALLOC_FL_ZERO_RANGE, offset, length)
        disk.can_zero_range = done != 0
    return done


cdef int64_t file_zero(Disk *disk, uint64_t offset, uint64_t length,
                       bint keep_storage) noexcept nogil:
    cdef uint64_t done
    cdef size_t piece
    cdef int result = 0
    if not keep_storage:
        result = file_punch_hole(disk, offset, length)
    if result == 0:
        result = file_zero_range(disk, offset, length)
    if result != 0:
        return length if result > 0 else result
    # Neither is to be had (a network file system, say): write them.
    length = min(length, <uint64_t> ZERO_SLICE_BYTES)
    done = 0
    while done < length:
        piece = min(length - done, <uint64_t> ZEROES_BYTES)
        result = disk_write(disk, zeroes, piece, offset + done)
        if result < 0:
            return result
        done += piece
    return length


cdef int64_t disk_trim(Disk *disk, uint64_t offset, uint64_t length) noexcept nogil:
    cdef int result
    if disk.memory != NULL:
        length = min(length, <uint64_t> DISCARD_SLICE_BYTES)
        memory_discard(disk, offset, offset + length)
        return length
    # Trimming is a hint, so a file system that cannot do it is no error.
    result = file_punch_hole(disk, offset, length)
    return length if result >= 0 else result


cdef int64_t disk_zero(Disk *disk, uint64_t offset, uint64_t length,
                       bint keep_storage) noexcept nogil:
    if disk.memory != NULL:
        return memory_zero(disk, offset, length, keep_storage)
    return file_zero(disk, offset, length, keep_storage)
