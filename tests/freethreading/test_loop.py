"""A loop in the hands of several threads at once."""

import gc
import signal
import threading
import weakref

import pytest

import qemu_mainloop as q


def test_asked_driven_and_woken_by_everybody(loop, at_once, either):
    def wait():
        either(lambda: loop.wait(True), "polled by another thread")

    def run():
        loop.stop()
        either(loop.run, "polled by another thread")

    at_once(wait, wait, run, loop.stop, loop.notify,
            lambda: (loop.info(), loop.fdmon, repr(loop), loop.closed, loop.poll_max_ns))


@pytest.mark.parametrize("_again", range(15))
def test_closed_while_others_use_it(fdmon, at_once, either, _again):
    loop = q.MainLoop(fdmon=fdmon)
    bh = loop.bh_new(lambda: None)
    timer = loop.timer_new(lambda: None)

    def maybe(function):
        return lambda: either(function, "is closed", "polled by another", "inside its own wait")

    at_once(
        maybe(loop.close),
        maybe(loop.close),
        maybe(bh.schedule),
        maybe(lambda: timer.mod_ns(0)),
        maybe(lambda: loop.wait(True)),
        maybe(loop.notify),
        maybe(loop.info),
        maybe(lambda: loop.bh_new(print)),
        lambda: (loop.stop(), bh.scheduled, timer.pending, repr(loop), repr(bh)),
        times=5,
    )
    loop.close()
    with pytest.raises(RuntimeError, match="is closed"):
        loop.wait(True)


def test_closed_under_a_thread_that_drives_it(fdmon, at_once, either, wait_for):
    # The close is refused as long as the other is in an iteration; between two it succeeds,
    # and the next one says so.
    loop = q.MainLoop(fdmon=fdmon)

    def drive():
        with pytest.raises(RuntimeError, match="is closed"):
            while True:
                loop.wait(True)

    def close():
        wait_for(lambda: either(loop.close, "polled by another", "own wait") or loop.closed)

    at_once(drive, close, times=1)


def test_references_dropped_while_it_runs(at_once, fdmon):
    # A loop that nobody refers to goes, with what is scheduled and registered in it.
    gone = []

    def live_and_die():
        loop = q.MainLoop(fdmon=fdmon)
        weakref.finalize(loop, gone.append, 1)
        bh = loop.bh_new(lambda: loop)
        bh.schedule()
        loop.timer_new(bh.cancel).mod_ns(0)
        loop.wait(True)
        bh.schedule()

    at_once(*[live_and_die] * 3, times=10)
    gc.collect()
    gc.collect()
    assert len(gone) >= 30


def test_stop_ends_each_run(loop, at_once):
    # Every run() ends with a stop() that came after it began or before.
    rounds = []
    turn = threading.Semaphore(0)

    def drive():
        turn.release()
        loop.run()
        rounds.append(1)

    def stop():
        assert turn.acquire(timeout=60)
        loop.stop()

    at_once(drive, stop)
    assert len(rounds) % 200 == 0


def test_the_main_loop_is_one_object_however_many_make_it(at_once):
    for _ in range(20):
        q.main_loop().close()
        made = []
        at_once(*[lambda made=made: made.append(q.main_loop())] * 4, times=1)
        assert len({id(loop) for loop in made}) == 1


def test_the_main_loop_made_and_closed_by_everybody(at_once, either):
    def use():
        either(q.main_loop().notify, "is closed")

    def close():
        either(q.main_loop().close, "inside its own wait")

    at_once(use, use, close, close)
    assert not q.main_loop().closed


def test_signal_handlers_set_and_removed_while_signals_come(loop, at_once, driven):
    def trap():
        loop.add_signal_handler(signal.SIGUSR2, lambda: None)

    # What comes while it is not trapped goes here, and does not end the process.
    before = signal.signal(signal.SIGUSR2, lambda *args: None)
    try:
        with driven(loop):
            at_once(trap, trap, lambda: loop.remove_signal_handler(signal.SIGUSR2),
                    lambda: signal.raise_signal(signal.SIGUSR2), times=50)
        loop.remove_signal_handler(signal.SIGUSR2)
    finally:
        signal.signal(signal.SIGUSR2, before)
    loop.wait(True)
    assert loop.info()["bottom_halves"] == 0
