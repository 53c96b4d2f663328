"""A loop is woken while it falls asleep: nothing is lost, and nothing comes late."""

import pytest

import qemu_mainloop as q

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.mark.parametrize("how", ["notify", "schedule", "oneshot", "timer"])
def test_a_wake_up_that_races_the_sleep_is_not_lost(races, seed, times, fdmon, how):
    """Bugs A1 to A7 and A11 of the original: each round ends within the deadline."""
    counts = races.wake_against_sleep(seed, times(10_000), how, fdmon)
    assert counts["wakes"] == times(10_000)
    assert counts["sleeps"] > 0


def test_three_wakers_at_a_time(races, seed, times, fdmon):
    """Bug A4: another thread's notification may be on its way, and wakes nobody yet."""
    counts = races.wake_against_sleep(seed, times(15_000), "notify", fdmon, wakers=3)
    assert counts["wakes"] == times(15_000)


def test_a_signal_handler_notifies_inside_a_notification(races, seed, times, fdmon):
    """Bug A4: the thread that was first cannot go on before the loop has looked."""
    counts = races.notify_inside_notify(seed, times(6_000), fdmon)
    assert counts["signals"] == times(6_000)


def test_an_iothread_stops_whenever_it_is_told(races, seed, times):
    """Bugs A7 and A8: on the way to its first sleep, or before it begins."""
    counts = races.stop_against_start(seed, times(3_000))
    assert counts["iothreads"] == times(3_000)


def test_run_ends_whenever_it_is_told(seed, times, loop):
    """Row stop(): from another thread, on the way to the sleep and before run() begins."""
    import random
    import threading

    draw = random.Random(seed)
    rounds = times(1_000)
    entered, returned = threading.Semaphore(0), threading.Semaphore(0)

    def stop():
        for _ in range(rounds):
            entered.acquire()
            for _ in range(draw.randrange(20)):
                pass
            loop.stop()
            if not returned.acquire(timeout=20):
                return

    stopper = threading.Thread(target=stop)
    stopper.start()
    for _ in range(rounds):
        entered.release()
        loop.run()                   # a stop that is lost makes it run for ever
        returned.release()
    stopper.join()


def test_an_iothread_of_python_stops_at_once(times):
    """Bug A8."""
    for _ in range(times(300)):
        q.IOThread("short").stop()
