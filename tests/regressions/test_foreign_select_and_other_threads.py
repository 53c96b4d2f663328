"""What another thread scheduled between two calls of a foreign select() loop was overlooked.

qemu_bh_update_timeout() had given its answer, and qemu_iohandler_fill() looked at
notifications alone; the loop counted as awake, so nobody wrote the notifier.
"""

import select
import threading

import pytest

import qemu_mainloop as q


@pytest.fixture(autouse=True)
def awake(main_loop):
    """An earlier fill left the loop counting as asleep; a whole iteration ends that."""
    main_loop.notify()
    main_loop.wait()


def in_a_thread(call):
    thread = threading.Thread(target=call)
    thread.start()
    thread.join()


def fill():
    r, w, x = set(), set(), set()
    q.qemu_iohandler_fill(r, w, x)
    return r, w, x


def finish(sets, ready):
    """The foreign loop's round ends as it should."""
    q.qemu_iohandler_poll(*(set(fds) for fds in ready), sum(map(len, ready)))
    q.qemu_bh_poll()


@pytest.mark.parametrize("how", ["schedule", "schedule_idle"])
@pytest.mark.parametrize("when", ["before the fill", "after the fill"])
def test_a_bottom_half_scheduled_after_the_timeout_was_asked(main_loop, how, when):
    ran = []
    bh = main_loop.bh_new(lambda: ran.append(1))
    assert q.qemu_bh_update_timeout(1000) == 1000
    if when == "before the fill":
        in_a_thread(getattr(bh, how))
    sets = fill()
    if when == "after the fill":
        in_a_thread(getattr(bh, how))
    ready = select.select(*sets, 0)
    assert any(ready)
    finish(sets, ready)
    assert ran == [1]
    assert not any(select.select(*fill(), 0))        # once


def test_one_scheduled_before_a_fill_alone(main_loop):
    """A foreign loop that never asks for the timeout is woken, too."""
    ran = []
    bh = main_loop.bh_new(lambda: ran.append(1))
    bh.schedule()
    sets = fill()
    ready = select.select(*sets, 0)
    assert any(ready)
    finish(sets, ready)
    assert ran == [1]
