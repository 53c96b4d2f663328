"""Dropping a chain of objects, each of which is the callback of the next one, recursed once for
each: a long one ran into the end of the stack."""

import pytest

import qemu_mainloop as q

LENGTH = 200_000


@pytest.mark.slow
@pytest.mark.parametrize("make, method", [("bh_new", "schedule"), ("timer_new", "delete")])
def test_a_long_chain_is_dropped(make, method):
    loop = q.MainLoop()
    last = getattr(loop, make)(print)
    for _ in range(LENGTH):
        last = getattr(loop, make)(getattr(last, method))
    del last
    info = loop.info()
    assert info["bottom_halves"] == info["timers"] == 0
    loop.close()
