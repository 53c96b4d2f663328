"""Sockets: level-triggered, and left as they are."""

import ctypes
import socket
import threading

import pytest

import qemu_mainloop as q


def is_blocking(sock):
    """What the system does, not what Python's object remembers: nothing waits, or it blocks."""
    done = threading.Event()
    answer = []

    def read():
        dll = ctypes.WinDLL("ws2_32", use_last_error=True)
        byte = ctypes.create_string_buffer(1)
        answer.append(dll.recv(ctypes.c_size_t(sock.fileno()), byte, 1, 0))
        done.set()

    thread = threading.Thread(target=read)
    thread.start()
    blocks = not done.wait(0.3)
    return blocks, thread


@pytest.mark.parametrize("blocking", [True, False])
def test_the_blocking_mode_is_left_alone(loop, blocking):
    """WSAEventSelect would make it non-blocking."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(blocking)
        loop.set_fd_handler(ours, lambda: None)
        loop.wait(True)
        blocks, thread = is_blocking(ours)
        assert blocks == blocking
        theirs.send(b"x")
        thread.join()
        loop.set_fd_handler(ours)


def test_a_connection_that_is_refused_is_writable(loop, calls):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        with socket.socket() as sock:
            sock.setblocking(False)
            with pytest.raises(BlockingIOError):
                sock.connect(nobody.getsockname())
            loop.set_fd_handler(sock, None, lambda: calls.append(1))
            assert loop.run_until(lambda: calls, timeout=20)
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0
            loop.set_fd_handler(sock)


def test_a_connection_comes_and_goes(loop, calls):
    with socket.create_server(("127.0.0.1", 0)) as server:
        loop.set_fd_handler(server, lambda: calls.append(server.accept()[0]))
        with socket.create_connection(server.getsockname()):
            assert loop.run_until(lambda: calls, timeout=20)
        with calls.pop() as accepted:
            assert accepted.getblocking()
            loop.set_fd_handler(accepted, lambda: calls.append(accepted.recv(10)))
            assert loop.run_until(lambda: calls, timeout=20)
            assert loop.wait(True) == 1 and calls == [b"", b""]      # the end stays readable
            loop.set_fd_handler(accepted)
        loop.set_fd_handler(server)


def test_what_is_there_is_reported_until_it_is_read(loop, sockets, calls):
    sockets[1].send(b"xyz")
    loop.set_fd_handler(sockets[0], lambda: calls.append(1))
    assert loop.run_until(lambda: calls, timeout=20)
    for _ in range(3):
        assert loop.wait(True) == 1
    sockets[0].recv(1)
    assert loop.wait(True) == 1                      # some is left
    sockets[0].recv(10)
    assert loop.wait(True) == 0


def test_a_loop_has_its_handles_closed_with_it():
    dll = ctypes.WinDLL("kernel32")

    def handles():
        count = ctypes.c_ulong()
        here = ctypes.c_void_p(dll.GetCurrentProcess())
        assert dll.GetProcessHandleCount(here, ctypes.byref(count))
        return count.value

    def once():
        with q.MainLoop() as loop:
            loop.notify()
            loop.wait()
            ours, theirs = socket.socketpair()
            with ours, theirs:
                loop.set_fd_handler(ours, print)
                loop.wait(True)
                loop.set_fd_handler(ours)

    once()
    before = handles()
    for _ in range(10):
        once()
    assert handles() < before + 10
