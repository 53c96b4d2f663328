# The process's main loop: the one global, and the iothread lock that goes with it.

from qemu_mainloop._core.context cimport AioContext
from qemu_mainloop._core.lock cimport FifoLock

cdef AioContext *main_context                # NULL: not initialised; never changes again
cdef FifoLock iothread_lock

# Makes it, with the iothread lock held, the first time: then *made is set.
# 0 or negative errno.
cdef int main_loop_make(bint *made) noexcept nogil
