"""Loops and IOThreads that come and go in many threads."""

import threading

import pytest

import qemu_mainloop as q

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.mark.parametrize("of", ["contexts", "iothreads"])
def test_made_used_and_freed_in_threads(lives, kit, seed, times, of):
    """Freed in every state; what was left in them goes, too."""
    lives.lives(seed, 200, of)
    before = kit.bytes_in_use()
    counts = lives.lives(seed, times(1000), of)
    # A context leaves nothing behind: a byte of each would show.
    assert kit.bytes_in_use() - before < counts[of] * 8 + (1 << 18)


def test_python_loops_and_iothreads_in_threads(times):
    """With the GIL: made, used and closed in four threads at a time."""
    ran = []

    def live():
        for _ in range(times(60)):
            with q.IOThread("python's") as io, q.MainLoop() as loop:
                there = io.loop.bh_new(loop.stop)
                here = loop.bh_new(there.schedule)
                here.schedule()
                loop.run()
                ran.append(1)

    threads = [threading.Thread(target=live) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ran) == 4 * times(60)
