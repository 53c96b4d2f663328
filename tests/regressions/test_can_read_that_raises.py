"""A can_read or polling callback that raised in each iteration kept a blocking wait from looking
at the descriptors at all: the others were not served, however often wait() was called."""

import pytest

import qemu_mainloop as q


def test_the_others_are_served_in_a_blocking_wait(loop, pipe, sockets):
    served = []

    def can_read():
        raise LookupError

    loop.set_fd_handler(pipe[0], lambda: None, can_read=can_read)
    loop.set_fd_handler(sockets[0], write=lambda: served.append(1))
    with pytest.raises(LookupError):
        loop.wait()
    loop.set_fd_handler(pipe[0])
    loop.set_fd_handler(sockets[0])
    assert served == [1]


def test_a_polling_callback_that_raises(main_loop, sockets):
    served = []

    def func(opaque):
        raise LookupError

    q.qemu_add_polling_cb(func, None)
    main_loop.set_fd_handler(sockets[0], write=lambda: served.append(1))
    with pytest.raises(LookupError):
        main_loop.wait()
    q.qemu_del_polling_cb(func, None)
    main_loop.set_fd_handler(sockets[0])
    assert served == [1]
