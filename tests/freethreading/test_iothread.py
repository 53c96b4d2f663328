"""IOThreads in the hands of several threads at once."""

import pytest

import qemu_mainloop as q


@pytest.mark.parametrize("_again", range(10))
def test_stopped_by_several_threads(at_once, _again):
    io = q.IOThread("io")
    runs = []
    io.loop.bh_new(lambda: runs.append(1)).schedule()
    at_once(io.stop, io.stop, io.stop, lambda: (repr(io), io.name, io.loop.info()), times=1)
    io.loop.close()
    assert len(runs) <= 1


def test_served_while_everybody_uses_its_loop(at_once, wait_for):
    with q.IOThread("io") as io:
        loop = io.loop
        runs, scheduled = [], []

        def schedule():
            loop.bh_new(lambda: runs.append(1)).schedule()
            scheduled.append(1)

        def arm():
            loop.timer_new(lambda: runs.append(1)).mod_ns(0)
            scheduled.append(1)

        at_once(schedule, schedule, arm, loop.info, lambda: repr(loop))
        wait_for(lambda: len(runs) >= len(scheduled))
    io.loop.close()
    assert len(runs) == len(scheduled)


def test_several_threads_share_callbacks(at_once, wait_for):
    # The same callback in the bottom halves of three loops with threads of their own.
    runs = []
    threads = [q.IOThread(f"io{i}") for i in range(3)]
    halves = [io.loop.bh_new(lambda: runs.append(1)) for io in threads]
    at_once(*[bh.schedule for bh in halves])
    for bh, io in zip(halves, threads, strict=True):
        wait_for(lambda bh=bh: not bh.scheduled)
        io.stop()
        io.loop.close()
    assert runs


def test_made_and_stopped_by_everybody(at_once):
    def live():
        with q.IOThread("io") as io:
            io.loop.notify()
        io.loop.close()

    at_once(*[live] * 3, times=15)
