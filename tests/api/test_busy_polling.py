"""How long the loop polls busily before it sleeps: grown by what it would have caught."""

import time

import pytest

import qemu_mainloop as q

pytestmark = pytest.mark.timeout(60)
MS = 1_000_000
MAX_NS = 50 * MS
FIRST_NS = 4000


@pytest.fixture
def wait_for():
    """wait_for(loop, ns): sleeps until a timer of so many nanoseconds has fired."""

    def run(loop, ns):
        fired = []
        timer = loop.timer_new(lambda: fired.append(1))
        timer.mod_ns(q.clock_get_ns() + ns)
        while not fired:
            loop.wait()

    return run


def test_it_grows_from_nothing_by_doubling(loop, wait_for):
    """A wait that is over within poll_max_ns would have been caught by polling for longer."""
    loop.poll_max_ns = MAX_NS
    wait_for(loop, 2 * MAX_NS)
    known = [loop.info()["poll_ns"]]
    assert known == [0]
    end = time.monotonic() + 30
    while known[-1] < 8 * FIRST_NS:
        assert time.monotonic() < end, known
        wait_for(loop, 2 * MS)
        known.append(loop.info()["poll_ns"])
    # A machine that is busy with others wakes the loop too late: it begins anew, from nothing.
    allowed = {0: {0, FIRST_NS}}
    for before, after in zip(known, known[1:], strict=False):
        assert after in allowed.get(before, {0, before, 2 * before}), known


def test_it_does_not_grow_beyond_what_is_allowed(loop, wait_for):
    loop.poll_max_ns = MAX_NS
    wait_for(loop, 2 * MAX_NS)
    loop.wait(True)
    known = 0
    end = time.monotonic() + 30
    while known != MAX_NS:
        assert time.monotonic() < end, known
        wait_for(loop, min(known + MS, MAX_NS - MS))
        known = loop.info()["poll_ns"]
        assert known <= MAX_NS
