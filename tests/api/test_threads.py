"""Other threads: they wake a sleeping loop, and a loop is polled by one of them."""

import os
import signal
import threading
import time

import pytest
from sleeping import start_when_asleep

import qemu_mainloop as q


class Bench:
    """A loop, a ready descriptor, a list that callbacks fill, and who keeps what alive."""

    def __init__(self, loop, pipe):
        self.loop = loop
        self.pipe = pipe
        self.ran = []
        self.kept = []

    def note(self, *_):
        self.ran.append(threading.get_ident())
        self.loop.set_fd_handler(self.pipe[1])


def schedule(bench):
    bench.kept.append(bench.loop.bh_new(bench.note))
    bench.kept[0].schedule()


def schedule_idle(bench):
    bench.kept.append(bench.loop.bh_new(bench.note))
    bench.kept[0].schedule_idle()


def arm(bench):
    bench.kept.append(bench.loop.timer_new(bench.note))
    bench.kept[0].mod_ns(time.monotonic_ns() + 1_000_000)


def register(bench):
    bench.loop.set_fd_handler(bench.pipe[1], None, bench.note)


def watch_child(bench):
    pid = os.posix_spawn("/bin/sh", ["sh", "-c", "exit 0"], os.environ)
    bench.loop.add_child_watch(pid, bench.note)


def poll_again(bench):
    bench.ran.append(threading.main_thread().ident)
    bench.loop.notify()


ACTIONS = [schedule, schedule_idle, arm, register, watch_child, poll_again]


@pytest.mark.parametrize("action", ACTIONS)
def test_what_another_thread_does_wakes_a_sleeping_loop(loop, pipe, action):
    """Row notification: registrations from other threads notify; A14; callbacks run here."""
    bench = Bench(loop, pipe)
    thread = start_when_asleep(loop, lambda: action(bench))
    assert loop.run_until(lambda: bench.ran, timeout=10)
    thread.join()
    assert bench.ran[0] == threading.get_ident()


def test_an_earlier_deadline_from_another_thread_shortens_the_sleep(loop):
    """Row blocking wait: until a timer; one armed anew counts."""
    ran = []
    timer = loop.timer_new(lambda: ran.append(1))
    timer.mod_ns(time.monotonic_ns() + 3600 * 10**9)
    thread = start_when_asleep(loop, lambda: timer.mod(0))
    assert loop.run_until(lambda: ran, timeout=10)
    thread.join()


def test_a_handler_removed_by_another_thread_is_gone_in_the_next_iteration(loop, pipe):
    """Row removal then close(): from another thread within the loop's next iteration."""
    calls = []
    loop.set_fd_handler(pipe[0], lambda: calls.append(1))
    thread = start_when_asleep(loop, lambda: (loop.set_fd_handler(pipe[0]), loop.notify()))
    loop.wait()
    thread.join()
    os.write(pipe[1], b"x")
    assert loop.wait(True) == 0
    assert calls == []


def test_a_notification_before_the_wait_ends_it_once(loop):
    """Row notification: sticky, makes the next blocking wait return at once, once."""
    ran = []
    loop.notify()
    loop.notify()
    timer = loop.timer_new(lambda: ran.append(1))
    timer.mod_ns(time.monotonic_ns() + 20_000_000)
    assert loop.wait() == 0
    assert ran == []
    loop.wait()
    assert ran == [1]


@pytest.mark.parametrize("kind", ["descriptor", "timer", "bottom half"])
def test_a_notification_from_a_callback_ends_the_next_wait(loop, pipe, kind):
    """Bug A3: a newer notification is not eaten with the older one."""
    if kind == "descriptor":
        loop.set_fd_handler(pipe[1], None, lambda: (loop.set_fd_handler(pipe[1]), loop.notify()))
    elif kind == "timer":
        loop.timer_new(loop.notify).mod(0)
    else:
        loop.bh_new(loop.notify).schedule()
    loop.wait()
    assert loop.wait() == 0


@pytest.mark.slow
def test_a_schedule_is_never_lost_at_the_brink_of_the_sleep(loop):
    """Bugs A1, A4 and A11: many producers, one sleeper, each waits for its answer."""
    rounds, count = 300, 4
    answers = [threading.Semaphore(0) for _ in range(count)]
    bhs = [loop.bh_new(answer.release) for answer in answers]

    def produce(bh, answer):
        for _ in range(rounds):
            bh.schedule()
            assert answer.acquire(timeout=10)

    pairs = zip(bhs, answers, strict=True)
    threads = [threading.Thread(target=produce, args=pair) for pair in pairs]
    for thread in threads:
        thread.start()
    ended = threading.Thread(target=lambda: ([t.join() for t in threads], loop.stop()))
    ended.start()
    loop.run()
    ended.join()


def test_data_set_before_a_schedule_is_seen_by_a_run(loop):
    """Bug A1: also when the schedule finds the bottom half scheduled already."""
    rounds = 20_000
    data, seen = [0], [0]

    def consume():
        seen[0] = data[0]
        if seen[0] == rounds:
            loop.stop()

    bh = loop.bh_new(consume)

    def produce():
        for i in range(1, rounds + 1):
            data[0] = i
            bh.schedule()

    thread = threading.Thread(target=produce)
    thread.start()
    loop.run()
    thread.join()
    assert seen == [rounds]


def test_signal_handlers_may_be_added_by_another_thread(loop):
    """Section 2.4: every registration may be called from any thread."""
    old = signal.getsignal(signal.SIGUSR2)
    ran = []
    thread = start_when_asleep(
        loop,
        lambda: (
            loop.add_signal_handler(signal.SIGUSR2, lambda: ran.append(1)),
            os.kill(os.getpid(), signal.SIGUSR2),
        ),
    )
    assert loop.run_until(lambda: ran, timeout=10)
    thread.join()
    loop.remove_signal_handler(signal.SIGUSR2)
    assert signal.getsignal(signal.SIGUSR2) == old
    with q.MainLoop() as other:
        assert other.wait(True) == 0
