"""A timer that was disarmed and dropped leaves its part of the core to the next one: nothing of
what it was comes with it."""

import gc
import sys
import threading
import time

import pytest

import qemu_mainloop as q

pytestmark = pytest.mark.timeout(20)

FAR = 2**62


def dropped(loop, number, clock=0, armed=True):
    timers = [loop.timer_new(lambda: None, clock) for _ in range(number)]
    if armed:
        for n, timer in enumerate(timers):
            timer.mod_ns(FAR - n)
        for timer in timers:
            timer.delete()


@pytest.mark.parametrize("armed", [False, True])
@pytest.mark.parametrize("number", [3, 3000])
def test_the_next_ones_are_new(loop, number, armed):
    dropped(loop, number, armed=armed)
    assert loop.info()["timers"] == 0
    calls = []
    timers = [loop.timer_new(lambda n=n: calls.append(n)) for n in range(2 * number)]
    assert loop.info()["timers"] == 2 * number
    assert not any(timer.pending for timer in timers)
    for timer in timers:
        timer.mod_ns(0)
    assert loop.info()["pending_timers"] == 2 * number
    loop.wait(True)
    assert calls == list(range(2 * number))
    del timer, timers
    assert loop.info()["timers"] == 0


def test_each_clock_has_its_own(loop):
    dropped(loop, 2, q.Clock.VIRTUAL)        # which is stopped
    calls = []
    timer = loop.timer_new(lambda: calls.append(1))
    timer.mod_ns(0)
    loop.wait(True)
    assert calls == [1]
    timer = loop.timer_new(lambda: calls.append(2), q.Clock.VIRTUAL)
    timer.mod_ns(0)
    loop.wait(True)
    assert calls == [1] and timer.pending


def test_one_that_fires_while_it_is_dropped_calls_nobody_else(loop):
    """Its callback is about to begin: the loop's thread waits for the GIL."""
    calls = []
    interval = sys.getswitchinterval()
    thread = threading.Thread(target=loop.run)
    thread.start()
    sys.setswitchinterval(15)
    try:
        timer = loop.timer_new(lambda: calls.append("first"))
        timer.mod_ns(time.monotonic_ns() + 2_000_000)
        while timer.pending:             # not a moment of which the other thread has the GIL
            pass
        timer.delete()
        del timer
        others = [loop.timer_new(lambda: calls.append("other")) for _ in range(3)]
        for other in others:
            other.mod_ns(FAR)
    finally:
        sys.setswitchinterval(interval)
    done = threading.Event()
    loop.bh_new(done.set).schedule()
    done.wait()
    loop.stop()
    thread.join()
    assert "other" not in calls
    assert loop.info()["timers"] == 3


def test_a_closed_loop_and_one_that_is_gone(loop):
    dropped(loop, 5)
    late = loop.timer_new(lambda: None)
    late.mod_ns(FAR)
    late.delete()
    loop.close()
    del late
    gone = q.MainLoop()
    dropped(gone, 5)
    del gone
    gc.collect()


def test_an_iothreads_loop_is_gone_before_its_thread():
    with q.IOThread() as thread:
        dropped(thread.loop, 5)
        gc.collect()
        assert thread.loop.info()["timers"] == 0


def test_the_main_loop_closed_and_made_anew(main_loop):
    kept = main_loop.timer_new(lambda: None)
    dropped(main_loop, 5)
    main_loop.close()
    again = q.main_loop()
    del kept
    assert again.info()["timers"] == 0
    dropped(again, 5)
    assert again.info()["timers"] == 0
