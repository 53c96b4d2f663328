"""One bottom half, and many, in the hands of several threads at once."""

import sys
import threading


def test_every_method_of_one_at_once(loop, at_once, driven):
    runs = []
    bh = loop.bh_new(lambda: runs.append(1))
    with driven(loop):
        at_once(bh.schedule, bh.schedule, bh.schedule_idle, bh.cancel,
                lambda: (bh.scheduled, repr(bh), bh.loop, loop.info()))
    bh.cancel()
    runs.clear()
    bh.schedule()
    loop.wait(True)
    assert runs == [1] and not bh.scheduled


def test_what_is_scheduled_by_several_threads_runs_for_each(loop, at_once, driven, wait_for):
    runs = {name: [] for name in range(4)}

    def rounds_of(name):
        bh = loop.bh_new(lambda: runs[name].append(threading.get_ident()))

        def schedule_and_see():
            before = len(runs[name])
            bh.schedule()
            wait_for(lambda: len(runs[name]) > before)

        return schedule_and_see

    with driven(loop):
        at_once(*map(rounds_of, runs), times=25)
    assert all(len(ran) >= 25 for ran in runs.values())
    assert len({thread for ran in runs.values() for thread in ran}) == 1


def test_dropped_at_once_after_it_was_scheduled_it_runs(loop, at_once, driven):
    # The loop keeps it; each runs exactly once.
    runs = []
    scheduled = []

    def schedule_and_drop():
        loop.bh_new(lambda: runs.append(1)).schedule()
        scheduled.append(1)

    with driven(loop):
        at_once(*[schedule_and_drop] * 4)
    assert loop.run_until(lambda: len(runs) >= len(scheduled), timeout=10)
    assert len(runs) == len(scheduled)
    assert loop.info()["bottom_halves"] == 0


def test_dropped_while_it_is_cancelled_and_run(loop, at_once, driven):
    # Whether it runs is open; the object goes either way.
    def schedule_cancel_drop():
        bh = loop.bh_new(lambda: None)
        bh.schedule()
        bh.cancel()

    with driven(loop):
        at_once(*[schedule_cancel_drop] * 3)
    loop.wait(True)
    assert loop.info()["bottom_halves"] == 0


def test_deleted_by_several_threads_while_others_schedule_it(loop, at_once, driven, either):
    current = [loop.bh_new(lambda: None)]

    def replace():
        old = current[0]
        current[0] = loop.bh_new(lambda: None)
        old.delete()

    def schedule():
        either(current[0].schedule, "is deleted")

    def cancel():
        either(current[0].cancel, "is deleted")

    with driven(loop):
        at_once(replace, replace, schedule, schedule, cancel, lambda: repr(current[0]))
    current[0].delete()
    loop.wait(True)
    assert loop.info()["bottom_halves"] == 0


def test_deleted_at_the_same_time(loop, at_once):
    for _ in range(50):
        bh = loop.bh_new(lambda: None)
        bh.schedule()
        at_once(bh.delete, bh.delete, bh.delete, times=1)
        assert not bh.scheduled
    loop.wait(True)
    assert loop.info()["bottom_halves"] == 0


def test_callbacks_that_raise(loop, at_once, driven, oops, monkeypatch, wait_for):
    # Of several exceptions of an iteration one is raised, the others are reported.
    reported = []
    scheduled = []
    monkeypatch.setattr(sys, "unraisablehook", lambda args: reported.append(args.exc_type))

    def fail():
        raise oops

    def drop_a_failing_one():
        scheduled.append(1)
        loop.bh_new(fail).schedule()

    with driven(loop) as raised:
        at_once(drop_a_failing_one, drop_a_failing_one, times=50)
        wait_for(lambda: len(raised) + len(reported) >= len(scheduled))
    assert raised
    assert len(raised) + len(reported) == len(scheduled)
    assert set(reported) <= {oops}
