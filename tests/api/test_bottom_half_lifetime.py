"""Bottom halves: cancelled, deleted, dropped, while they are scheduled or run."""

import gc
import weakref

import pytest

import qemu_mainloop as q

pytestmark = pytest.mark.timeout(20)


class Callback:
    """Counts its calls, and can be watched by a weak reference."""

    calls = 0

    def __call__(self):
        self.calls += 1


@pytest.mark.parametrize("method", ["schedule", "schedule_idle", "cancel"])
def test_one_of_a_closed_loop_cannot_be_used(loop, method):
    bh = loop.bh_new(print)
    loop.close()
    with pytest.raises(RuntimeError, match="closed"):
        getattr(bh, method)()
    assert not bh.scheduled
    bh.delete()


def test_scheduled_says_whether_it_will_run(loop):
    states = []
    bh = loop.bh_new(lambda: states.append(bh.scheduled))
    states.append(bh.scheduled)
    bh.schedule()
    states.append(bh.scheduled)
    loop.wait(True)
    states.append(bh.scheduled)
    assert states == [False, True, False, False]


def test_scheduled_one_is_kept_by_the_loop_and_dies_after_its_run(loop):
    callback = Callback()
    seen = weakref.ref(callback)
    loop.bh_new(callback).schedule()
    gc.collect()
    loop.wait(True)
    assert callback.calls == 1
    del callback
    gc.collect()
    assert seen() is None
    assert loop.info()["bottom_halves"] == 0


@pytest.mark.parametrize("end", ["never scheduled", "cancelled", "deleted", "loop closed"])
def test_one_that_will_not_run_dies_with_its_last_reference(loop, end):
    callback = Callback()
    seen = weakref.ref(callback)
    bh = loop.bh_new(callback)
    if end != "never scheduled":
        bh.schedule()
    if end == "cancelled":
        bh.cancel()
    elif end == "deleted":
        bh.delete()
    elif end == "loop closed":
        loop.close()
    del bh, callback
    gc.collect()
    assert seen() is None


def test_one_that_schedules_itself_when_it_is_dropped_in_its_callback_stays(loop):
    calls = []
    holder = []

    def callback():
        calls.append(1)
        holder.pop().schedule()

    holder.append(loop.bh_new(callback))
    holder[0].schedule()
    loop.wait(True)
    gc.collect()
    with pytest.raises(IndexError):
        loop.wait(True)
    assert calls == [1, 1]


def test_unclosed_loop_in_a_cycle_with_its_bottom_half_is_collected(fdmon):
    def make():
        loop = q.MainLoop(fdmon=fdmon)
        loop.bh_new(lambda: loop).schedule()
        return weakref.ref(loop)

    seen = make()
    gc.collect()
    assert seen() is None


def test_callback_that_cannot_be_called_is_a_type_error(loop):
    with pytest.raises(TypeError):
        loop.bh_new(None)


def test_class_cannot_be_called():
    with pytest.raises(TypeError, match="bh_new"):
        q.BottomHalf()
