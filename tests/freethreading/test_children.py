"""Child watches set by several threads at once."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize("_again", range(5))
def test_one_of_several_watches_gets_the_child(loop, at_once, driven, wait_for, _again):
    child = subprocess.Popen([sys.executable, "-S", "-c", "raise SystemExit(3)"])
    calls, refused = [], []

    def watch():
        try:
            loop.add_child_watch(child.pid, lambda *args: calls.append(args))
        except (ValueError, ChildProcessError) as e:
            refused.append(e)

    with driven(loop):
        at_once(watch, watch, watch, loop.info, times=1)
        wait_for(lambda: calls)
    child.returncode = 3
    assert calls == [(child.pid, 3)]
    assert len(refused) == 2
    assert loop.info()["child_watches"] == 0


def test_each_thread_its_own_child(loop, at_once, driven, wait_for):
    ended = []
    children = []

    def spawn_and_watch():
        child = subprocess.Popen([sys.executable, "-S", "-c", ""])
        children.append(child)
        loop.add_child_watch(child.pid, lambda pid, code: ended.append((pid, code)))

    with driven(loop):
        at_once(spawn_and_watch, spawn_and_watch, loop.info, times=3)
        wait_for(lambda: len(ended) == len(children))
    for child in children:
        child.returncode = 0
    assert sorted(ended) == sorted((child.pid, 0) for child in children)
