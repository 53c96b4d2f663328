"""can_read, the header's fd_read_poll: asked once an iteration whether to watch for reading."""

import os

import pytest
from gates import Gate

import qemu_mainloop as q

pytestmark = pytest.mark.timeout(20)


def test_open_gate_lets_read_run(loop, pipe):
    gate, calls = Gate(True), []
    loop.set_fd_handler(pipe[0], lambda: calls.append("read"), can_read=gate)
    os.write(pipe[1], b"x")
    assert loop.wait() == 1
    assert calls == ["read"]


def test_closed_gate_keeps_read_from_running(loop, pipe):
    gate, calls = Gate(False), []
    loop.set_fd_handler(pipe[0], lambda: calls.append("read"), can_read=gate)
    os.write(pipe[1], b"x")
    assert [loop.wait(True) for _ in range(3)] == [0, 0, 0]
    assert calls == []


def test_gate_is_asked_once_an_iteration_also_when_nothing_is_ready(loop, pipe):
    """Row "fd_read_poll": asked once per iteration, before waiting."""
    gate = Gate(True)
    loop.set_fd_handler(pipe[0], print, can_read=gate)
    for n in range(1, 4):
        loop.wait(True)
        assert gate.asked == n


def test_any_true_value_opens_the_gate(loop, pipe):
    calls = []
    loop.set_fd_handler(pipe[0], lambda: calls.append("read"), can_read=lambda: 7)
    os.write(pipe[1], b"x")
    assert loop.wait(True) == 1
    assert calls == ["read"]


def test_gate_that_opens_lets_the_next_iteration_read(loop, pipe):
    gate, calls = Gate(False), []
    loop.set_fd_handler(pipe[0], lambda: calls.append("read"), can_read=gate)
    os.write(pipe[1], b"x")
    assert loop.wait(True) == 0
    gate.is_open = True
    assert loop.wait(True) == 1
    gate.is_open = False
    assert loop.wait(True) == 0
    assert calls == ["read"]


def test_closed_gate_does_not_hold_back_write(loop, sockets):
    a, b = sockets
    calls = []
    b.send(b"x")
    loop.set_fd_handler(a, lambda: calls.append("r"), lambda: calls.append("w"),
                        can_read=lambda: False)
    assert loop.wait(True) == 1
    assert calls == ["w"]


def test_hang_up_behind_a_closed_gate_does_not_spin(loop, pipe):
    """Row "fd_read_poll": while it says no the descriptor is not watched (no spin on HUP)."""
    gate, ticks = Gate(False), []
    loop.set_fd_handler(pipe[0], print, can_read=gate)
    os.close(pipe[1])
    timer = loop.timer_new(lambda: ticks.append(1))
    timer.mod_ns(q.clock_get_ns() + 100_000_000)
    assert loop.run_until(lambda: ticks, timeout=10)
    assert gate.asked < 10


def test_gate_without_read_is_a_value_error(loop, pipe):
    with pytest.raises(ValueError, match="can_read"):
        loop.set_fd_handler(pipe[0], write=print, can_read=lambda: True)


def test_header_name_passes_opaque_to_gate_and_read(main_loop, pipe):
    seen = []
    q.qemu_set_fd_handler2(
        pipe[0], lambda o: seen.append(("poll", o)) or 1, lambda o: seen.append(("read", o)),
        None, "opaque")
    os.write(pipe[1], b"x")
    assert q.main_loop_wait(True) == 1
    assert seen == [("poll", "opaque"), ("read", "opaque")]


def test_header_name_with_a_gate_alone_registers_nothing(main_loop, pipe):
    assert q.qemu_set_fd_handler2(pipe[0], lambda o: 1, None, None, None) == 0
    assert main_loop.info()["handlers"] == 0
