"""Read and write were due; read's callback waited nested, which served write; the outer
iteration then called write again on what it had been told before."""


def test_write_served_by_a_nested_wait_is_not_called_again(loop, sockets):
    near, far = sockets
    log = []

    def on_read():
        near.recv(10)
        log.append("read")
        log.append(("nested", loop.wait(True)))

    def on_write():
        log.append("write")
        try:
            while True:
                near.send(b"x" * 100_000)
        except BlockingIOError:
            pass

    loop.set_fd_handler(near, on_read, on_write)
    far.send(b"1")
    loop.wait(True)
    loop.set_fd_handler(near)
    assert log == ["read", "write", ("nested", 1)]
