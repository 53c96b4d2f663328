"""A child forked in an IOThread's callback went on polling for ever: nobody could stop it."""

import os
import select

import pytest

import qemu_mainloop as q


@pytest.mark.last_thread("the child of a thread of ours ends as that thread does")
def test_the_child_ends():
    reader, writer = os.pipe()
    pids = []
    with q.IOThread("x") as io:
        bh = io.loop.bh_new(lambda: pids.append(os.fork()))
        bh.schedule()
        assert q.main_loop().run_until(lambda: pids or q.main_loop().wait(True), timeout=10)
    os.close(writer)
    # The child's copy of the writing end goes with the child.
    assert select.select([reader], [], [], 10)[0]
    assert os.read(reader, 1) == b""
    os.close(reader)
    assert os.waitstatus_to_exitcode(os.waitpid(pids[0], 0)[1]) == 0
    q.main_loop().close()
