"""A loop is polled by one thread at a time, and not closed meanwhile."""

import threading

import pytest
from sleeping import start_when_asleep

import qemu_mainloop as q


def told_beside_run(loop, call):
    """The RuntimeErrors of call(), which another thread makes while this one runs the loop."""
    errors = []

    def other():
        try:
            call()
        except RuntimeError as error:
            errors.append(str(error))
        loop.stop()

    thread = start_when_asleep(loop, other)
    loop.run()
    thread.join()
    return errors


@pytest.mark.parametrize("method", ["wait", "run"])
def test_a_loop_that_another_thread_polls_is_a_runtime_error(loop, method):
    """Section 3: RuntimeError that names the object; the other thread is not disturbed."""
    told = told_beside_run(loop, getattr(loop, method))
    assert told == [f"{loop!r} is polled by another thread"]


def test_bottom_halves_that_another_thread_polls_are_a_runtime_error(main_loop):
    """Section 3: RuntimeError that names the object, from the header's own name too."""
    told = told_beside_run(main_loop, q.qemu_bh_poll)
    assert told == [f"{main_loop!r} is polled by another thread"]


def test_a_loop_may_be_polled_by_one_thread_after_another(loop):
    """Section 2.4: by one thread at a time."""
    ran = []
    bh = loop.bh_new(lambda: ran.append(threading.get_ident()))
    for _ in range(2):
        bh.schedule()
        thread = threading.Thread(target=loop.wait)
        thread.start()
        thread.join()
        bh.schedule()
        loop.wait()
    assert len(ran) == 4 and ran[1] == ran[3] == threading.get_ident()


def test_closing_a_loop_in_its_own_wait_is_a_runtime_error(loop):
    """Section 3: closing a loop from inside its own wait(), which names it; it goes on."""
    bh = loop.bh_new(loop.close)
    bh.schedule()
    with pytest.raises(RuntimeError) as caught:
        loop.wait()
    assert repr(loop) in str(caught.value)
    assert loop.wait(True) == 0


def test_closing_a_loop_that_another_thread_polls_is_a_runtime_error(loop):
    """Section 3: a loop polled by another thread."""
    assert told_beside_run(loop, loop.close) == [f"{loop!r} is polled by another thread"]
