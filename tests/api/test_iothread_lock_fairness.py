"""Who gets the iothread lock when several want it, and when the loop lets it go for them."""

import os
import sys
import threading

import pytest

pytestmark = pytest.mark.posix_only(reason="sees in /proc that a thread waits")


@pytest.fixture
def lock(main_loop):
    """The one lock there is."""
    return main_loop.lock


@pytest.fixture
def waiter(lock, monkeypatch):
    """Starts threads that want the lock, and returns when each one waits for it."""
    threads = []
    interval = sys.getswitchinterval()
    # A thread that has announced itself goes on until it blocks, which is in acquire().
    sys.setswitchinterval(1000)

    def start(then=lambda: None):
        announced = threading.Event()

        def run():
            announced.set()
            with lock:
                then()

        thread = threading.Thread(target=run)
        thread.start()
        threads.append(thread)
        announced.wait()
        stat = f"/proc/self/task/{thread.native_id}/stat"
        while open(stat).read().rpartition(")")[2].split()[0] != "S":  # noqa: SIM115
            os.sched_yield()
        return thread

    yield start
    sys.setswitchinterval(interval)
    for thread in threads:
        thread.join()


def test_whoever_came_first_is_served_first(lock, waiter):
    """Row iothread lock: first come, first served; bug C5, several contenders."""
    order = []
    lock.acquire()
    for i in range(5):
        waiter(lambda i=i: order.append(i))
    lock.release()
    with lock:
        assert order == [0, 1, 2, 3, 4]


def test_who_gives_it_back_and_wants_it_again_comes_last(lock, waiter):
    """Row iothread lock: no barging."""
    order = []
    lock.acquire()
    waiter(lambda: order.append("waiter"))
    lock.release()
    with lock:
        order.append("holder")
    assert order == ["waiter", "holder"]


def test_it_is_not_dropped_between_callbacks(main_loop, waiter):
    """Section 2.4: dropped only in the wait phase, never between callbacks."""
    events = []
    first = main_loop.bh_new(lambda: waiter(lambda: events.append("waiter")))
    second = main_loop.bh_new(lambda: events.append("second"))
    first.schedule()
    second.schedule()
    main_loop.wait(True)
    with main_loop.lock:
        assert events == ["second", "waiter"]


def test_a_non_blocking_iteration_lets_a_waiter_have_it(main_loop, waiter):
    """Row iothread lock: also in a non-blocking iteration when somebody waits for it; C4."""
    got = []
    with main_loop.lock:
        waiter(lambda: got.append(1))
        assert got == []
        main_loop.wait(True)
        assert got == [1]


def test_a_bottom_half_that_schedules_itself_starves_no_waiter(main_loop, waiter):
    """Row scheduled inside a bottom half; bugs C4 and C5."""
    got = []
    bh = main_loop.bh_new(lambda: bh.schedule())
    bh.schedule()
    with main_loop.lock:
        for i in range(3):
            waiter(lambda i=i: got.append(i))
        iterations = 0
        while len(got) < 3:
            main_loop.wait()
            iterations += 1
    bh.delete()
    assert got == [0, 1, 2]
    assert iterations <= 3
