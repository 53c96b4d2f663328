"""Freed while it is in use, or never freed: bugs B1 to B21 of docs/reliability.md."""

import errno
import os
import resource
from pathlib import Path

import pytest

import qemu_mainloop as q

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]


def test_b2_b9_a_bottom_half_that_is_freed_in_its_callback_is_not_looked_at_again(elsewhere):
    """It deletes itself, and polls."""
    assert elsewhere("memory.deleted_then_nested()") == 2


def test_b3_a_nested_wait_frees_no_polling_callback_that_the_outer_pass_stands_on(elsewhere):
    assert elsewhere("memory.polling_callback_gone(True)") == 301


def test_b4_a_nested_wait_frees_no_handler_that_the_outer_pass_goes_on_to(elsewhere, fdmon):
    """The first of eight ready ones removes the others, and polls."""
    assert elsewhere(f"memory.removed_by_another({fdmon.encode()!r}, True)") == 1


@pytest.mark.parametrize("bug", ["b5", "b17"])
def test_b5_b17_callback_and_opaque_belong_together(elsewhere, fdmon, bug):
    """While another thread replaces one handler by another, all the time."""
    assert elsewhere(f"memory.torn_callbacks({fdmon.encode()!r}, 3000)") == 0


def test_b6_a_ready_handler_that_another_removes_is_skipped_and_freed_later(elsewhere, fdmon):
    assert elsewhere(f"memory.removed_by_another({fdmon.encode()!r}, False)") == 1


def test_b7_a_removed_descriptor_is_gone_from_the_kernels_set(loop, pipe):
    """Its data would end each wait otherwise."""
    os.write(pipe[1], b"x")
    loop.set_fd_handler(pipe[0], lambda: None)
    loop.wait(True)
    loop.set_fd_handler(pipe[0])
    fired = []
    timer = loop.timer_new(lambda: fired.append(1))
    before = loop.info()["iterations"]
    timer.mod_ns(q.clock_get_ns() + 20_000_000)
    while not fired:
        loop.wait()
    assert loop.info()["iterations"] - before <= 2


def test_b8_a_context_lives_as_long_as_its_last_reference(elsewhere):
    """Its maker gives it back while another thread, which has its own, schedules and polls."""
    assert elsewhere("memory.used_by_the_last_reference()") == 1


def test_b11_a_context_takes_with_it_whatever_is_left_in_it(elsewhere):
    """Bottom halves scheduled, idle, deleted and never used; a timer; a handler."""
    assert elsewhere("memory.left_behind(200)") < 4096


def test_b11_scheduling_on_a_stopped_iothread_does_nothing():
    io = q.IOThread("history")
    ran = []
    bh = io.loop.bh_new(lambda: ran.append(1))
    io.stop()
    bh.schedule()
    bh.cancel()
    bh.schedule_idle()
    del bh, io
    assert ran == []


@pytest.fixture
def few_descriptors():
    """few_descriptors(n): from now on so many more can be opened."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(name) for name in os.listdir("/proc/self/fd"))
    fillers = []
    while not fillers or fillers[-1] <= highest:
        fillers.append(os.dup(0))
    top = fillers[-1] + 1
    yield lambda n: resource.setrlimit(resource.RLIMIT_NOFILE, (top + n, hard))
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    for fd in fillers:
        os.close(fd)


@pytest.mark.parametrize("kind", ["loop", "IOThread", "fileno"])
def test_b12_what_cannot_be_made_leaves_nothing_behind(few_descriptors, fdmon, kind):
    """The conftest's guard counts descriptors and threads."""
    failures = 0
    for n in range(6):
        few_descriptors(n)
        try:
            if kind == "IOThread":
                q.IOThread("history").stop()
            else:
                with q.MainLoop(fdmon=fdmon) as loop:
                    if kind == "fileno":
                        loop.fileno()
        except OSError as error:
            assert error.errno in (errno.EMFILE, errno.ENOMEM)
            failures += 1
    assert 0 < failures < 6


def test_b13_a_bottom_half_deleted_by_another_thread_never_runs_after_the_barrier(race):
    """Its opaque may go then."""
    race("deletions")


def test_b14_armed_timers_may_be_freed(elsewhere):
    """Outside, and by another one that is due at the same time."""
    assert elsewhere("memory.timers_freed_while_armed()") == 1


def open_descriptors():
    """number -> what it is."""
    links = [Path(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd")]
    return {int(link.name): str(link.readlink()) for link in links if link.is_symlink()}


@pytest.mark.parametrize("again", ["once", "twice"])
def test_b18_a_handler_may_remove_itself_and_nobody_the_notifier(loop, pipe, again):
    calls = []

    def read():
        calls.append(1)
        for _ in range(2 if again == "twice" else 1):
            loop.set_fd_handler(pipe[0])

    os.write(pipe[1], b"x")
    loop.set_fd_handler(pipe[0], read)
    loop.wait()
    assert loop.wait(True) == 0
    assert calls == [1]
    before = open_descriptors()
    with q.MainLoop() as other:
        new = {name: link for name, link in open_descriptors().items() if name not in before}
        eventfd, = (name for name, link in new.items() if "eventfd]" in link)
        with pytest.raises(OSError) as refused:
            other.set_fd_handler(eventfd)
        assert refused.value.errno == errno.EBUSY
        other.notify()
        assert other.wait() == 0


def test_b19_loops_that_come_and_go_leave_no_descriptor(fdmon):
    def count():
        return len(os.listdir("/proc/self/fd"))

    before = count()
    for _ in range(20):
        with q.MainLoop(fdmon=fdmon) as loop:
            loop.fileno()
            loop.wait(True)
        assert count() == before


def test_b20_a_polling_callback_that_deletes_itself_is_not_used_for_the_next(elsewhere):
    assert elsewhere("memory.polling_callback_gone(False)") == 201
