"""Using what is closed or deleted, or was never made: the error names the object."""

import os
import signal

import pytest

import qemu_mainloop as q


@pytest.mark.parametrize("method", ["schedule", "schedule_idle", "cancel"])
def test_a_deleted_bottom_half_is_a_runtime_error(loop, method):
    """Section 3: a deleted BottomHalf: RuntimeError that names the object."""
    bh = loop.bh_new(print)
    bh.delete()
    with pytest.raises(RuntimeError, match="BottomHalf.* deleted"):
        getattr(bh, method)()


CLOSED = {
    "wait": lambda loop: loop.wait(),
    "run": lambda loop: loop.run(),
    "run_until": lambda loop: loop.run_until(lambda: False),
    "notify": lambda loop: loop.notify(),
    "set_fd_handler": lambda loop: loop.set_fd_handler(0, print),
    "bh_new": lambda loop: loop.bh_new(print),
    "timer_new": lambda loop: loop.timer_new(print),
    "add_child_watch": lambda loop: loop.add_child_watch(os.getpid()),
    "add_signal_handler": lambda loop: loop.add_signal_handler(signal.SIGUSR2, print),
    "remove_signal_handler": lambda loop: loop.remove_signal_handler(signal.SIGUSR2),
    "fileno": lambda loop: loop.fileno(),
    "fdmon": lambda loop: loop.fdmon,
    "info": lambda loop: loop.info(),
    "with": lambda loop: loop.__enter__(),
}


@pytest.mark.parametrize("call", CLOSED)
def test_a_closed_loop_is_a_runtime_error(call):
    """Section 3: using a closed loop: RuntimeError that names the object."""
    loop = q.MainLoop()
    loop.close()
    with pytest.raises(RuntimeError) as caught:
        CLOSED[call](loop)
    assert repr(loop) in str(caught.value)
    assert "closed" in str(caught.value)


ARMED = {
    "bh.schedule": lambda bh, timer: bh.schedule(),
    "bh.schedule_idle": lambda bh, timer: bh.schedule_idle(),
    "bh.cancel": lambda bh, timer: bh.cancel(),
    "timer.mod_ns": lambda bh, timer: timer.mod_ns(0),
    "timer.mod": lambda bh, timer: timer.mod(0),
    "timer.delete": lambda bh, timer: timer.delete(),
}


@pytest.mark.parametrize("call", ARMED)
def test_an_object_of_a_closed_loop_is_a_runtime_error(call):
    """Section 3: also through what belonged to the loop."""
    loop = q.MainLoop()
    bh, timer = loop.bh_new(print), loop.timer_new(print)
    loop.close()
    with pytest.raises(RuntimeError) as caught:
        ARMED[call](bh, timer)
    assert repr(loop) in str(caught.value)


@pytest.mark.parametrize("kind", [q.BottomHalf, q.Timer])
def test_an_object_of_a_loop_is_not_made_by_its_class(kind):
    """Section 3: loop.bh_new() and loop.timer_new() make them."""
    with pytest.raises(TypeError, match=kind.__name__):
        kind()
