"""Timers of one context against a sorted list; the virtual clock stands, the test moves it."""

import random

import pytest


@pytest.fixture
def group(probe_timer):
    group = probe_timer.Group()
    yield group
    group.close()


@pytest.fixture
def ran():
    return []


@pytest.mark.parametrize("seed", range(8))
def test_random_operations_agree_with_a_sorted_list(group, probe_timer, ran, seed):
    rng = random.Random(seed)
    span = rng.choice([5, 200, 10**9])                # few times: many equal ones
    timers, model = {}, {}                            # number: timer, number: (time, arming)
    now, arming, made = 0, 0, 0
    for _ in range(2500):
        what = rng.choices(["new", "arm", "earlier", "disarm", "destroy", "run"],
                           [3, 12, 2, 3, 1, 1])[0]
        k = rng.choice(list(timers)) if timers else None
        if what == "new" and len(timers) < 150:
            timers[made] = group.new(lambda k=made: ran.append(k))
            made += 1
        elif k is None:
            continue
        elif what in ("arm", "earlier"):
            when = now + rng.randrange(span)
            timers[k].arm(when, what == "earlier")
            if what == "arm" or k not in model or when < model[k][0]:
                arming += 1
                model[k] = (when, arming)
        elif what == "disarm":
            assert timers[k].disarm() == (k in model)
            model.pop(k, None)
        elif what == "destroy":
            timers.pop(k).destroy()
            model.pop(k, None)
        elif what == "run":
            now += rng.randrange(span)
            due = sorted((when, k) for k, when in model.items() if when[0] <= now)
            ran.clear()
            assert group.run_until(now) == bool(due)
            assert ran == [k for _, k in due]
            for k in ran:
                del model[k]
                assert timers[k].armed_for() == -1
        group.check()
        assert group.earliest() == min((w for w, _ in model.values()), default=probe_timer.NEVER)
        made_now, room, armed = group.room()
        assert made_now == len(timers) <= room and armed == len(model)
    for k, timer in timers.items():
        assert timer.armed_for() == (model[k][0] if k in model else -1)


def test_equal_times_run_in_the_order_of_arming(group, ran):
    timers = [group.new(lambda i=i: ran.append(i)) for i in range(40)]
    order = list(range(40))
    random.Random(3).shuffle(order)
    for i in order:
        timers[i].arm(7)
    for i in order[:10]:
        timers[i].arm(7)                              # anew: behind the others
    group.run_until(7)
    assert ran == order[10:] + order[:10]


def test_arming_an_armed_one_moves_it(group, ran):
    first, second = (group.new(lambda i=i: ran.append(i)) for i in range(2))
    first.arm(10)
    second.arm(20)
    first.arm(30)
    assert group.earliest() == 20 and group.room()[2] == 2
    assert not group.run_until(19)
    assert group.run_until(30)
    assert ran == [1, 0]


def test_only_earlier(group, ran):
    timer = group.new(lambda: ran.append(None))
    timer.arm(20, True)
    timer.arm(30, True)
    assert timer.armed_for() == 20
    timer.arm(10, True)
    assert timer.armed_for() == 10


def test_disarming(group, ran):
    timer = group.new(lambda: ran.append(None))
    assert not timer.disarm()
    timer.arm(5)
    assert timer.disarm() and not timer.disarm()
    assert timer.armed_for() == -1 and group.earliest() == 2**63 - 1
    assert not group.run_until(10) and ran == []


# ---- room

def test_room_is_reserved_when_a_timer_is_made(group):
    timers = []
    for _ in range(100):
        timers.append(group.new(lambda: None))
        made, room, armed = group.room()
        assert made == len(timers) <= room and armed == 0
    before = group.room()[1]
    for i, timer in enumerate(timers):
        timer.arm(1000 - i)
        group.check()
    assert group.room() == (100, before, 100)


def test_the_room_of_a_destroyed_one_is_free(group):
    for _ in range(200):
        timer = group.new(lambda: None)
        timer.arm(1)
        timer.destroy()
    assert group.room() == (0, 16, 0)


# ---- in callbacks

def test_a_callback_that_arms_for_the_past_waits_for_the_next_pass(group, ran):
    def again():
        ran.append(None)
        timer.arm(0)

    timer = group.new(again)
    timer.arm(5)
    for passes in range(1, 4):
        assert group.run_until(5)
        assert len(ran) == passes


def test_one_due_that_is_disarmed_by_another_does_not_run(group, ran):
    killer = group.new(lambda: (ran.append("killer"), victim.disarm(), other.destroy()))
    victim = group.new(lambda: ran.append("victim"))
    other = group.new(lambda: ran.append("other"))
    for timer in (killer, victim, other):
        timer.arm(1)
    group.run_until(1)
    assert ran == ["killer"] and group.room()[0] == 2 and group.earliest() == 2**63 - 1


def test_one_due_that_is_armed_anew_waits_for_the_next_pass(group, ran):
    first = group.new(lambda: (ran.append("first"), second.arm(1)))
    second = group.new(lambda: ran.append("second"))
    first.arm(0)
    second.arm(1)
    group.run_until(1)
    assert ran == ["first"]
    group.run_until(1)
    assert ran == ["first", "second"]


def test_one_due_counts_as_armed(group, ran):
    first = group.new(lambda: ran.append((second.armed_for(), group.earliest())))
    second = group.new(lambda: None)
    first.arm(3)
    second.arm(4)
    group.run_until(10)
    assert ran == [(4, 4)]


def test_a_nested_pass_goes_on_with_the_outer_ones_list(group, ran):
    first = group.new(lambda: (group.run_until(9), ran.append("outer")))
    others = [group.new(lambda i=i: ran.append(i)) for i in range(3)]
    first.arm(0)
    for i, timer in enumerate(others):
        timer.arm(i + 1)
    group.run_until(9)
    assert ran == [0, 1, 2, "outer"]


def test_destroying_itself_frees_it_after_its_callback(group, ran):
    # That its memory is there until then, and goes, is what the sanitizers say.
    def callback():
        timer.destroy()
        ran.append(group.room()[0])

    timer = group.new(callback)
    timer.arm(1)
    group.run_until(1)
    assert ran == [0]


def test_the_end_of_the_group_frees_all(probe_timer):
    group = probe_timer.Group()
    for clock in range(probe_timer.NUMBERS["CLOCKS"]):
        group.new(print, clock).arm(1)
        group.new(print, clock)
        group.new(print, clock).destroy()
    group.close()


# ---- limits

@pytest.mark.parametrize(("scale", "expire", "expected"), [
    (1, 2**63 - 1, 2**63 - 1),
    (1000, 2**63 - 1, 2**63 - 1),
    (1000, (2**63 - 1) // 1000, (2**63 - 1) // 1000 * 1000),
    (1000, (2**63 - 1) // 1000 + 1, 2**63 - 1),
    (1_000_000, 2**62, 2**63 - 1),
    (1_000_000, 5, 5_000_000),
    (1000, 0, 0),
    (1000, -1, 0),
    (1_000_000, -2**63, 0),
])
def test_times_saturate(group, scale, expire, expected):
    timer = group.new(lambda: None, scale=scale)
    timer.arm_scaled(expire)
    assert timer.armed_for() == expected


def test_a_negative_time_is_the_beginning(group, ran):
    timer = group.new(lambda: ran.append(None))
    timer.arm(-5)
    assert timer.armed_for() == 0
    assert group.run_until(0) and len(ran) == 1


def test_the_latest_time_is_armed_and_no_deadline(group, probe_timer):
    timer = group.new(lambda: None, probe_timer.NUMBERS["REALTIME"])
    timer.arm(probe_timer.NEVER)
    assert timer.armed_for() == probe_timer.NEVER
    assert group.deadline(probe_timer.NUMBERS["REALTIME"]) == -1
    assert timer.disarm()


@pytest.mark.parametrize(("clock", "scale"), [(-1, 1), (3, 1), (0, 0), (0, -1)])
def test_what_is_refused(group, clock, scale):
    assert group.new(lambda: None, clock, scale) is None


# ---- deadlines

def test_a_past_time_is_due(group, probe_timer):
    realtime = probe_timer.NUMBERS["REALTIME"]
    assert group.deadline(realtime) == -1
    timer = group.new(lambda: None, realtime)
    timer.arm(1)
    assert group.deadline(realtime) == 0
    timer.arm(2**62)
    assert 0 < group.deadline(realtime) < 2**62


def test_clocks_do_not_see_each_other(group, probe_timer, ran):
    timers = [group.new(lambda i=i: ran.append(i), i) for i in range(3)]
    for timer in timers:
        timer.arm(1)
    for clock in (2, 0, 1):
        assert group.run_until(1, clock)
    assert ran == [2, 0, 1]


def test_the_poller_is_told_of_an_earlier_time_only(group, probe_timer):
    realtime = probe_timer.NUMBERS["REALTIME"]
    early, late = (group.new(lambda: None, realtime) for _ in range(2))
    early.arm(2**61)
    assert not group.is_notified()                    # nobody polls
    group.claim_for_another()
    late.arm(2**62)
    assert not group.is_notified()
    late.arm(2**60)
    assert group.is_notified()
