# Running a function in a context's thread and waiting for it: when it has run, no
# callback that was removed before is still running.

from qemu_mainloop._core.bh cimport BHCallback
from qemu_mainloop._core.context cimport AioContext

# 0; -EDEADLK: this thread polls ctx, or holds the lock that its iterations need;
# -ENOMEM.  cb may be NULL.
cdef int barrier_run(AioContext *ctx, BHCallback cb, void *opaque) noexcept nogil
