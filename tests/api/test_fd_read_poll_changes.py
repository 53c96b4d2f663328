"""can_read that changes what is registered, that raises, that is asked in a nested wait."""

import os

import pytest
from gates import Gate

import qemu_mainloop as q

pytestmark = pytest.mark.timeout(20)


def test_gate_is_asked_again_in_a_nested_wait(loop, pipe):
    """Row "fd_read_poll": again in a nested wait."""
    gate, asked = Gate(False), []

    def nested():
        before = gate.asked
        loop.wait(True)
        asked.append(gate.asked - before)

    loop.set_fd_handler(pipe[0], print, can_read=gate)
    loop.bh_new(nested).schedule()
    loop.wait(True)
    assert asked == [1]


def test_gate_closed_by_a_nested_wait_costs_the_handler_nothing_later(loop, sockets):
    """Row "fd_read_poll": the next iteration asks again, and reads if the answer is yes."""
    a, b = sockets
    calls, answers = [], [True, True]

    def read(end):
        calls.append(end)
        end.recv(10)
        if len(calls) == 1:
            answers[:] = [False, False]
            loop.wait(True)
            answers[:] = [True, True]

    for i, end in enumerate(sockets):
        loop.set_fd_handler(end, lambda end=end: read(end), can_read=lambda i=i: answers[i])
    a.send(b"x")
    b.send(b"x")
    loop.wait(True)
    assert len(calls) == 1
    assert loop.wait(True) == 1
    assert len(calls) == 2


def test_gate_may_remove_its_own_registration(loop, pipe):
    """Row "fd_read_poll": it may change the registration it is asked for."""
    calls = []

    def can_read():
        calls.append("asked")
        loop.set_fd_handler(pipe[0])
        return True

    loop.set_fd_handler(pipe[0], lambda: calls.append("read"), can_read=can_read)
    os.write(pipe[1], b"x")
    assert [loop.wait(True), loop.wait(True)] == [0, 0]
    assert calls == ["asked"]


def test_gate_may_replace_its_own_registration(loop, pipe):
    """Row "fd_read_poll": it may change the registration it is asked for."""
    calls = []

    def can_read():
        calls.append("asked")
        loop.set_fd_handler(pipe[0], lambda: calls.append("new"))
        return False

    loop.set_fd_handler(pipe[0], lambda: calls.append("old"), can_read=can_read)
    os.write(pipe[1], b"x")
    assert loop.run_until(lambda: "new" in calls, timeout=10)
    assert calls == ["asked", "new"]


def test_gate_that_sets_the_same_handler_each_time_still_lets_it_read(loop, pipe):
    """Row "fd_read_poll": it may change the registration it is asked for."""
    calls = []

    def can_read():
        loop.set_fd_handler(pipe[0], lambda: calls.append("read"), can_read=can_read)
        return True

    can_read()
    os.write(pipe[1], b"x")
    assert loop.run_until(lambda: calls, timeout=2)


def test_gate_that_sets_the_same_handler_each_time_does_not_spin(loop, pipe):
    """Row "fd_read_poll": while it says no the descriptor is not watched (no spin)."""
    ticks = []

    def can_read():
        loop.set_fd_handler(pipe[0], print, can_read=can_read)
        return False

    can_read()
    timer = loop.timer_new(lambda: ticks.append(1))
    timer.mod_ns(q.clock_get_ns() + 50_000_000)
    before = loop.info()["iterations"]
    assert loop.run_until(lambda: ticks, timeout=10)
    assert loop.info()["iterations"] - before < 40


def test_gate_may_remove_the_handler_that_is_asked_next(loop, sockets):
    asked = []

    def can_read(mine, other):
        asked.append(mine)
        loop.set_fd_handler(other)
        return False

    a, b = sockets
    loop.set_fd_handler(a, print, can_read=lambda: can_read(a, b))
    loop.set_fd_handler(b, print, can_read=lambda: can_read(b, a))
    loop.wait(True)
    assert len(asked) == 1
    loop.wait(True)
    assert asked[0] is asked[1]


def test_gate_that_raises_counts_as_no_and_the_wait_does_not_block(loop, pipe):
    def can_read():
        raise LookupError("gate")

    loop.set_fd_handler(pipe[0], print, can_read=can_read)
    os.write(pipe[1], b"x")
    with pytest.raises(LookupError, match="gate"):
        loop.wait()


@pytest.mark.posix_only(reason="no descriptor hangs up without being writable")
def test_gate_that_opens_on_a_hung_up_descriptor_lets_the_next_iteration_read(loop, pipe):
    """Row "fd_read_poll": not watched while it says no, at once when it says yes."""
    gate, calls = Gate(False), []
    loop.set_fd_handler(pipe[0], lambda: calls.append("r"), lambda: calls.append("w"),
                        can_read=gate)
    os.close(pipe[1])
    assert loop.wait(True) == 0
    gate.is_open = True
    assert loop.wait(True) == 1
    assert calls == ["r"]
