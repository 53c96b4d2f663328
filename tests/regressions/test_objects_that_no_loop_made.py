"""BottomHalf.__new__ and Timer.__new__ gave objects without a loop, whose methods crashed."""

import pytest

import qemu_mainloop as q


def test_a_bottom_half_without_a_loop():
    bh = q.BottomHalf.__new__(q.BottomHalf)
    for method in bh.schedule, bh.schedule_idle, bh.cancel:
        with pytest.raises(RuntimeError, match="made by MainLoop"):
            method()
    bh.delete()
    assert not bh.scheduled and bh.loop is None and "BottomHalf" in repr(bh)


def test_a_timer_without_a_loop():
    timer = q.Timer.__new__(q.Timer)
    for method in timer.mod_ns, timer.mod, timer.mod_anticipate_ns:
        with pytest.raises(RuntimeError, match="made by MainLoop"):
            method(1)
    with pytest.raises(RuntimeError, match="made by MainLoop"):
        timer.delete()
    assert not timer.pending and timer.loop is None and "Timer" in repr(timer)


def test_a_loop_whose_class_does_not_initialise_it():
    """It was said to be closed."""

    class Forgetful(q.MainLoop):
        def __init__(self):
            pass

    loop = Forgetful()
    with pytest.raises(RuntimeError, match="was not initialised"):
        loop.run()
    loop.close()
