"""More sockets and more handles than one wait of the system takes."""

import contextlib
import socket
import threading

import pytest

import qemu_mainloop as q

MANY = 200
# The last place of one wait (64, three of them the loop's own), the first and the last of a
# group beyond (63), and some between.
PLACES = [0, 1, 59, 60, 61, 62, 63, 64, 122, 123, 124, 126, 187, 199]


@pytest.fixture
def events(main_loop, kernel, calls):
    """Registered; calls gets their index."""
    events = [kernel.event() for _ in range(MANY)]
    for i, event in enumerate(events):
        q.qemu_add_wait_object(event, calls.append, i)
    assert q.main_loop_wait(True) == 0
    return events


@pytest.mark.parametrize("place", PLACES)
def test_each_wakes_a_loop_that_sleeps(main_loop, kernel, events, calls, place):
    timer = threading.Timer(0.02, kernel.set, [events[place]])
    timer.start()
    assert q.main_loop_wait(False) == 1
    assert calls == [place]
    timer.join()
    assert q.main_loop_wait(True) == 0 and not kernel.is_signalled(events[place])


def test_exactly_the_signalled_ones_are_called(main_loop, kernel, events, calls):
    for signalled in (range(0, MANY, 7), range(MANY), [5, 150], [199]):
        calls.clear()
        for i in signalled:
            kernel.set(events[i])
        assert q.main_loop_wait(False) == len(signalled)
        assert sorted(calls) == sorted(signalled)
        assert q.main_loop_wait(True) == 0


def test_nothing_is_used_up_outside_a_wait(main_loop, kernel, events):
    """Also by threads that wait for those beyond 64: they wait as long as the loop does."""
    threading.Timer(0.02, main_loop.notify).start()
    q.main_loop_wait(False)
    for i in PLACES:
        kernel.set(events[i])
    assert all(kernel.is_signalled(events[i]) for i in PLACES)
    assert q.main_loop_wait(True) == 0


def test_some_go_and_others_come(main_loop, kernel, events, calls):
    for event in events[::2]:
        q.qemu_del_wait_object(event, None, None)
    for event in events:
        kernel.set(event)
    assert q.main_loop_wait(True) == MANY // 2 and sorted(calls) == list(range(1, MANY, 2))
    calls.clear()
    for i in range(0, MANY, 2):
        q.qemu_add_wait_object(events[i], calls.append, i)
    assert q.main_loop_wait(True) == MANY // 2 and sorted(calls) == list(range(0, MANY, 2))


def test_many_sockets(main_loop, calls):
    with contextlib.ExitStack() as stack:
        receiver = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        sockets = [stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                   for _ in range(MANY)]
        for i, one in enumerate(sockets):
            one.bind(("127.0.0.1", 0))
            main_loop.set_fd_handler(one, lambda i=i, one=one: (calls.append(i), one.recv(10)))
        assert main_loop.wait(True) == 0
        for i in PLACES:
            receiver.sendto(b"x", sockets[i].getsockname())
        assert main_loop.run_until(lambda: len(calls) >= len(PLACES), timeout=20)
        assert sorted(calls) == PLACES and main_loop.wait(True) == 0
        for one in sockets:
            main_loop.set_fd_handler(one)
