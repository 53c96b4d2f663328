"""Polling callbacks, through the header's names on the main loop, on each fdmon."""

import os

import pytest

import qemu_mainloop as q

pytestmark = pytest.mark.timeout(20)


def sleeps():
    return q.main_loop().info()["sleeps"]


def wake_up(loop):
    """Let the next blocking wait end by itself."""
    timer = loop.timer_new(lambda: None)
    timer.mod_ns(q.clock_get_ns() + 20_000_000)
    return timer


def test_all_are_called_in_order_once_an_iteration(header, calls):
    """Row "wait objects, polling callbacks": all called, in order, whatever they answer."""
    for name, answer in (("a", 1), ("b", 0), ("c", 1)):
        q.qemu_add_polling_cb(lambda o, answer=answer: calls.append(o) or answer, name)
    assert q.main_loop_wait(False) == 0
    assert calls == ["a", "b", "c"]
    q.main_loop_wait(True)
    assert calls == ["a", "b", "c"] * 2


def test_true_answer_keeps_the_wait_from_blocking(header, calls):
    """Row "wait objects, polling callbacks": non-zero means do not block."""
    q.qemu_add_polling_cb(lambda o: 7, None)
    before = sleeps()
    for _ in range(5):
        assert q.main_loop_wait(False) == 0
    assert sleeps() == before


def test_true_answer_still_polls_descriptors(header, pipe, calls):
    """Row "wait objects, polling callbacks": descriptors are polled all the same."""
    q.qemu_add_polling_cb(lambda o: 1, None)
    q.qemu_set_fd_handler(pipe[0], calls.append, None, "read")
    os.write(pipe[1], b"x")
    assert q.main_loop_wait(False) == 1
    assert calls == ["read"]


def test_true_answer_does_not_make_descriptors_look_ready(header, pipe, calls):
    """Row "wait objects, polling callbacks": as QEMU's select loop once did."""
    q.qemu_add_polling_cb(lambda o: 1, None)
    q.qemu_set_fd_handler(pipe[0], calls.append, None, "read")
    assert q.main_loop_wait(False) == 0
    assert calls == []


def test_false_answer_lets_the_wait_sleep_and_is_not_asked_again_meanwhile(header, calls):
    """Row "wait objects, polling callbacks": once an iteration, not during the wait."""
    q.qemu_add_polling_cb(lambda o: calls.append(o), None)
    timer = wake_up(header)
    before = sleeps(), header.info()["iterations"]
    while timer.pending:
        q.main_loop_wait(False)
    assert sleeps() > before[0]
    assert len(calls) == header.info()["iterations"] - before[1]
    assert len(calls) <= 3


def test_callback_runs_before_the_timeout_is_computed(header, calls):
    """Row "wait objects, polling callbacks": what it schedules or arms counts at once."""
    bh = q.qemu_bh_new(calls.append, "bottom half")
    q.qemu_add_polling_cb(lambda o: q.qemu_bh_schedule(bh), None)
    before = sleeps()
    q.main_loop_wait(False)
    assert calls == ["bottom half"]
    assert sleeps() == before
    q.qemu_bh_delete(bh)


def test_callback_may_wait_itself(header, calls):
    """Row "nested main_loop_wait from a callback": allowed, here too."""

    def nesting(o):
        calls.append("in")
        if len(calls) == 1:
            q.main_loop_wait(True)
            calls.append("out")
        return 1

    q.qemu_add_polling_cb(nesting, None)
    q.main_loop_wait(False)
    assert calls == ["in", "in", "out"]


def test_callback_that_raises_counts_as_no_and_the_wait_does_not_block(header, calls):
    def fail(o):
        raise LookupError(o)

    q.qemu_add_polling_cb(fail, "opaque")
    q.qemu_add_polling_cb(lambda o: calls.append(o), "others run")
    with pytest.raises(LookupError, match="opaque"):
        q.main_loop_wait(False)
    assert calls == ["others run"]


def test_function_that_cannot_be_called_is_a_type_error(header):
    with pytest.raises(TypeError, match="callable"):
        q.qemu_add_polling_cb(None, None)
