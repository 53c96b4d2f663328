"""A callback that forks: the child dispatches nothing more in that iteration."""

import ast
import os
import signal

import pytest


def answer_of(reading, pid):
    """What the child with that pid has written, as a Python value; the child is reaped."""
    with open(reading, "rb") as file:
        text = file.read().decode()
    os.waitpid(pid, 0)
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError):
        raise AssertionError(f"the child said {text!r}") from None


def report(writing, function):
    """In the child: say what function() gives, and be gone, in 20 seconds at the latest."""
    try:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(20)
        os.write(writing, repr(function()).encode())
    except BaseException as error:
        os.write(writing, f"{type(error).__name__}: {error}".encode())
    finally:
        os._exit(0)


KINDS = ["descriptor", "timer", "bottom half"]


@pytest.mark.parametrize("kind", KINDS)
def test_an_iteration_that_forked_dispatches_nothing_more_in_the_child(loop, pipe, kind):
    """Row fork: what is due stays for the child's next iteration; the parent goes on."""
    reading, writing = os.pipe()
    ran, pids = [], []

    def fork():
        loop.set_fd_handler(pipe[1])
        pids.append(os.fork())

    bhs = [loop.bh_new(fork if kind == "bottom half" else lambda: ran.append("first"))]
    bhs.append(loop.bh_new(lambda: ran.append("bh")))
    for bh in bhs:
        bh.schedule()
    if kind == "descriptor":
        loop.set_fd_handler(pipe[1], None, fork)
    if kind == "timer":
        timer = loop.timer_new(fork)
        timer.mod_ns(0)
    loop.wait()
    if pids == [0]:
        report(writing, lambda: (list(ran), loop.wait(), ran[-1:]))
    os.close(writing)
    assert answer_of(reading, pids[0]) == ([], 0, ["bh"])
    assert ran[-1:] == ["bh"]
