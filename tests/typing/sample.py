"""What users write, for mypy --strict; it also runs."""

import os
import signal
from typing import assert_type

import qemu_mainloop as q


def on_child(pid: int, returncode: int | None) -> None:
    print(pid, returncode)


def own_loop() -> bool:
    seen: list[str] = []
    reader, writer = os.pipe()
    with q.MainLoop(fdmon="poll") as loop, open(reader, "rb", buffering=0) as file:
        loop.set_fd_handler(file, lambda: seen.append(repr(file.read(1))), can_read=lambda: True)
        bh = assert_type(loop.bh_new(lambda: os.write(writer, b"x")), q.BottomHalf)
        bh.schedule()
        timer = loop.timer_new(loop.notify, clock=q.Clock.REALTIME)
        timer.mod(q.clock_get_ns() // q.SCALE_MS, scale=q.SCALE_MS)
        assert_type(timer.pending, bool)
        assert_type(timer.clock, q.Clock)
        loop.add_signal_handler(signal.SIGUSR2, loop.stop)
        assert_type(loop.remove_signal_handler(signal.SIGUSR2), bool)
        done = assert_type(loop.run_until(lambda: seen, timeout=10.0), bool)
        assert_type(loop.info()["handlers"], int)
        loop.set_fd_handler(file)
    os.close(writer)
    return done


def the_main_loop() -> str:
    loop = assert_type(q.main_loop(), q.MainLoop)
    if os.name == "posix":
        loop.add_child_watch(os.posix_spawn("/bin/true", ["true"], os.environ), on_child)
    with loop.lock as taken:
        assert_type(taken, bool)
    words = ["called"]
    bh = q.qemu_bh_new(list[str].clear, words)
    q.qemu_bh_schedule(bh)
    assert_type(q.main_loop_wait(True), int)
    q.qemu_bh_delete(bh)
    with q.IOThread("worker") as io:
        assert_type(io.loop, q.MainLoop)
    assert_type(q.fdmons(), tuple[str, ...])
    loop.run_until(lambda: loop.info()["child_watches"] == 0, timeout=10)
    loop.close()
    return q.__version__ if not words else "the bottom half did not run"


if __name__ == "__main__":
    print(own_loop(), the_main_loop())
