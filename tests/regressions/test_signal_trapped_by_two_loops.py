"""Of two loops that had trapped a signal one removed its handler: the signal went back to what was
there before both, and the other's callback was never called again."""

import signal

import pytest

import qemu_mainloop as q

pytestmark = pytest.mark.posix_only(reason="there is no SIGUSR1")


@pytest.fixture
def trapped():
    """What the signal found, and a function that sends it: three loops, which trap it in turn,
    and Python's handler from before."""
    found = []
    before = signal.signal(signal.SIGUSR1, lambda *_: found.append("before"))
    loops = [q.MainLoop() for _ in range(3)]
    for number, loop in enumerate(loops):
        loop.add_signal_handler(signal.SIGUSR1, lambda number=number: found.append(number))

    def send():
        found.clear()
        signal.raise_signal(signal.SIGUSR1)
        for loop in loops:
            if not loop.closed:
                loop.wait(True)
        return found

    yield loops, send
    for loop in loops:
        loop.close()
    signal.signal(signal.SIGUSR1, before)


def test_the_last_one_has_it_until_it_is_removed(trapped):
    loops, send = trapped
    assert send() == [2]
    assert loops[2].remove_signal_handler(signal.SIGUSR1)
    assert send() == [1]
    loops[1].close()
    assert send() == [0]
    loops[0].remove_signal_handler(signal.SIGUSR1)
    assert send() == ["before"]


def test_one_that_is_covered_goes_unnoticed(trapped):
    loops, send = trapped
    assert loops[1].remove_signal_handler(signal.SIGUSR1)
    assert not loops[1].remove_signal_handler(signal.SIGUSR1)
    assert send() == [2]
    loops[0].add_signal_handler(signal.SIGUSR1, print)
    loops[0].close()
    assert send() == [2]
    loops[2].close()
    assert send() == ["before"]
