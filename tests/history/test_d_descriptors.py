"""Descriptors and fdmons: bugs D1 to D13 of docs/reliability.md."""

import os

import pytest

import qemu_mainloop as q

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]


def iterations_until_fired(loop, ns):
    fired = []
    timer = loop.timer_new(lambda: fired.append(1))
    before = loop.info()["iterations"]
    timer.mod_ns(q.clock_get_ns() + ns)
    while not fired:
        loop.wait()
    return loop.info()["iterations"] - before


def test_d4_who_reads_is_not_watched_for_writing(loop, sockets):
    """The socket could be written to all the time."""
    calls = []
    loop.set_fd_handler(sockets[0], lambda: calls.append(1))
    assert iterations_until_fired(loop, 30_000_000) <= 2
    assert calls == []


def test_d7_registrations_move_with_the_fdmon(pipe, tmp_path):
    """There and back, with a pipe, a regular file and a hang-up."""
    names = q.fdmons()
    (tmp_path / "file").write_bytes(b"x")
    calls = []
    with open(tmp_path / "file", "rb") as file, q.MainLoop() as loop:
        loop.set_fd_handler(pipe[0], lambda: calls.append("pipe"))
        loop.set_fd_handler(file, lambda: calls.append("file"))
        os.write(pipe[1], b"x")
        for name in [*names, *names[::-1]]:
            loop._use_fdmon(name)
            calls.clear()
            assert loop.wait() == 2
            assert sorted(calls) == ["file", "pipe"]
        loop.set_fd_handler(file)
        loop.set_fd_handler(pipe[0])
        assert loop.wait(True) == 0


def test_d12_what_is_new_in_a_table_that_grew_is_empty(elsewhere, fdmon):
    """In memory that is full of something else."""
    assert elsewhere(f"memory.registered_up_to({fdmon.encode()!r}, 300)") == 300


def test_d13_there_may_be_more_than_64_wait_objects(header):
    calls = []
    events = [os.eventfd(1) for _ in range(100)]
    for event in events:
        q.qemu_add_wait_object(event, calls.append, event)
    assert q.main_loop_wait(False) == 100
    assert sorted(calls) == sorted(events)
    for event in events:
        q.qemu_del_wait_object(event, None, None)
        os.close(event)
