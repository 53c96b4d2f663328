"""fd handlers: what may be registered, what the loop keeps, and errors."""

import errno
import fcntl
import gc
import os
import socket
import weakref

import pytest

import qemu_mainloop as q

pytestmark = pytest.mark.timeout(20)


class File:
    """Has a descriptor, which the loop must not close."""

    def __init__(self, fd):
        self.fd = fd

    def fileno(self):
        return self.fd


def test_object_with_fileno_is_as_good_as_its_number(loop, pipe):
    calls = []
    loop.set_fd_handler(File(pipe[0]), read=lambda: calls.append("by object"))
    os.write(pipe[1], b"x")
    assert loop.wait(True) == 1
    loop.set_fd_handler(pipe[0])
    assert loop.wait(True) == 0
    assert calls == ["by object"]


def test_socket_object_is_kept_open_while_it_is_registered(loop):
    near, far = socket.socketpair()
    calls = []
    loop.set_fd_handler(near, read=lambda: calls.append("read"))
    fd = near.fileno()
    del near
    gc.collect()
    far.send(b"x")
    assert loop.wait(True) == 1
    assert calls == ["read"]
    loop.set_fd_handler(fd)
    far.close()


def test_object_is_let_go_when_it_is_removed(loop, pipe):
    f = File(pipe[0])
    seen = weakref.ref(f)
    loop.set_fd_handler(f, read=print)
    del f
    gc.collect()
    assert seen() is not None
    loop.set_fd_handler(pipe[0])
    gc.collect()
    assert seen() is None


def test_object_is_let_go_when_it_is_replaced(loop, pipe):
    f = File(pipe[0])
    seen = weakref.ref(f)
    loop.set_fd_handler(f, read=print)
    del f
    loop.set_fd_handler(pipe[0], read=print)
    gc.collect()
    assert seen() is None


def test_object_is_let_go_when_the_loop_is_closed(fdmon, pipe):
    f = File(pipe[0])
    seen = weakref.ref(f)
    loop = q.MainLoop(fdmon=fdmon)
    loop.set_fd_handler(f, read=print)
    del f
    loop.close()
    gc.collect()
    assert seen() is None


def test_object_removed_by_its_own_callback_outlives_the_call(loop, pipe):
    f = File(pipe[0])
    seen = weakref.ref(f)
    alive = []

    def read(f=f):
        loop.set_fd_handler(f)
        alive.append(f.fileno())

    loop.set_fd_handler(f, read=read)
    del f, read
    os.write(pipe[1], b"x")
    assert loop.wait(True) == 1
    gc.collect()
    assert alive == [pipe[0]]
    assert seen() is None


def test_unclosed_loop_in_a_cycle_with_its_handler_is_collected(fdmon, pipe):
    def make():
        loop = q.MainLoop(fdmon=fdmon)
        loop.set_fd_handler(pipe[0], read=lambda: loop)
        return weakref.ref(loop)

    seen = make()
    gc.collect()
    assert seen() is None


@pytest.mark.posix_only(reason="tests/windows/test_sockets.py has it for sockets")
def test_descriptor_stays_open_and_blocking_after_removal_and_close(fdmon):
    """Row "fd handler": the descriptor stays the user's."""
    ends = os.pipe()
    try:
        flags = [fcntl.fcntl(fd, fcntl.F_GETFL) for fd in ends]
        with q.MainLoop(fdmon=fdmon) as loop:
            loop.set_fd_handler(ends[0], read=print)
            loop.set_fd_handler(ends[1], write=lambda: None)
            loop.wait()
            loop.set_fd_handler(ends[0])
        assert [fcntl.fcntl(fd, fcntl.F_GETFL) for fd in ends] == flags
        assert all(os.get_blocking(fd) for fd in ends)
    finally:
        for fd in ends:
            os.close(fd)


def test_one_descriptor_on_two_loops_calls_both(loop, fdmon, pipe):
    calls = []
    with q.MainLoop(fdmon=fdmon) as other:
        loop.set_fd_handler(pipe[0], read=lambda: calls.append("first"))
        other.set_fd_handler(pipe[0], read=lambda: calls.append("second"))
        os.write(pipe[1], b"x")
        assert (loop.wait(True), other.wait(True)) == (1, 1)
    assert calls == ["first", "second"]


def test_closed_number_is_refused_at_the_call(loop, pipe):
    """Row "when a change takes effect": a number without a registration is checked."""
    os.close(pipe[0])
    with pytest.raises(OSError) as caught:
        loop.set_fd_handler(pipe[0], read=print)
    assert caught.value.errno == errno.EBADF
    assert loop.info()["handlers"] == 0


@pytest.mark.parametrize("number", [1_000_000, 2**30, 2**31 - 1, 2**31, 2**70])
def test_number_that_no_descriptor_has_is_refused_at_once(loop, number):
    with pytest.raises(OSError) as caught:
        loop.set_fd_handler(number, read=print)
    assert caught.value.errno == errno.EBADF


def test_negative_number_is_a_value_error(loop):
    """D2."""
    with pytest.raises(ValueError, match="-1"):
        loop.set_fd_handler(-1, read=print)


@pytest.mark.parametrize("f", ["0", 1.0, None, object(), File("3")])
def test_what_is_no_descriptor_is_a_type_error(loop, f):
    with pytest.raises(TypeError):
        loop.set_fd_handler(f, read=print)


@pytest.mark.parametrize("kind", ["read", "write", "can_read"])
def test_callback_that_cannot_be_called_is_a_type_error(loop, pipe, kind):
    callbacks = {"read": print} | {kind: 1}
    with pytest.raises(TypeError, match=kind):
        loop.set_fd_handler(pipe[0], **callbacks)
    assert loop.info()["handlers"] == 0


def test_closed_loop_is_a_runtime_error_that_names_it(loop, pipe):
    loop.close()
    with pytest.raises(RuntimeError, match="MainLoop"):
        loop.set_fd_handler(pipe[0], read=print)


def test_fileno_that_closes_the_loop_is_a_runtime_error(loop, pipe):
    class Closer(File):
        def fileno(self):
            loop.close()
            return super().fileno()

    with pytest.raises(RuntimeError):
        loop.set_fd_handler(Closer(pipe[0]), read=print)
