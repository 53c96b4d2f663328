"""Bottom halves: cancelled and deleted, before they run, by others, in their own callback."""

import gc

import pytest

pytestmark = pytest.mark.timeout(20)


class Callback:
    """Counts its calls, and can be watched by a weak reference."""

    calls = 0

    def __call__(self):
        self.calls += 1


def test_cancelled_one_does_not_run(loop):
    callback = Callback()
    bh = loop.bh_new(callback)
    bh.schedule()
    bh.cancel()
    assert not bh.scheduled
    loop.wait(True)
    assert callback.calls == 0


def test_cancelled_idle_one_does_not_limit_the_sleep(loop, iterations_in):
    bh = loop.bh_new(print)
    bh.schedule_idle()
    bh.cancel()
    assert iterations_in(loop, 50) <= 3


def test_cancelling_what_is_not_scheduled_is_no_error(loop):
    bh = loop.bh_new(print)
    bh.cancel()
    bh.cancel()
    loop.wait(True)


def test_cancelled_one_scheduled_again_runs_once(loop):
    """Row "bottom-half order": its place may be the earlier one; it runs once."""
    callback = Callback()
    bh = loop.bh_new(callback)
    bh.schedule()
    bh.cancel()
    bh.schedule()
    loop.wait(True)
    loop.wait(True)
    assert callback.calls == 1


def test_cancel_by_an_earlier_one_in_the_same_phase_holds(loop):
    """Row "delete / cancel": from anywhere."""
    callback = Callback()
    canceller = loop.bh_new(lambda: bh.cancel())
    bh = loop.bh_new(callback)
    canceller.schedule()
    bh.schedule()
    loop.wait(True)
    loop.wait(True)
    assert callback.calls == 0


def test_delete_by_an_earlier_one_in_the_same_phase_holds(loop):
    """Row "delete / cancel": from anywhere (B2)."""
    callback = Callback()
    deleter = loop.bh_new(lambda: bh.delete())
    bh = loop.bh_new(callback)
    deleter.schedule()
    bh.schedule()
    loop.wait(True)
    assert callback.calls == 0


def test_deleted_one_does_not_run(loop):
    callback = Callback()
    bh = loop.bh_new(callback)
    bh.schedule()
    bh.delete()
    loop.wait(True)
    assert callback.calls == 0
    assert loop.info()["bottom_halves"] == 0


def test_one_may_delete_itself(loop):
    """Row "delete / cancel": its own callback included."""
    calls = []
    bh = loop.bh_new(lambda: (calls.append(1), bh.delete()))
    bh.schedule()
    loop.wait()
    loop.wait(True)
    assert calls == [1]
    assert loop.info()["bottom_halves"] == 0


def test_one_that_schedules_and_deletes_itself_does_not_run_again(loop):
    """Row "delete / cancel": its own callback included."""
    calls = []
    bh = loop.bh_new(lambda: (calls.append(1), bh.schedule(), bh.delete()))
    bh.schedule()
    loop.wait()
    loop.wait(True)
    assert calls == [1]


def test_several_that_delete_themselves_after_some_runs(loop):
    """Row "delete / cancel": those that are left go on."""
    runs = [0] * 4
    limits = [1, 3, 2, 4]

    def callback(i):
        runs[i] += 1
        if runs[i] == limits[i]:
            bhs[i].delete()
        else:
            bhs[i].schedule()

    bhs = [loop.bh_new(lambda i=i: callback(i)) for i in range(4)]
    for bh in bhs:
        bh.schedule()
    loop.wait(True)
    assert runs == [1, 1, 1, 1]
    assert loop.run_until(lambda: runs == limits, timeout=5)
    loop.wait(True)
    assert runs == limits
    assert loop.info()["bottom_halves"] == 0


def test_one_deleted_in_a_nested_wait_is_not_used_by_the_outer_pass(loop):
    """B2: deleted while an outer pass stands on it."""
    calls = []

    def outer():
        calls.append("outer")
        first.delete()
        second.delete()
        loop.wait(True)
        gc.collect()

    first = loop.bh_new(outer)
    second = loop.bh_new(lambda: calls.append("second"))
    third = loop.bh_new(lambda: calls.append("third"))
    for bh in (first, second, third):
        bh.schedule()
    loop.wait(True)
    assert calls == ["outer", "third"]


def test_deleting_twice_is_no_error(loop):
    bh = loop.bh_new(print)
    bh.delete()
    bh.delete()


@pytest.mark.parametrize("method", ["schedule", "schedule_idle", "cancel"])
def test_deleted_one_cannot_be_used(loop, method):
    bh = loop.bh_new(print)
    bh.delete()
    with pytest.raises(RuntimeError, match="BottomHalf"):
        getattr(bh, method)()
