"""A hosted loop on the poll fdmon kept its host awake for a descriptor that had been closed.

What its host sees is an epoll set beside poll(2)'s array.  A number that is closed while a
duplicate keeps its file alive leaves an entry in that set which no number names any more: it
was ready for ever, and nobody made the set anew.
"""

import fcntl
import os
import select

import pytest

import qemu_mainloop as q

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def hosted():
    """A loop on the poll fdmon, and settles(): it wants no iteration after at most so many."""
    with q.MainLoop(fdmon="poll") as loop:

        def settles(within=20):
            for _ in range(within):
                if not select.select([loop.fileno()], [], [], 0)[0]:
                    return True
                loop.wait(True)
            return False

        assert settles()
        yield loop, settles


@pytest.fixture
def closed_number(hosted, pipe):
    """A number closed under its handler, whose file is ready and lives on."""
    loop, settles = hosted
    number = fcntl.fcntl(pipe[0], fcntl.F_DUPFD_CLOEXEC, 200)
    loop.set_fd_handler(number, lambda: None)
    os.write(pipe[1], b"x")
    loop.wait(True)
    os.close(number)
    return number


def test_its_handler_is_still_there(hosted, closed_number):
    assert hosted[1]()
    assert hosted[0].info()["closed_descriptors"] == 1


def test_its_handler_is_removed_before_the_loop_looks(hosted, closed_number):
    loop, settles = hosted
    loop.set_fd_handler(closed_number)
    assert settles()


def test_its_number_is_another_file_s(hosted, closed_number, sockets):
    loop, settles = hosted
    calls = []
    os.dup2(sockets[0].fileno(), closed_number, inheritable=False)
    try:
        loop.set_fd_handler(closed_number, lambda: calls.append(os.read(closed_number, 1)))
        assert settles()
        sockets[1].send(b"y")
        assert select.select([loop.fileno()], [], [], 20)[0]
        assert loop.run_until(lambda: calls, timeout=20)
        assert calls == [b"y"] and settles()
    finally:
        loop.set_fd_handler(closed_number)
        os.close(closed_number)
