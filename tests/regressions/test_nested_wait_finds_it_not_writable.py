"""Read and write were due; read's callback filled the socket and waited nested, which saw that
it was not writable any more; the outer iteration called write all the same, on old news."""


def test_write_is_not_called_on_what_a_nested_wait_found_void(loop, sockets):
    near, far = sockets
    log = []

    def on_read():
        near.recv(10)
        try:
            while True:
                near.send(b"x" * 100_000)
        except BlockingIOError:
            pass
        log.append(("nested", loop.wait(True)))

    loop.set_fd_handler(near, on_read, lambda: log.append("write"))
    far.send(b"1")
    assert loop.wait(True) == 1
    loop.set_fd_handler(near)
    assert log == [("nested", 0)]


def test_without_a_nested_wait_write_follows_read(loop, sockets):
    near, far = sockets
    log = []
    loop.set_fd_handler(near, lambda: log.append("read"), lambda: log.append("write"))
    far.send(b"1")
    loop.wait(True)
    loop.set_fd_handler(near)
    assert log == ["read", "write"]
