"""fileno() in the hands of real hosts."""

import asyncio
import os
import subprocess
import sys
import time

import pytest

import qemu_mainloop as q

pytestmark = pytest.mark.posix_only(reason="no kernel object shows what a loop waits for")


def test_fileno_is_always_the_same_number(loop):
    """Section 2.5: the loop's own, for good."""
    assert loop.info()["hosted"] is False
    assert loop.fileno() == loop.fileno()
    assert loop.info()["hosted"] is True


def test_asyncio_hosts_it(loop, pipe):
    """Section 2.5: asyncio's add_reader, a timer, a descriptor and a bottom half of a thread."""
    seen = []

    async def main():
        running, done = asyncio.get_running_loop(), asyncio.Event()

        def note(what):
            seen.append(what)
            if len(seen) == 3:
                done.set()

        running.add_reader(loop.fileno(), loop.wait, True)
        timer, bh = loop.timer_new(lambda: note("timer")), loop.bh_new(lambda: note("bh"))
        loop.set_fd_handler(pipe[0], lambda: (os.read(pipe[0], 10), note("descriptor")))
        timer.mod_ns(time.monotonic_ns() + 1_000_000)
        await running.run_in_executor(None, bh.schedule)
        os.write(pipe[1], b"x")
        await asyncio.wait_for(done.wait(), 10)
        running.remove_reader(loop.fileno())
        await running.shutdown_default_executor()

    asyncio.run(main())
    assert sorted(seen) == ["bh", "descriptor", "timer"]


def test_a_loop_hosts_another(loop):
    """Section 2.5: so another context can host it."""
    with q.MainLoop() as outer:
        ran = []
        outer.set_fd_handler(loop, lambda: loop.wait(True))
        timer = loop.timer_new(lambda: ran.append(1))
        timer.mod_ns(time.monotonic_ns() + 1_000_000)
        assert outer.run_until(lambda: ran, timeout=10)
        outer.set_fd_handler(loop)


def test_the_main_loop_is_hosted():
    """Section 2.5, in a process of its own: for good is for good."""
    program = """
import select, time
import qemu_mainloop as q
loop = q.main_loop()
poll = select.poll()
poll.register(loop.fileno(), select.POLLIN)
ran = []
timer = loop.timer_new(lambda: ran.append(q.qemu_mutex_iothread_locked()))
timer.mod_ns(time.monotonic_ns() + 1000000)
while not ran:
    assert poll.poll(10000)
    loop.wait(True)
assert ran == [True] and not loop.lock.locked()
"""
    subprocess.run([sys.executable, "-P", "-c", program], check=True, timeout=60)
