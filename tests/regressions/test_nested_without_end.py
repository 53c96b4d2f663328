"""A callable in C that iterates, as a loop's own wait() does, ran into the end of the stack: no
frame of Python's was there to count."""

import functools
import os

import pytest

import qemu_mainloop as q


def in_callback_of_itself(loop, pipe):
    loop.set_fd_handler(pipe[0], loop.wait)


def in_its_can_read(loop, pipe):
    loop.set_fd_handler(pipe[0], pipe.clear, can_read=functools.partial(loop.wait, True))


def in_another_ones(loop, pipe):
    other = q.MainLoop()
    loop.set_fd_handler(pipe[0], functools.partial(other.wait, True))
    other.set_fd_handler(pipe[0], functools.partial(loop.wait, True))


def in_run(loop, pipe):
    loop.set_fd_handler(pipe[0], loop.run)


@pytest.mark.parametrize(
    "arrange", [in_callback_of_itself, in_its_can_read, in_another_ones, in_run])
def test_it_ends_with_an_exception(loop, pipe, arrange):
    os.write(pipe[1], b"x")
    arrange(loop, list(pipe))
    for _ in range(2):                   # and leaves everything as it was
        with pytest.raises(RecursionError, match="too many callbacks"):
            loop.wait(True)
    loop.set_fd_handler(pipe[0])
    assert loop.wait(True) == 0
    loop.close()
