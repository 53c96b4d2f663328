"""A ring that was made and may not be entered any more: poll(2) serves all from then on."""

import contextlib
import errno
import os
import threading

import pytest

pytestmark = pytest.mark.timeout(320)
EPERM, ENOMEM = errno.EPERM, errno.ENOMEM


class Reader:
    """A pipe and its handler, which takes what comes."""

    def __init__(self, loop):
        self.loop = loop
        self.ends = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.got = 0
        loop.set_fd_handler(self.ends[0], self.on_read)

    def on_read(self):
        self.got += len(os.read(self.ends[0], 100))

    def works(self):
        before = self.got
        os.write(self.ends[1], b"x")
        return self.loop.run_until(lambda: self.got == before + 1, timeout=30)

    def remove(self):
        self.loop.set_fd_handler(self.ends[0])

    def close(self):
        self.remove()
        for fd in self.ends:
            os.close(fd)


def removed_while_refused(f):
    """In this thread before poll(2) has taken over, and in another one while it waits."""
    import qemu_mainloop as q

    with q.MainLoop("io_uring") as loop:
        early, late, kept = Reader(loop), Reader(loop), Reader(loop)
        assert early.works() and late.works() and kept.works()
        loop.wait(True)
        f.arm("io_uring_enter", EPERM)
        early.remove()
        os.write(early.ends[1], b"x")
        assert kept.works() and late.works()
        before = loop.info()["sleeps"]

        def remove_when_asleep():
            while loop.info()["sleeps"] == before:
                os.sched_yield()
            late.remove()
            os.write(late.ends[1], b"x")
            os.write(kept.ends[1], b"x")

        thread = threading.Thread(target=remove_when_asleep)
        thread.start()
        had = kept.got
        assert loop.run_until(lambda: kept.got > had, timeout=30)
        thread.join()
        assert (early.got, late.got) == (1, 2)
        refusals = f.off()
        assert kept.works()                           # poll(2) stays
        for reader in (early, late, kept):
            reader.close()
        return refusals


def no_memory_while_refused(f):
    """For poll's array: when it takes over, and when one more is to be watched."""
    import qemu_mainloop as q

    with q.MainLoop("io_uring") as loop:
        readers = [Reader(loop) for _ in range(3)]
        assert all(reader.works() for reader in readers)
        f.arm("io_uring_enter", EPERM)
        loop.wait(True)                               # finds out
        failed = 0
        with f.failing("allocate", ENOMEM):
            with pytest.raises((MemoryError, OSError)):
                loop.wait(True)
            failed += f.lib.faults_seen(b"allocate")
        f.arm("io_uring_enter", EPERM)
        assert all(reader.works() for reader in readers)
        high = Reader(loop)
        number = os.dup2(high.ends[0], 900, inheritable=False)
        high.remove()
        loop.set_fd_handler(number, high.on_read)
        # The table's, the fdmon's, poll's: each time one more is there.
        for granted in (0, *[1] * 50):
            f.arm("allocate", ENOMEM, granted + 1)
            with contextlib.suppress(MemoryError, OSError):
                loop.wait(True)
            if not f.off():
                break
            failed += 1
        assert all(reader.works() for reader in (*readers, high))
        loop.set_fd_handler(number)
        os.close(number)
        for reader in (*readers, high):
            reader.close()
        return failed


def test_removed_while_refused(child):
    assert child(removed_while_refused) > 0


def test_no_memory_while_refused(child):
    assert child(no_memory_while_refused) >= 2
