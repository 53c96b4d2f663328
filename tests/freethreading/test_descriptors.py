"""Handlers of the same descriptor, set and removed by several threads at once."""

import os

import pytest

import qemu_mainloop as q


@pytest.fixture
def readable(pipe):
    """A descriptor with a byte to read, for ever."""
    os.write(pipe[1], b"x")
    return pipe[0]


def test_the_handler_set_last_is_the_one_that_is_called(loop, at_once, readable):
    for _ in range(20):
        calls = []

        def setter(name, calls=calls):
            return lambda: loop.set_fd_handler(readable, read=lambda: calls.append(name))

        at_once(*[setter(name) for name in range(4)], times=5)
        loop.wait(True)
        loop.wait(True)
        # One of them, and the same each time: the kernel's and Python's idea agree.
        assert len(calls) == 2 and len(set(calls)) == 1
    loop.set_fd_handler(readable)
    assert loop.wait(True) == 0
    assert loop.info()["handlers"] == 0


def test_set_replaced_and_removed_while_the_loop_runs(loop, at_once, driven, readable):
    calls = []

    def set_it():
        loop.set_fd_handler(readable, read=lambda: calls.append(1))

    def set_it_with_a_gate():
        loop.set_fd_handler(readable, read=lambda: None, can_read=lambda: True)

    with driven(loop):
        at_once(set_it, set_it_with_a_gate, lambda: loop.set_fd_handler(readable), loop.info)
    loop.set_fd_handler(readable)
    calls.clear()
    assert loop.wait(True) == 0 and not calls
    loop.set_fd_handler(readable, read=lambda: calls.append(1))
    assert loop.wait(True) == 1 and calls == [1]


def test_callbacks_that_remove_themselves_and_raise(
    loop, at_once, driven, readable, oops, wait_for
):
    def fail():
        loop.set_fd_handler(readable)
        raise oops

    with driven(loop) as raised:
        at_once(lambda: loop.set_fd_handler(readable, read=fail),
                lambda: loop.set_fd_handler(readable), times=100)
        loop.set_fd_handler(readable, read=fail)
        wait_for(lambda: raised)
    loop.set_fd_handler(readable)


def test_the_object_is_kept_while_it_is_registered(loop, at_once, driven):
    class Source:
        def __init__(self):
            self.ends = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

        def fileno(self):
            return self.ends[0]

        def __del__(self):
            for fd in self.ends:
                os.close(fd)

    def come_and_go():
        source = Source()
        loop.set_fd_handler(source, read=lambda: None)
        os.write(source.ends[1], b"x")
        loop.set_fd_handler(source)

    with driven(loop):
        at_once(*[come_and_go] * 3, times=100)
    assert loop.info()["handlers"] == 0


def test_header_names_from_several_threads(main_loop, at_once, driven, readable):
    def func(opaque):
        return False

    def wait_object():
        try:
            q.qemu_add_wait_object(readable, func, None)
        except FileExistsError:
            pass
        q.qemu_del_wait_object(readable, func, None)

    def polling():
        q.qemu_add_polling_cb(func, at_once)
        q.qemu_del_polling_cb(func, at_once)

    with driven(main_loop):
        at_once(wait_object, wait_object, polling, polling, q.qemu_notify_event, times=100)
    info = main_loop.info()
    assert info["handlers"] == info["polling_callbacks"] == 0
