# What concerns the timers of all contexts: enabling a clock, stepping the virtual one.

from libc.stdint cimport int64_t

from qemu_mainloop._core.dispatch cimport Dispatch

# Disabling returns when no callback of the clock runs in another thread; it lets the
# runtime's lock go meanwhile.
cdef void step_enable(int clock, bint enabled) noexcept nogil
# The stopped virtual clock to ns (or on by ns), running on the way what is due in the main
# loop and in the contexts of this thread; then the others are woken for theirs.  The new
# time; -EBUSY: it runs, or this is a callback of a virtual timer; -EINVAL: backwards.
cdef int64_t step_advance(int64_t ns, bint relative, Dispatch *d) noexcept nogil
