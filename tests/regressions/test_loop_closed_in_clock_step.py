"""clock_step() ran a context's timers without holding it: the context was freed under them."""

import gc
import subprocess
import sys

import pytest

import qemu_mainloop as q


@pytest.fixture
def stopped_clock():
    q.clock_enable(q.Clock.VIRTUAL, False)
    return q.clock_get_ns(q.Clock.VIRTUAL)


def test_loop_whose_last_reference_goes_in_the_callback(stopped_clock):
    ran = []

    def make():
        loop = q.MainLoop()
        timer = loop.timer_new(lambda: ran.append(gc.collect()), q.Clock.VIRTUAL)
        timer.mod_ns(stopped_clock + 10)

    make()
    assert q.clock_step(20) == stopped_clock + 20
    gc.collect()
    assert len(ran) == 1


def test_close_in_the_callback_is_refused(stopped_clock):
    loop = q.MainLoop()
    timer = loop.timer_new(loop.close, q.Clock.VIRTUAL)
    timer.mod_ns(stopped_clock + 10)
    with pytest.raises(RuntimeError, match="closed inside"):
        q.clock_step(20)
    loop.close()


def test_virtual_clock_saturates():
    """2**63 - 1 and running on became a negative time."""
    program = (
        "import qemu_mainloop as q\n"
        "q.clock_set(2**63 - 1)\n"
        "q.clock_enable(q.Clock.VIRTUAL, True)\n"
        "print(q.clock_get_ns(q.Clock.VIRTUAL) == 2**63 - 1)\n"
    )
    done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True)
    assert done.stdout == "True\n", done.stderr
