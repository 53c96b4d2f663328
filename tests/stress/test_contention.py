"""The iothread lock, wanted from everywhere at a time."""

import threading

import pytest

import qemu_mainloop as q

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def test_the_iothread_lock_is_wanted_from_everywhere(contention, seed, times):
    """By C threads, Python threads, IOThreads, the loop and its callbacks with the GIL."""
    contest = contention.Contest(seed)
    lock = q.main_loop().lock
    over = threading.Event()
    turns = []

    def contend():
        mine = 0
        while not mine or not over.is_set():
            with lock:
                contest.touch()
                mine += 1
        turns.append(mine)

    threads = [threading.Thread(target=contend) for _ in range(2)]
    for thread in threads:
        thread.start()
    counts = contest.run(times(1000))
    over.set()
    for thread in threads:
        thread.join()
    contest.judge(sum(turns))
    assert all(turns) and all(counts[kind] for kind in (
        "lock_least_c", "lock_bh", "lock_gil_bh", "lock_iothread")), (turns, counts)
