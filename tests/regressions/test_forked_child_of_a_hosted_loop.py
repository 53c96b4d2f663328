"""A forked child shares the parent's kernel objects until its loop has made its own.

It armed the parent's timerfd, so that the parent missed its timer; and its own fileno() did
not show what had been registered before the fork.
"""

import os
import select

import pytest

import qemu_mainloop as q


def in_child(function):
    """What function() gives in a forked child, as its exit status."""
    pid = os.fork()
    if pid == 0:
        status = 99
        try:
            status = int(function())
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def is_readable(fd, seconds):
    return bool(select.select([fd], [], [], seconds)[0])


@pytest.fixture
def hosted(loop):
    loop.fileno()
    loop.wait(True)
    return loop


def test_childs_timer_leaves_the_parents_alone(hosted):
    timer = hosted.timer_new(lambda: None)
    timer.mod_ns(q.clock_get_ns() + 50_000_000)

    def arm_for_later():
        timer.mod_ns(q.clock_get_ns() + 3600 * 10**9)
        return 0

    assert in_child(arm_for_later) == 0
    assert is_readable(hosted.fileno(), 10)


def test_childs_fileno_shows_what_was_registered_before(hosted, pipe):
    reader, writer = pipe
    hosted.set_fd_handler(reader, lambda: os.read(reader, 1))

    def look():
        fd = hosted.fileno()
        os.write(writer, b"x")
        return is_readable(fd, 10)

    assert in_child(look) == 1


def test_childs_fileno_shows_its_bottom_halves(hosted):
    bh = hosted.bh_new(lambda: None)

    def look():
        fd = hosted.fileno()
        bh.schedule()
        return is_readable(fd, 10)

    assert in_child(look) == 1
