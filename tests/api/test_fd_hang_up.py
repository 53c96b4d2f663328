"""Hang-ups and errors: of pipes, sockets and terminals."""

import os
import socket
import struct

import pytest

import qemu_mainloop as q

pytestmark = pytest.mark.timeout(20)


def test_hang_up_calls_read_which_sees_the_end(loop, pipe):
    """Row "fd handler": read runs on IN/HUP/ERR."""
    calls = []
    loop.set_fd_handler(pipe[0], read=lambda: calls.append(os.read(pipe[0], 10)))
    os.close(pipe[1])
    assert loop.wait() == 1
    assert calls == [b""]


def test_error_calls_write(loop, pipe):
    """Row "fd handler": write runs on OUT/ERR."""
    calls = []
    with pytest.raises(BlockingIOError):
        while True:
            os.write(pipe[1], bytes(65536))
    loop.set_fd_handler(pipe[1], write=lambda: calls.append("write"))
    os.close(pipe[0])
    assert loop.wait() == 1
    assert calls == ["write"]


def test_error_calls_read(loop, pipe):
    """Row "fd handler": read runs on ERR, of a pipe whose reader is gone."""
    calls = []
    loop.set_fd_handler(pipe[1], read=lambda: calls.append("read"))
    assert loop.wait(True) == 0
    os.close(pipe[0])
    assert loop.wait() == 1
    assert calls == ["read"]


@pytest.mark.network
def test_reset_connection_calls_read_and_write_in_one_iteration(loop):
    """Row "fd handler": IN, HUP and ERR together are one read and one write."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        peer, _ = server.accept()
    calls = []
    with client, peer:
        loop.set_fd_handler(client, lambda: calls.append("r"), lambda: calls.append("w"))
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()
        assert loop.run_until(lambda: "r" in calls, timeout=10)
        assert calls[-2:] == ["r", "w"]
        loop.set_fd_handler(client)


@pytest.mark.posix_only(reason="no descriptor hangs up without being writable")
def test_hang_up_that_nobody_asked_for_does_not_spin(loop, pipe):
    """Row "fd handler": write does not run on HUP; the loop does not spin on it either."""
    calls, ticks = [], []
    loop.set_fd_handler(pipe[0], write=lambda: calls.append("write"))
    os.close(pipe[1])
    timer = loop.timer_new(lambda: ticks.append(1))
    before = loop.info()["iterations"]
    timer.mod_ns(q.clock_get_ns() + 100_000_000)
    assert loop.run_until(lambda: ticks, timeout=10)
    assert calls == []
    assert loop.info()["iterations"] - before < 40


@pytest.mark.posix_only(reason="there are no pseudo-terminals")
def test_terminal_whose_master_hangs_up_calls_read(loop):
    """Row "fd handler": HUP of a terminal calls read, which sees the end or EIO."""
    master, slave = os.openpty()
    calls = []

    def read():
        try:
            calls.append(os.read(slave, 10))
        except OSError:
            calls.append(b"")

    try:
        os.set_blocking(slave, False)
        loop.set_fd_handler(slave, read=read)
        assert loop.wait(True) == 0
        os.close(master)
        assert loop.wait() == 1
        assert calls == [b""]
        loop.set_fd_handler(slave)
    finally:
        os.close(slave)


@pytest.mark.posix_only(reason="there are no pseudo-terminals")
def test_pty_whose_last_slave_closes_calls_read_of_the_master(loop):
    """Row "fd handler": HUP of a pty."""
    master, slave = os.openpty()
    calls = []
    try:
        loop.set_fd_handler(master, read=lambda: calls.append("hang-up"))
        assert loop.wait(True) == 0
        os.close(slave)
        assert loop.wait() == 1
        assert calls == ["hang-up"]
        loop.set_fd_handler(master)
    finally:
        os.close(master)


@pytest.mark.posix_only(reason="there are no pseudo-terminals")
def test_hung_up_pty_behind_a_closed_gate_does_not_spin(loop):
    """Row "fd_read_poll": no spin on HUP."""
    master, slave = os.openpty()
    os.close(slave)
    asked, ticks = [], []
    try:
        loop.set_fd_handler(master, print, can_read=lambda: asked.append(1))
        timer = loop.timer_new(lambda: ticks.append(1))
        timer.mod_ns(q.clock_get_ns() + 50_000_000)
        assert loop.run_until(lambda: ticks, timeout=10)
        assert len(asked) < 10
        loop.set_fd_handler(master)
    finally:
        os.close(master)
