# Descriptors, wait objects and polling callbacks of the main loop, from C.

from libc.stdint cimport uint64_t, uintptr_t
from posix.unistd cimport close, read, write

from qemu_mainloop.main_loop cimport (
    HANDLE, main_loop_wait, qemu_add_polling_cb, qemu_add_wait_object, qemu_del_polling_cb,
    qemu_del_wait_object, qemu_set_fd_handler, qemu_set_fd_handler2)

cdef extern from "<sys/eventfd.h>" nogil:
    int eventfd(unsigned int count, int flags)

cdef enum:
    MOST = 32

cdef char said[MOST]
cdef int length = 0
cdef int fds[2]
cdef bint gate = False


cdef void begin() noexcept nogil:
    global length, gate
    length = 0
    gate = False
    fds[0] = eventfd(1, 0)                 # readable and writable
    fds[1] = eventfd(1, 0)


cdef void end() noexcept nogil:
    for i in range(2):
        qemu_set_fd_handler(fds[i], NULL, NULL, NULL)
        close(fds[i])


cdef void say(char what) noexcept nogil:
    global length
    if length < MOST:
        said[length] = what
        length += 1


cdef str story():
    return bytes([said[i] for i in range(length)]).decode()


cdef void on_read(void *opaque) noexcept nogil:
    say(c'r')


cdef void on_write(void *opaque) noexcept nogil:
    say(c'w')


def read_and_write():
    """The results of waits, read and write handlers set, then removed."""
    cdef int both, removed
    with nogil:
        begin()
        qemu_set_fd_handler(fds[0], on_read, on_write, NULL)
        both = main_loop_wait(False)
        qemu_set_fd_handler(fds[0], NULL, NULL, NULL)
        removed = main_loop_wait(True)
        end()
    return both, removed, story()


cdef void remove_both(void *opaque) noexcept nogil:
    say(c'x')
    qemu_set_fd_handler(fds[0], NULL, NULL, NULL)
    qemu_set_fd_handler(fds[1], NULL, NULL, NULL)


def removed_inside():
    with nogil:
        begin()
        for i in range(2):
            qemu_set_fd_handler(fds[i], remove_both, on_write, NULL)
        main_loop_wait(False)
        main_loop_wait(True)
        end()
    return story()


cdef void replace(void *opaque) noexcept nogil:
    say(c'x')
    qemu_set_fd_handler(fds[0], on_read, on_write, NULL)


def replaced_inside():
    """What each of two iterations says."""
    cdef int first
    with nogil:
        begin()
        qemu_set_fd_handler(fds[0], replace, on_write, NULL)
        main_loop_wait(False)
        first = length
        main_loop_wait(False)
        end()
    return story()[:first], story()[first:]


cdef void add_other(void *opaque) noexcept nogil:
    say(c'x')
    qemu_set_fd_handler(fds[0], NULL, NULL, NULL)
    qemu_set_fd_handler(fds[1], on_read, NULL, NULL)


def added_inside():
    cdef int first
    with nogil:
        begin()
        qemu_set_fd_handler(fds[0], add_other, NULL, NULL)
        main_loop_wait(False)
        first = length
        main_loop_wait(False)
        end()
    return story()[:first], story()[first:]


cdef int may_read(void *opaque) noexcept nogil:
    say(c'?')
    return gate


def gated():
    """The results of a wait with the gate shut and one with it open."""
    global gate
    cdef int shut, opened
    with nogil:
        begin()
        qemu_set_fd_handler2(fds[0], may_read, on_read, NULL, NULL)
        shut = main_loop_wait(True)
        gate = True
        opened = main_loop_wait(True)
        end()
    return shut, opened, story()


cdef void drain_and_wait(void *opaque) noexcept nogil:
    cdef uint64_t count
    cdef int which = <int> <uintptr_t> opaque
    read(fds[which], &count, 8)
    say(<char> (c'a' + which))
    main_loop_wait(True)
    say(<char> (c'A' + which))


def nested_wait():
    """The result of the outer wait, whose callbacks wait themselves."""
    cdef int result
    with nogil:
        begin()
        for i in range(2):
            qemu_set_fd_handler(fds[i], drain_and_wait, NULL, <void *> <uintptr_t> i)
        result = main_loop_wait(False)
        main_loop_wait(True)
        end()
    return result, story()


# ---- wait objects

cdef void on_signalled(void *opaque) noexcept nogil:
    cdef uint64_t count
    read(fds[0], &count, 8)
    say(c'o')


cdef void delete_itself(void *opaque) noexcept nogil:
    say(c'd')
    qemu_del_wait_object(<HANDLE> <uintptr_t> fds[0], delete_itself, NULL)


def wait_object():
    cdef HANDLE handle
    cdef int added, twice, as_fd, bad, first, second, after
    cdef uint64_t one = 1
    with nogil:
        begin()
        handle = <HANDLE> <uintptr_t> fds[0]
        added = qemu_add_wait_object(handle, on_signalled, NULL)
        twice = qemu_add_wait_object(handle, on_signalled, NULL)
        as_fd = qemu_set_fd_handler(fds[0], on_read, NULL, NULL)
        bad = qemu_add_wait_object(<HANDLE> <uintptr_t> 1000000, on_signalled, NULL)
        first = main_loop_wait(True)
        second = main_loop_wait(True)      # the callback reset it
        qemu_del_wait_object(handle, on_signalled, NULL)
        write(fds[0], &one, 8)
        after = main_loop_wait(True)
        end()
    return added, twice, as_fd, bad, first, second, after, story()


def wait_object_that_deletes_itself():
    with nogil:
        begin()
        qemu_add_wait_object(<HANDLE> <uintptr_t> fds[0], delete_itself, NULL)
        main_loop_wait(False)
        main_loop_wait(True)
        end()
    return story()


# ---- polling callbacks

cdef int poll_note(void *opaque) noexcept nogil:
    say(<char> <uintptr_t> opaque)
    return 0


cdef int poll_insist(void *opaque) noexcept nogil:
    say(c'!')
    return 1


cdef int poll_once(void *opaque) noexcept nogil:
    say(c'1')
    qemu_del_polling_cb(poll_once, opaque)
    return 1


def polling_callbacks():
    """Two of one function and two more, one of which deletes itself."""
    cdef void *a = <void *> <uintptr_t> c'a'
    cdef int result
    with nogil:
        begin()
        qemu_add_polling_cb(poll_note, a)
        qemu_add_polling_cb(poll_once, NULL)
        qemu_add_polling_cb(poll_insist, NULL)
        qemu_add_polling_cb(poll_note, a)
        result = main_loop_wait(False)     # one of them insists: it does not block
        say(c'|')
        qemu_del_polling_cb(poll_note, a)
        main_loop_wait(False)
        say(c'|')
        qemu_del_polling_cb(poll_note, a)
        qemu_del_polling_cb(poll_note, a)
        qemu_del_polling_cb(poll_insist, NULL)
        main_loop_wait(True)
        end()
    return result, story()


def polling_does_not_hide_descriptors():
    cdef int result
    with nogil:
        begin()
        qemu_add_polling_cb(poll_insist, NULL)
        qemu_set_fd_handler(fds[0], on_read, NULL, NULL)
        result = main_loop_wait(False)
        qemu_del_polling_cb(poll_insist, NULL)
        end()
    return result, story()


def bad_descriptor():
    cdef int negative, not_open
    with nogil:
        negative = qemu_set_fd_handler(-1, on_read, NULL, NULL)
        not_open = qemu_set_fd_handler(1000000, on_read, NULL, NULL)
    return negative, not_open
