# A device whose work a thread does, and which hears of it by an event: wait objects on Windows.
#
#     python -c "import wait_object; print(wait_object.main(10))"
#
# The thread knows nothing of the loop: it does its work and sets an event, as drivers and
# libraries do.  The event resets itself, so each time it is set is one call of the callback.

from libc.stdint cimport int64_t

from qemu_mainloop.main_loop cimport (
    HANDLE, main_loop_wait, qemu_add_wait_object, qemu_del_wait_object, qemu_init_main_loop,
    qemu_mutex_iothread_locked, qemu_mutex_unlock_iothread)

cdef extern from *:
    """
    #define WIN32_LEAN_AND_MEAN
    #include <windows.h>
    """
    HANDLE CreateEventW(void *security, int stays, int is_set, void *name) nogil
    HANDLE CreateThread(void *security, size_t stack,
                        unsigned long (__stdcall *run)(void *) noexcept nogil,
                        void *arg, unsigned long flags, void *number) nogil
    int SetEvent(HANDLE event) nogil
    unsigned long WaitForSingleObject(HANDLE handle, unsigned long ms) nogil
    int CloseHandle(HANDLE handle) nogil
    enum: INFINITE

cdef struct Device:
    int64_t n                # what was asked for
    int64_t sum              # the thread's, until `done` is set
    int64_t answer           # the loop's
    HANDLE done
    bint has_answered


cdef unsigned long __stdcall work(void *opaque) noexcept nogil:
    cdef Device *d = <Device *> opaque
    cdef int64_t i
    for i in range(1, d.n + 1):
        d.sum += i * i
    SetEvent(d.done)
    return 0


cdef void on_done(void *opaque) noexcept nogil:
    # In the loop's thread, with the iothread lock, like every callback of the main loop.
    cdef Device *d = <Device *> opaque
    d.answer = d.sum if qemu_mutex_iothread_locked() else -1
    d.has_answered = True


def main(int n):
    """The sum of the first n squares."""
    cdef Device d
    cdef HANDLE thread
    d.n = n
    d.sum = d.answer = 0
    d.has_answered = False
    d.done = CreateEventW(NULL, False, False, NULL)
    if d.done == NULL or qemu_init_main_loop() < 0:
        raise OSError("no event, or no main loop")
    if qemu_add_wait_object(d.done, on_done, &d) < 0:
        raise OSError("no wait object")
    with nogil:
        thread = CreateThread(NULL, 0, work, &d, 0, NULL)
        while thread != NULL and not d.has_answered:
            main_loop_wait(False)
        qemu_del_wait_object(d.done, on_done, &d)        # before the handle is closed
        WaitForSingleObject(thread, INFINITE)
        CloseHandle(thread)
        CloseHandle(d.done)
        if qemu_mutex_iothread_locked():
            qemu_mutex_unlock_iothread()
    return d.answer
