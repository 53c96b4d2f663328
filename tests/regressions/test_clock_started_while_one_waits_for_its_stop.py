"""Who stopped a clock waited for callbacks that began after another thread had started it again.

It waited until no timer ran, and not for those that ran when it stopped the clock; it could wait
for as long as there was a next one.
"""

import threading

import pytest

import qemu_mainloop as q
from qemu_mainloop import Clock


def is_stopped():
    try:
        q.clock_step(0)
    except RuntimeError:
        return False
    return True


@pytest.mark.timeout(60)
def test_the_wait_ends_with_the_callback_that_ran():
    begun, started_again, returned = (threading.Event() for _ in range(3))
    in_time = []
    io = q.IOThread("x")
    first = io.loop.timer_new(lambda: (begun.set(), started_again.wait(10)), Clock.VIRTUAL)
    second = io.loop.timer_new(lambda: in_time.append(returned.wait(10)), Clock.VIRTUAL)

    def start_again():
        while not is_stopped():
            pass
        q.clock_enable(Clock.VIRTUAL, True)
        started_again.set()

    starter = threading.Thread(target=start_again)
    first.mod_ns(0)
    second.mod_ns(0)
    q.clock_enable(Clock.VIRTUAL, True)
    try:
        assert begun.wait(10)
        starter.start()
        q.clock_enable(Clock.VIRTUAL, False)
        returned.set()
        starter.join()
    finally:
        io.stop()
        q.clock_enable(Clock.VIRTUAL, False)
    assert in_time in ([True], [])
