"""Cython programs on Windows, which .ci/windows builds against the installed package."""

import probe_many
import pytest
import wait_object

EVERY = range(200)


@pytest.fixture(scope="module")
def probe():
    probe_many.open()
    yield probe_many
    probe_many.close()


@pytest.mark.parametrize("sockets, events", [
    ([], [0]), ([0], []), ([199], [199]), ([3, 64, 130], [59, 60, 61, 62, 63, 64, 126, 127, 187]),
    (EVERY[::7], EVERY[::3]), (EVERY, EVERY),
], ids=["event", "socket", "last", "borders", "many", "all"])
def test_exactly_the_signalled_ones_of_400_are_called_once(probe, sockets, events):
    called_sockets, called_events, count = probe.signal(sockets, events)
    assert called_sockets == dict.fromkeys(sockets, 1)
    assert called_events == dict.fromkeys(events, 1)
    assert count == len(sockets) + len(events)


def test_the_example_of_a_wait_object(main_loop):
    assert wait_object.main(10) == 385
    assert wait_object.main(0) == 0
