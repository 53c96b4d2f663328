"""Timers in the hands of several threads at once."""

import qemu_mainloop as q

SOON_NS = 20_000


def soon():
    return q.clock_get_ns() + SOON_NS


def test_every_method_of_one_at_once(loop, at_once, driven):
    runs = []
    timer = loop.timer_new(lambda: runs.append(1))
    with driven(loop):
        at_once(lambda: timer.mod_ns(soon()), lambda: timer.mod_anticipate_ns(soon()),
                lambda: timer.mod(soon(), q.SCALE_NS), timer.delete,
                lambda: (timer.pending, timer.expire_time_ns, repr(timer), timer.clock))
    timer.delete()
    runs.clear()
    assert not timer.pending
    timer.mod_ns(soon())
    assert loop.run_until(lambda: runs, timeout=10)
    assert runs == [1]


def test_dropped_while_armed_it_runs(loop, at_once, driven):
    runs = []
    armed = []

    def arm_and_drop():
        loop.timer_new(lambda: runs.append(1)).mod_ns(soon())
        armed.append(1)

    with driven(loop):
        at_once(*[arm_and_drop] * 4)
    assert loop.run_until(lambda: len(runs) >= len(armed), timeout=10)
    assert len(runs) == len(armed)
    assert loop.info()["timers"] == 0


def test_dropped_while_it_is_disarmed_and_due(loop, at_once, driven):
    def arm_disarm_drop():
        timer = loop.timer_new(lambda: None)
        timer.mod_ns(0)
        timer.delete()

    with driven(loop):
        at_once(*[arm_disarm_drop] * 4)
    assert loop.info()["timers"] == loop.info()["pending_timers"] == 0


def test_armed_again_by_its_callback_and_by_others(loop, at_once, driven):
    timer = loop.timer_new(lambda: timer.mod_ns(soon()))
    with driven(loop):
        at_once(lambda: timer.mod_ns(soon()), timer.delete, loop.info)
        timer.delete()
    # Its last run may have armed it after that.
    timer.delete()
    assert loop.info()["pending_timers"] == 0


def test_callbacks_that_raise(loop, at_once, driven, oops, wait_for):
    # One timer, armed by several threads, whose callback raises: each run ends in run().
    ran = []

    def fail():
        ran.append(1)
        raise oops

    timer = loop.timer_new(fail)
    with driven(loop) as raised:
        at_once(*[lambda: timer.mod_ns(0)] * 3, times=50)
        wait_for(lambda: not timer.pending and len(raised) == len(ran))
    assert raised


def test_clocks_read_and_set_by_everybody(loop, at_once, driven):
    q.clock_enable(q.Clock.VIRTUAL, False)
    timer = loop.timer_new(lambda: None, q.Clock.VIRTUAL)

    def step():
        try:
            q.clock_step(10)
        except RuntimeError as e:
            assert "virtual clock" in str(e)

    with driven(loop):
        at_once(step, step, lambda: timer.mod_ns(q.clock_get_ns(q.Clock.VIRTUAL) + 15),
                timer.delete, times=100)
    timer.delete()
