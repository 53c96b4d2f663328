"""A can_read that waited nested made its own iteration drop what the kernel reported, and not
sleep: the check for a signal handler's nested iteration took the nested one for it."""

import pytest

import qemu_mainloop as q


@pytest.fixture(params=["own", "main"])
def either_loop(request, loop, main_loop, fdmon):
    if request.param == "own":
        yield loop
    else:
        main_loop._use_fdmon(fdmon)
        yield main_loop
        q.main_loop()._use_fdmon(q.fdmons()[0])


@pytest.fixture
def nesting(either_loop, pipe):
    """A can_read that waits nested, once; and the list of what happens."""
    log = []

    def can_read():
        if not log:
            log.append("asked")
            log.append(either_loop.wait(True))
        return False

    either_loop.set_fd_handler(pipe[0], lambda: log.append("never"), can_read=can_read)
    yield log
    either_loop.set_fd_handler(pipe[0])


def test_the_outer_iteration_serves_what_is_ready(either_loop, nesting, sockets):
    either_loop.set_fd_handler(sockets[0], write=lambda: nesting.append("write"))
    served = either_loop.wait()
    either_loop.set_fd_handler(sockets[0])
    assert served == 1
    assert nesting == ["asked", "write", 1, "write"]


def test_the_outer_iteration_sleeps(either_loop, nesting):
    """One wait lasts until the timer is due."""
    timer = either_loop.timer_new(lambda: nesting.append("timer"))
    timer.mod_ns(q.clock_get_ns() + 20_000_000)
    either_loop.wait()
    assert nesting == ["asked", 0, "timer"]
