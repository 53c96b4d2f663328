"""Registrations that other threads make and take back while the loop runs.

Row "removal then close()" and section 2.4: a removal takes effect within the loop's next
iteration; one call may be in progress, and after the loop has run something of ours, none.
"""

import socket
import sys
import threading

import pytest

ROUNDS = 150
# wine's server (8.0) ends on an assertion of its own when several threads close sockets that
# it waits for.
THREADS = 1 if sys.platform == "win32" else 3


@pytest.fixture
def running(loop):
    """The loop of each fdmon, run by a thread of its own."""
    thread = threading.Thread(target=loop.run)
    thread.start()
    yield loop
    loop.stop()
    thread.join(20)


def barrier(loop):
    """Returns when the loop has run something that was scheduled now."""
    done = threading.Event()
    bh = loop.bh_new(done.set)
    bh.schedule()
    assert done.wait(20)


def rounds(loop, rounds, busy, failures):
    """Registers, removes and closes; the peer sees the end, the handler is called no more."""
    for i in range(rounds):
        mine, peer = socket.socketpair()
        peer.settimeout(20)
        calls = []
        # A busy one is writable all the time, so that removal and report meet.
        if busy:
            loop.set_fd_handler(mine, None, lambda calls=calls: calls.append(1))
        else:
            loop.set_fd_handler(mine, lambda calls=calls: calls.append(1))
        if i % 3 == 0:
            barrier(loop)
        loop.set_fd_handler(mine)
        mine.close()
        loop.notify()
        if peer.recv(10) != b"":
            failures.append("the peer did not see the end")
        peer.close()
        barrier(loop)
        count = len(calls)
        barrier(loop)
        if len(calls) != count:
            failures.append("called after its removal")


@pytest.mark.parametrize("busy", [False, True], ids=["idle", "busy"])
def test_what_threads_remove_is_gone(running, busy):
    """Also under load, on the fdmon that can be told only between its waits."""
    failures = []
    threads = [threading.Thread(target=rounds, args=(running, ROUNDS, busy, failures))
               for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert running.info()["handlers"] == 0
