"""Nobody waits with the GIL in hand: each waiting function, called from everywhere.

What the call waits for is done by a Python thread, which can do it only if the call lets the
GIL go; the thread begins when the call is on its way.  Section 2.4.
"""

import threading
import time

import pytest

NAMES = ["main_loop_wait", "aio_poll", "qemu_mutex_lock_iothread", "iothread_stop",
         "aio_wait_bh_oneshot", "qemu_clock_enable", "qemu_clock_step", "iothread_destroy"]
# The caller there holds the iothread lock, or is inside the main loop: nothing to wait for.
NOT_IN_THE_MAIN_LOOP = {"main_loop_wait", "qemu_mutex_lock_iothread", "qemu_clock_step"}


class Partner(threading.Thread):
    """Does what the call waits for, once the call is on its way."""

    def __init__(self, gil_and_lock, main_loop, name):
        super().__init__()
        self.gil_and_lock, self.main_loop, self.what = gil_and_lock, main_loop, name
        self.runs, self.go, self.ready = (threading.Event() for _ in range(3))

    def job(self):
        """The IOThread's callback: runs until it is let go."""
        self.runs.set()
        self.go.wait(60)

    def run(self):
        gil_and_lock = self.gil_and_lock
        holds = self.what in ("qemu_mutex_lock_iothread", "qemu_clock_step")
        if holds:
            self.main_loop.lock.acquire()
        self.ready.set()
        while not gil_and_lock.has_entered():
            time.sleep(0)
        if holds:
            self.main_loop.lock.release()
        self.main_loop.notify()
        gil_and_lock.notify()
        self.go.set()


@pytest.fixture
def called(gil_and_lock, main_loop):
    """called(name, way): what way() says after calling that function."""
    partners = []

    def run(name, way):
        partner = Partner(gil_and_lock, main_loop, name)
        partners.append(partner)
        gil_and_lock.begin(partner.job)
        assert partner.runs.wait(20)
        partner.start()
        assert partner.ready.wait(20)
        return way(gil_and_lock.NAMES.index(name))

    yield run
    for partner in partners:
        partner.go.set()
        partner.join()
    gil_and_lock.end()
    main_loop.wait(True)


@pytest.mark.parametrize("name", NAMES)
def test_from_nogil_code_that_happens_to_have_the_gil(called, gil_and_lock, name):
    assert called(name, gil_and_lock.with_the_gil) == (1, 0)


@pytest.mark.parametrize("name", NAMES)
def test_from_a_callback_with_gil(called, gil_and_lock, name):
    assert called(name, gil_and_lock.in_a_callback_with_gil) == (1, 0)


@pytest.mark.parametrize("name", sorted(set(NAMES) - NOT_IN_THE_MAIN_LOOP))
def test_from_a_callback_with_gil_of_the_main_loop(called, gil_and_lock, name):
    assert called(name, gil_and_lock.in_a_callback_of_the_main_loop) == (1, 1)


@pytest.mark.parametrize("name", NAMES)
def test_from_an_iothread_with_gil(called, gil_and_lock, name):
    assert called(name, gil_and_lock.in_an_iothread_with_gil) == (1, 0)


@pytest.mark.parametrize("name", NAMES)
def test_from_a_c_thread(called, gil_and_lock, name):
    assert called(name, gil_and_lock.in_a_c_thread) == (0, 0)
