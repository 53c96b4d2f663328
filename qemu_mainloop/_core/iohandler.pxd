# fd handlers over the fd table: registering, asking whether to read, dispatching.

from qemu_mainloop._core.dispatch cimport Dispatch
from qemu_mainloop._core.fdtable cimport FdCallback, FdHandler, FdTable, GateCallback

# Frees every registration; the fdmons are the owner's.
cdef void fd_table_destroy(FdTable *t) noexcept nogil

# Sets or, with both callbacks NULL, removes what kind has for fd.  apply: also tell
# the kernel now.  0; -EBADF; -EBUSY: another kind has it; -EEXIST: it is a wait object
# already, unless its descriptor was closed; -ENOMEM.  Any thread.
cdef int fd_table_set(FdTable *t, int fd, int kind, FdCallback io_read, FdCallback io_write,
                      GateCallback can_read, void *opaque, FdCallback release,
                      bint apply) noexcept nogil

# The polling thread's, in this order in an iteration:
# Asks the can_read callbacks; false: one came that was not asked, do not block.
cdef bint fd_table_ask(FdTable *t, Dispatch *d) noexcept nogil
# Takes n entries of t.reports in.
cdef void fd_table_collect(FdTable *t, int n) noexcept nogil
# Runs what is due; returns how many descriptors and wait objects had a callback.
cdef int fd_table_dispatch(FdTable *t, Dispatch *d, bint *progress) noexcept nogil
# No dispatch is on the stack: frees what was removed.
cdef void fd_table_sweep(FdTable *t) noexcept nogil
# The reports that were not dispatched are void.
cdef void fd_table_forget(FdTable *t) noexcept nogil
# In a forked child: no report is in hand.
cdef void fd_table_repair(FdTable *t) noexcept nogil
