"""The cases of QEMU's test-aio, by number, on every fdmon, with our answers.

A case runs twice, as there: driven by aio_poll(), and by another event loop that watches the
context's descriptor (there: as a GLib source).
"""

import threading

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]
REALTIME = 0


@pytest.fixture(params=["direct", "hosted"])
def ctx(request, upstream, fdmon):
    with upstream.Context(fdmon.encode(), request.param == "hosted") as ctx:
        yield ctx


@pytest.fixture
def notifier(ctx, upstream):
    """notifier(…): an event on the context."""
    made = []

    def make(*arguments):
        made.append(upstream.Notifier(ctx, *arguments))
        made[-1].add()
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_aio_1_7_17_23_bh_schedule_runs_once_in_the_next_poll(ctx, upstream):
    bh = upstream.BottomHalf(ctx)
    bh.schedule()
    assert bh.runs == 0
    assert ctx.poll(True)
    assert bh.runs == 1
    assert not ctx.poll(False)
    assert bh.runs == 1
    bh.delete()


def test_aio_2_18_a_bh_that_schedules_itself_runs_once_a_poll(ctx, upstream):
    bh = upstream.BottomHalf(ctx, 10)
    bh.schedule()
    for n in range(1, 11):
        assert ctx.poll(n > 1)
        assert bh.runs == n
    assert not ctx.poll(False)
    assert bh.runs == 10
    bh.delete()


def test_aio_3_19_a_cancelled_bh_is_no_progress(ctx, upstream):
    bh = upstream.BottomHalf(ctx)
    bh.schedule()
    bh.cancel()
    assert not ctx.poll(False)
    assert bh.runs == 0
    bh.delete()


def test_aio_4_20_a_deleted_bh_is_no_progress(ctx, upstream):
    bh = upstream.BottomHalf(ctx)
    bh.schedule()
    bh.delete()
    assert not ctx.poll(False)
    assert bh.runs == 0


def test_aio_5_21_a_bh_may_delete_itself(ctx, upstream):
    bh = upstream.BottomHalf(ctx, 0, 1)
    bh.schedule()
    assert ctx.poll(True)
    assert bh.runs == 1
    assert not bh.exists
    assert not ctx.poll(False)
    assert bh.runs == 1


def test_aio_6_22_several_bhs_delete_themselves_after_some_runs(ctx, upstream):
    wanted = [1, 3, 2, 4]
    bhs = [upstream.BottomHalf(ctx, 0, n) for n in wanted]
    for bh in bhs:
        bh.schedule()
    assert ctx.poll(False)
    assert [bh.runs for bh in bhs] == [1, 1, 1, 1]
    assert not bhs[0].exists
    ctx.drain()
    assert [bh.runs for bh in bhs] == wanted
    assert not any(bh.exists for bh in bhs)
    assert not ctx.poll(False)


def test_aio_8_24_an_idle_notifier_is_no_progress(ctx, notifier):
    event = notifier()
    assert not ctx.poll(False)
    assert event.runs == 0
    event.remove()
    assert not ctx.poll(False)
    assert event.runs == 0


def test_aio_9_25_a_notifier_that_is_set_runs_once(ctx, notifier):
    event = notifier(1)
    ctx.drain()
    assert (event.runs, event.active) == (0, 1)
    event.set()
    assert ctx.poll(False)
    assert (event.runs, event.active) == (1, 0)
    assert not ctx.poll(False)
    assert event.runs == 1
    event.remove()
    assert not ctx.poll(False)
    assert event.runs == 1


def test_aio_10_26_a_notifier_that_sets_itself_runs_once_a_poll(ctx, notifier):
    event = notifier(10, True)
    event.set()
    assert ctx.poll(False)
    assert (event.runs, event.active) == (1, 9)
    for n in range(2, 11):
        assert ctx.poll(True)
        assert event.runs == n
    assert not ctx.poll(False)
    assert (event.runs, event.active) == (10, 0)


def test_aio_11_27_a_notifier_runs_alone_and_once_for_each_set(ctx, notifier):
    one, other = notifier(), notifier()
    for n in (1, 2):
        one.set()
        assert ctx.poll(n == 2)
        assert (one.runs, other.runs) == (n, 0)
        assert not ctx.poll(False)
    other.set()
    assert ctx.poll(True)
    assert (one.runs, other.runs) == (2, 1)
    one.remove()
    other.remove()
    one.set()
    assert not ctx.poll(False)
    assert (one.runs, other.runs) == (2, 1)


def test_aio_12_29_a_timer_fires_when_it_is_polled_for_and_never_early(ctx, upstream):
    timer = upstream.Timer(ctx, REALTIME, 75_000_000, 1)
    timer.arm()
    ctx.drain()
    assert timer.runs == 0
    assert timer.pending
    while timer.runs == 0:
        ctx.poll(True)                   # hosted, the alarm may be a moment early
    assert timer.runs == 1
    ctx.drain()
    assert timer.runs == 1
    while timer.runs == 1:
        ctx.poll(True)
    assert timer.runs == 2
    assert timer.late_ns >= 0
    assert not ctx.poll(False)
    timer.free()


def test_aio_12_a_timer_that_is_overdue_waits_for_a_poll(ctx, upstream):
    timer = upstream.Timer(ctx, REALTIME, 0)
    timer.arm()
    assert timer.runs == 0
    assert ctx.poll(True)
    assert timer.runs == 1
    assert not ctx.poll(False)
    timer.free()


def test_aio_14_28_a_schedule_from_a_foreign_thread_runs_in_the_polling_one(ctx, upstream):
    """Of a bottom half: there are no coroutines."""
    bh = upstream.BottomHalf(ctx)
    thread = threading.Thread(target=bh.schedule)
    thread.start()
    assert ctx.poll(True)
    thread.join()
    assert bh.ran_in == threading.get_ident()
    assert not ctx.poll(False)
    bh.delete()


def test_aio_15_16_a_notification_is_no_progress(ctx):
    assert not ctx.poll(False)
    ctx.notify()
    assert not ctx.poll(True)
    assert not ctx.poll(False)


@pytest.mark.parametrize("count", [100])
def test_fdmon_epoll_one_of_many_notifiers(ctx, upstream, notifier, count):
    """test-fdmon-epoll: above the number from which QEMU changed its kernel interface."""
    events = [notifier() for _ in range(count)]
    for i in (0, 63, 64, count - 1):
        events[i].set()
        assert ctx.poll(True)
        assert events[i].runs == 1
        assert not ctx.poll(False)
    assert sum(event.runs for event in events) == 4
