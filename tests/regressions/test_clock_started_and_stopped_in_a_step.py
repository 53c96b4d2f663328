"""A virtual timer's callback started the clock and stopped it again, so that it had moved on;
the step went on from its own instant, and set the clock back."""

import pytest

import qemu_mainloop as q


@pytest.fixture
def base_ns():
    q.clock_enable(q.Clock.VIRTUAL, False)
    yield q.clock_get_ns(q.Clock.VIRTUAL)
    q.clock_enable(q.Clock.VIRTUAL, False)


def test_the_step_ends_where_the_clock_stands(loop, base_ns):
    stopped_at = []
    late = []

    def run_it_for_a_while():
        q.clock_enable(q.Clock.VIRTUAL, True)
        while q.clock_get_ns(q.Clock.VIRTUAL) < base_ns + 1000:
            pass
        q.clock_enable(q.Clock.VIRTUAL, False)
        stopped_at.append(q.clock_get_ns(q.Clock.VIRTUAL))

    first = loop.timer_new(run_it_for_a_while, q.Clock.VIRTUAL)
    first.mod_ns(base_ns + 10)
    second = loop.timer_new(lambda: late.append(q.clock_get_ns(q.Clock.VIRTUAL)), q.Clock.VIRTUAL)
    second.mod_ns(base_ns + 20)
    assert q.clock_step(30) == stopped_at[0]
    assert q.clock_get_ns(q.Clock.VIRTUAL) == stopped_at[0]
    assert not late
    assert q.clock_step(0) == stopped_at[0]      # what was stepped over runs in the next step
    assert late == stopped_at
