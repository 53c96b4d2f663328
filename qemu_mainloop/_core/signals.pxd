# Signals: those that the main loop takes by a signalfd, and those that a program
# has trapped to schedule a bottom half.

from qemu_mainloop._core.bh cimport QEMUBH
from qemu_mainloop._core.fdtable cimport FdTable

# Blocks SIG_IPI in this thread, and takes SIGIO, SIGALRM and SIGBUS.  Once a process;
# again does nothing.  0 or negative errno.
cdef int signals_attach(FdTable *t) noexcept nogil
# In a forked child: what its parent took them with is taken out of the parent's table.
cdef void signals_drop(FdTable *t) noexcept nogil

# From now on signo schedules bh, instead of what it did.  An earlier trap is covered: no
# handler uses its bottom half any more when it returns.
# 0; -EINVAL: no such signal, or it cannot be caught; -ENOMEM.
cdef int signal_trap(int signo, QEMUBH *bh) noexcept nogil
# The signal goes back to the trap that bh's covered, or to what there was before the first; if
# another covers bh's, that one keeps it.  When it returns, no handler uses bh any more.
cdef void signal_untrap(int signo, QEMUBH *bh) noexcept nogil
