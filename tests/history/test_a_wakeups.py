"""Lost and stolen wake-ups: bugs A1 to A28 of docs/reliability.md."""

import os
import select
import signal
import threading
import time

import pytest
from sleeping import until_it_spins

import qemu_mainloop as q

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]
MS = 1_000_000


@pytest.mark.parametrize("blocking", [False, True], ids=["awake", "sleeping"])
def test_a1_what_is_written_before_a_schedule_is_seen_by_the_run_after_it(race, fdmon, blocking):
    """Also if the schedule found it scheduled, and its run just beginning."""
    race("schedules", fdmon.encode(), blocking, False)


def test_a2_a_schedule_from_a_callback_of_another_loop_wakes_the_sleeper(race, fdmon):
    """Somebody is inside an iteration, but it is not the sleeper's."""
    race("middleman", fdmon.encode())


WHERE = ["can_read", "read", "write", "timer", "bottom half", "nested", "polling"]


@pytest.mark.parametrize("where", WHERE)
def test_a3_a_notification_from_anywhere_in_an_iteration_ends_the_next_wait(
        header, sockets, where):
    """Not eaten together with an older one."""
    said = []

    def notify(*_):
        if not said:
            said.append(where)
            header.notify()
        return False

    if where in ("can_read", "read"):
        sockets[1].send(b"x")
        gate = notify if where == "can_read" else None
        header.set_fd_handler(
            sockets[0], notify if where == "read" else lambda: None, can_read=gate)
    elif where == "write":
        header.set_fd_handler(
            sockets[0], None, lambda: (notify(), header.set_fd_handler(sockets[0])))
    elif where == "timer":
        timer = header.timer_new(notify)
        timer.mod_ns(0)
    elif where == "polling":
        q.qemu_add_polling_cb(notify, None)
    else:
        bh = header.bh_new(lambda: (notify(), where == "nested" and header.wait()))
        bh.schedule()
    if where not in ("can_read", "polling"):
        header.notify()
        header.wait(True)
        header.set_fd_handler(sockets[0])
        assert said == [where]
    # These two are asked before the loop looks what was notified: the wait itself returns.
    if where != "nested":
        assert header.wait() == 0
    assert said == [where]


def test_a4_many_that_notify_are_each_heard(race, fdmon):
    """The write to the eventfd is not skipped because another one is about to make it."""
    race("crowd", fdmon.encode())


def test_a5_a_notification_outlives_an_awake_loop(loop):
    """There was nobody to wake when it came; the wait that follows returns."""
    loop.bh_new(loop.notify).schedule()
    loop.wait(True)
    before = loop.info()["sleeps"]
    assert loop.wait() == 0
    assert loop.info()["sleeps"] == before


@pytest.mark.parametrize("busy_ns", [0, 3_000], ids=["a6-sleeping", "a21-busy-polling"])
def test_a6_a21_a_flag_and_a_notification_at_any_instant_end_the_wait(race, fdmon, busy_ns):
    """The flag is not the loop's; the notification may come on the brink of the sleep."""
    race("flags", fdmon.encode(), busy_ns)


def test_a7_a_stop_at_any_instant_ends_an_iothread(race):
    """Between the look at the flag and the sleep, too."""
    race("stops", 100)


def test_a8_a_stop_right_after_the_creation_ends_an_iothread(race):
    race("stops", 1)


def test_a9_another_threads_poll_takes_no_notification_from_the_sleeper(race, fdmon):
    """It is refused while somebody is inside."""
    refused, = race("strangers", fdmon.encode())
    assert refused > 0


def test_a10_a_notification_is_no_progress(upstream, fdmon):
    # A hosted one counts as asleep, so the notifier's descriptor is written.
    with upstream.Context(fdmon.encode(), True) as ctx:
        ctx.notify()
        assert not ctx.poll(True)
        assert not ctx.poll(False)


def test_a10_a_notification_ends_busy_polling(loop):
    loop.poll_max_ns = 3600 * 10**9
    before = loop.info()["sleeps"]
    # Not in the main thread, which would end its wait now and then to look for signals.
    thread = threading.Thread(target=loop.wait, daemon=True)
    thread.start()
    while loop.info()["sleeps"] == before:
        os.sched_yield()
    until_it_spins(thread)               # and nobody writes the notifier any more
    loop.notify()
    thread.join(20)
    assert not thread.is_alive()


def test_a12_a_one_shot_may_be_gone_when_its_schedule_returns(elsewhere):
    """Whoever schedules touches nothing of it once the loop can see it."""
    assert elsewhere("memory.oneshots(50000)") == 50_000


def test_a13_a_schedule_after_a_cancel_is_not_lost(race, fdmon):
    """The loop may be taking the cancelled one out of circulation meanwhile."""
    race("schedules", fdmon.encode(), False, True)


@pytest.mark.parametrize("change", ["replacement", "gate"])
def test_a14_changes_by_another_thread_are_taken_up_by_a_sleeping_loop(loop, pipe, change):
    os.write(pipe[1], b"x")
    is_open, calls = [], []
    loop.set_fd_handler(pipe[0], lambda: calls.append("old"), can_read=lambda: bool(is_open))
    before = loop.info()["sleeps"]

    def work():
        while loop.info()["sleeps"] == before:
            os.sched_yield()
        if change == "replacement":
            loop.set_fd_handler(pipe[0], lambda: calls.append("new"))
        else:
            is_open.append(1)
            loop.notify()

    thread = threading.Thread(target=work)
    thread.start()
    assert loop.run_until(lambda: calls, timeout=10)
    thread.join()
    assert calls[0] == ("new" if change == "replacement" else "old")


def test_a16_a_tick_of_10_ms_costs_at_most_two_iterations(loop):
    ticks = []

    def tick():
        ticks.append(q.clock_get_ns())
        timer.mod_ns(ticks[-1] + 10 * MS)

    timer = loop.timer_new(tick)
    timer.mod_ns(q.clock_get_ns() + 10 * MS)
    assert loop.run_until(lambda: len(ticks) == 10, timeout=10)
    assert loop.info()["iterations"] <= 20
    timer.delete()


def test_a17_a_timer_armed_by_another_thread_during_its_callback_fires_again(elsewhere):
    assert elsewhere("wakeups.armed_during_its_callback()") == 2


def test_a18_descriptors_come_and_go_in_two_threads_and_all_are_served(race, fdmon):
    """From none to two hundred and back; nothing is lost when a table or a set is made anew."""
    race("groups", fdmon.encode())


def test_a19_a_ready_descriptor_from_another_thread_is_served_at_once(loop, pipe):
    """Not at the next of whatever else wakes the loop: nothing else does."""
    os.write(pipe[1], b"x")
    times = []
    for _ in range(20):
        before = loop.info()["sleeps"]

        def work(before=before):
            while loop.info()["sleeps"] == before:
                os.sched_yield()
            times.append(-time.monotonic())
            loop.set_fd_handler(pipe[0], lambda: loop.set_fd_handler(pipe[0]))

        thread = threading.Thread(target=work)
        thread.start()
        assert loop.wait() == 1 or loop.wait() == 1
        times[-1] += time.monotonic()
        thread.join()
    assert sorted(times)[10] < 0.2


def test_a20_a_registration_is_in_the_wait_that_follows_it(loop, pipe, other_pipe):
    for r, w in (pipe, other_pipe):
        calls = []
        os.write(w, b"x")
        loop.set_fd_handler(r, lambda calls=calls: calls.append(1))
        assert loop.wait(True) == 1
        assert loop.wait(True) == 1
        assert calls == [1, 1]
        loop.set_fd_handler(r)


def test_a20_a_registration_is_in_the_poll_that_follows_it(upstream, fdmon):
    """A poll in C of a context that was idle looks at memory alone."""
    with upstream.Context(fdmon.encode()) as ctx:
        for _ in range(3):
            ctx.drain()
            event = upstream.Notifier(ctx)
            event.set()
            event.add()
            assert ctx.poll(False)
            assert event.runs == 1
            event.close()


def test_a24_a_signal_during_its_own_callback_runs_it_again(loop):
    seen = []

    def on_signal():
        seen.append(1)
        if len(seen) < 5:
            os.kill(os.getpid(), signal.SIGUSR2)

    loop.add_signal_handler(signal.SIGUSR2, on_signal)
    os.kill(os.getpid(), signal.SIGUSR2)
    assert loop.run_until(lambda: len(seen) == 5, timeout=10)
    loop.remove_signal_handler(signal.SIGUSR2)


def test_a26_a_wait_on_one_loop_serves_another_that_it_hosts(loop, fdmon):
    """What the nested wait needs is the other loop's work, which another thread sends."""
    with q.MainLoop(fdmon=fdmon) as other:
        done = []
        bh = other.bh_new(lambda: done.append(1))
        loop.set_fd_handler(other.fileno(), lambda: other.wait(True))
        loop.wait(True)
        before = loop.info()["sleeps"]

        def work():
            while loop.info()["sleeps"] == before:
                os.sched_yield()
            bh.schedule()

        thread = threading.Thread(target=work)

        def nest():
            thread.start()
            assert loop.run_until(lambda: done, timeout=10)

        loop.bh_new(nest).schedule()
        loop.wait(True)
        thread.join()
        assert done == [1]
        loop.set_fd_handler(other.fileno())


def test_a28_a_notification_before_the_first_iteration_is_kept(loop):
    loop.notify()
    assert loop.wait() == 0
    poller = select.poll()
    with q.MainLoop() as other:
        other.notify()
        poller.register(other.fileno(), select.POLLIN)
        assert poller.poll(10_000)
