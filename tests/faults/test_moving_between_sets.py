"""An fdmon keeps some descriptors in one set and some in another: a move that fails loses none."""

import errno
import os

import pytest

pytestmark = pytest.mark.timeout(320)
COOLING = 40                     # idle waits after which none is among the busy ones any more


class Pipes:
    """Pipes whose reading ends are registered; their handlers read nothing unless told to."""

    def __init__(self, loop, n):
        self.loop = loop
        self.ends = [os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC) for _ in range(n)]
        self.called = [0] * n
        self.reads = False
        for i, (reader, _) in enumerate(self.ends):
            loop.set_fd_handler(reader, lambda i=i: self.on_read(i))

    def on_read(self, i):
        self.called[i] += 1
        if self.reads:
            os.read(self.ends[i][0], 1)

    def all_work(self):
        self.reads = True
        self.loop.wait(True)
        for _, writer in self.ends:
            os.write(writer, b"x")
        before = list(self.called)
        return self.loop.run_until(
            lambda: all(now > then for now, then in zip(self.called, before, strict=True)),
            timeout=30)

    def close(self):
        for reader, writer in self.ends:
            self.loop.set_fd_handler(reader)
            os.close(reader)
            os.close(writer)


def no_memory_for_the_busy_ones(f, fdmon):
    """More than there is room for stay where they are, however busy they get."""
    import qemu_mainloop as q

    with q.MainLoop(fdmon=fdmon) as loop:
        loop.wait(True)
        pipes = Pipes(loop, 40)
        f.arm("allocate", errno.ENOMEM)
        loop.wait(True)
        failed = f.lib.faults_seen(b"allocate")
        for i in (0, 20, 39):
            os.write(pipes.ends[i][1], b"x")
        for _ in range(30):                           # ready again and again
            assert loop.wait(True) == 3
        f.off()
        assert [pipes.called[i] for i in (0, 20, 39)] == [30, 30, 30]
        pipes.reads = True
        loop.wait(True)
        assert pipes.all_work()
        pipes.close()
        return failed


def test_no_memory_for_the_busy_ones(child):
    assert child(no_memory_for_the_busy_ones, fdmon="adaptive") > 0


def the_kernel_takes_no_more(f, fdmon, error):
    """What is idle for long is refused by epoll: it is served where it was."""
    import qemu_mainloop as q

    with q.MainLoop(fdmon=fdmon) as loop:
        pipes = Pipes(loop, 3)
        f.arm("epoll_ctl_add", error)
        for _ in range(COOLING):
            assert loop.wait(True) == 0
        failed = f.off()
        assert pipes.all_work()
        pipes.close()
        return failed


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.ENOMEM])
@pytest.mark.parametrize("fdmon", ["epoll", "adaptive"])
def test_the_kernel_takes_no_more(child, fdmon, error):
    assert child(the_kernel_takes_no_more, fdmon=fdmon, error=error) >= 3
