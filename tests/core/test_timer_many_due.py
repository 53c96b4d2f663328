"""Many timers due at once, and what an iteration nested in a callback finds left over."""

import pytest


@pytest.fixture
def group(probe_timer):
    group = probe_timer.Group()
    yield group
    group.close()


@pytest.fixture
def ran():
    return []


@pytest.mark.parametrize("rest", [0, 1, 2, 3, 7, 40])
def test_many_due_in_order_leave_a_heap_of_the_rest(group, ran, rest):
    """They are taken out together, and what stays is made a heap anew."""
    timers = [group.new(lambda i=i: ran.append(i)) for i in range(12 + rest)]
    for i, timer in enumerate(timers):
        timer.arm(10 + i)
    assert group.run_until(21)
    assert ran == list(range(12))
    group.check()
    assert [timer.armed_for() for timer in timers[12:]] == [22 + i for i in range(rest)]
    assert group.run_until(1000) == (rest > 0)
    assert ran == list(range(12 + rest))


def test_a_rest_that_stood_out_of_order_is_a_heap_again(group, ran):
    """The late ones lie in the heap as they were armed: what is left has to be sorted anew."""
    timers = [group.new(lambda i=i: ran.append(i)) for i in range(60)]
    for i in range(12):
        timers[i].arm(i)
    for i in range(12, 60):
        timers[i].arm(1000 - i)
    group.run_until(11)
    group.check()
    group.run_until(1000)
    assert ran == [*range(12), *range(59, 11, -1)]


def test_a_nested_pass_closes_the_gaps_in_what_is_left_over(group, ran):
    """Of four due ones the first callback deletes the third, arms a fifth, and nests."""
    late = group.new(lambda: ran.append("late"))

    def nest():
        ran.append("a")
        timers[2].disarm()
        late.arm(12)
        assert group.room()[2] == 3
        group.run_until(20)

    callbacks = [nest, *(lambda name=name: ran.append(name) for name in "bcd")]
    timers = [group.new(callback) for callback in callbacks]
    for i, timer in enumerate(timers):
        timer.arm(10 + i // 2)
    assert group.run_until(15)
    assert ran == ["a", "b", "d", "late"]
    assert group.room()[2] == 0
    assert all(timer.armed_for() == -1 for timer in (*timers, late))


def test_one_that_is_left_over_may_be_armed_anew_and_destroyed(group, ran):
    """It leaves the queue of due ones for the heap, or for good, while a pass stands on it."""

    def change():
        ran.append("a")
        timers[1].arm(30)
        timers[2].destroy()

    callbacks = [change, *(lambda name=name: ran.append(name) for name in "bcd")]
    timers = [group.new(callback) for callback in callbacks]
    for timer in timers:
        timer.arm(10)
    group.run_until(10)
    assert ran == ["a", "d"]
    group.run_until(30)
    assert ran == ["a", "d", "b"]
