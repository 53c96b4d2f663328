"""Timers: what the loop keeps, closed loops, errors."""

import gc
import weakref

import pytest

import qemu_mainloop as q

pytestmark = pytest.mark.timeout(20)

FAR = 2**62


class Callback:
    """Counts its calls, and can be watched by a weak reference."""

    calls = 0

    def __call__(self):
        self.calls += 1


def test_pending_one_is_kept_by_the_loop_and_dies_after_it_fired(loop):
    callback = Callback()
    seen = weakref.ref(callback)
    loop.timer_new(callback).mod_ns(0)
    gc.collect()
    assert loop.info()["timers"] == 1
    loop.wait(True)
    assert callback.calls == 1
    del callback
    gc.collect()
    assert seen() is None
    assert loop.info()["timers"] == 0


@pytest.mark.parametrize("end", ["never armed", "deleted", "loop closed"])
def test_one_that_will_not_fire_dies_with_its_last_reference(loop, end):
    callback = Callback()
    seen = weakref.ref(callback)
    timer = loop.timer_new(callback)
    if end != "never armed":
        timer.mod_ns(FAR)
    if end == "deleted":
        timer.delete()
    elif end == "loop closed":
        loop.close()
    del timer, callback
    gc.collect()
    assert seen() is None


def test_periodic_one_dropped_in_its_callback_goes_on(loop):
    calls = []
    holder = []

    def callback():
        calls.append(1)
        if holder:
            holder.pop().mod_ns(0)

    holder.append(loop.timer_new(callback))
    holder[0].mod_ns(0)
    for _ in range(3):
        loop.wait(True)
        gc.collect()
    assert calls == [1, 1]


def test_one_freed_by_an_earlier_one_in_the_same_phase_does_not_fire(loop):
    calls = []
    timers = {}

    def first():
        calls.append("first")
        timers.pop("second").delete()
        gc.collect()

    timers["first"] = loop.timer_new(first)
    timers["second"] = loop.timer_new(lambda: calls.append("second"))
    timers["third"] = loop.timer_new(lambda: calls.append("third"))
    for when, name in enumerate(("first", "second", "third")):
        timers[name].mod_ns(when)
    loop.wait(True)
    assert calls == ["first", "third"]


def test_nested_wait_in_a_callback_goes_on_with_the_others_once(loop):
    """Row "nested main_loop_wait from a callback": nothing is dispatched twice."""
    calls = []
    first = loop.timer_new(lambda: (calls.append("first"), loop.wait(True), calls.append("back")))
    second = loop.timer_new(lambda: calls.append("second"))
    first.mod_ns(1)
    second.mod_ns(2)
    loop.wait(True)
    loop.wait(True)
    assert calls == ["first", "second", "back"]


def test_closed_loop_fires_nothing_and_says_so(loop):
    timer = loop.timer_new(print)
    timer.mod_ns(FAR)
    loop.close()
    assert (timer.pending, timer.expire_time_ns) == (False, -1)
    for use in (timer.delete, lambda: timer.mod_ns(0), lambda: timer.mod(0),
                lambda: timer.mod_anticipate_ns(0)):
        with pytest.raises(RuntimeError, match="closed"):
            use()


def test_new_one_on_a_closed_loop_is_a_runtime_error(loop):
    loop.close()
    with pytest.raises(RuntimeError, match="closed"):
        loop.timer_new(print)


def test_unclosed_loop_in_a_cycle_with_its_timer_is_collected(fdmon):
    def make():
        loop = q.MainLoop(fdmon=fdmon)
        loop.timer_new(lambda: loop).mod_ns(FAR)
        return weakref.ref(loop)

    seen = make()
    gc.collect()
    assert seen() is None


def test_callback_that_raises_does_not_keep_others_from_firing(loop):
    callback = Callback()

    def fail():
        raise LookupError("first")

    bad, good = loop.timer_new(fail), loop.timer_new(callback)
    bad.mod_ns(0)
    good.mod_ns(1)
    with pytest.raises(LookupError, match="first"):
        loop.wait(True)
    assert callback.calls == 1
    assert not bad.pending


def test_callback_that_cannot_be_called_is_a_type_error(loop):
    with pytest.raises(TypeError, match="callable"):
        loop.timer_new(None)


@pytest.mark.parametrize("clock", [-1, 3, "REALTIME", None])
def test_unknown_clock_is_a_value_error(loop, clock):
    with pytest.raises(ValueError, match="Clock"):
        loop.timer_new(print, clock=clock)


def test_time_that_is_no_number_is_a_type_error(loop):
    timer = loop.timer_new(print)
    for when in (None, "1", []):
        with pytest.raises(TypeError):
            timer.mod_ns(when)
    assert not timer.pending


def test_class_cannot_be_called():
    with pytest.raises(TypeError, match="timer_new"):
        q.Timer()
