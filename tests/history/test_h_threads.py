"""Whose thread, whose context: section H of docs/reliability.md."""

import threading

import pytest

import qemu_mainloop as q

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]


def test_h_5f50be9b58_3c18a92dc4_the_current_context_is_each_threads_own(elsewhere):
    assert elsewhere("memory.current_is_per_thread()") == [True, True]


def test_h_951702f39c_235f9b3638_a_bottom_half_runs_in_its_own_loop_alone(loop, fdmon):
    """Not in a nested poll of another loop, nor in the thread that schedules it."""
    ran = []
    with q.MainLoop(fdmon=fdmon) as other:
        bh = loop.bh_new(lambda: ran.append(threading.get_ident()))

        def nest():
            bh.schedule()
            for _ in range(3):
                other.wait(True)
            thread = threading.Thread(target=bh.schedule)
            thread.start()
            thread.join()
            assert ran == []

        other.bh_new(nest).schedule()
        other.wait()
        assert ran == []
        loop.wait()
    assert ran == [threading.get_ident()]
