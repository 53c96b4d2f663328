"""The host clock set back and forth."""

import ctypes

import pytest

import qemu_mainloop as q
from qemu_mainloop import Clock

pytestmark = pytest.mark.timeout(20)


@pytest.fixture
def wall_clock():
    """wall_clock(ns): the host clock as if somebody had set it that much later."""
    from qemu_mainloop._core import clock

    capsule = clock.__pyx_capi__["clock_wall_shift_ns"]
    name = ctypes.pythonapi.PyCapsule_GetName
    name.restype, name.argtypes = ctypes.c_char_p, [ctypes.py_object]
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    shift = ctypes.c_int64.from_address(pointer(capsule, name(capsule)))
    yield lambda ns: setattr(shift, "value", ns)
    shift.value = 0


def test_host_timer_fires_when_the_clock_is_set_forth(loop, wall_clock):
    """Row "host clock set back or forth": timers re-evaluated (F5)."""
    fired = []
    timer = loop.timer_new(lambda: fired.append(1), Clock.HOST)
    timer.mod_ns(q.clock_get_ns(Clock.HOST) + 3600 * 10**9)
    loop.wait(True)
    assert fired == []
    wall_clock(3601 * 10**9)
    loop.wait()
    assert fired == [1]


def test_host_timer_waits_longer_when_the_clock_is_set_back(loop, wall_clock, iterations_in):
    """Row "host clock set back or forth": timers re-evaluated (F5)."""
    fired = []
    timer = loop.timer_new(lambda: fired.append(1), Clock.HOST)
    timer.mod_ns(q.clock_get_ns(Clock.HOST) + 10_000_000)
    wall_clock(-3600 * 10**9)
    assert iterations_in(loop, 30) <= 4
    assert fired == []
    timer.delete()
