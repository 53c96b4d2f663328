"""The loop keeps what is scheduled or pending, and nothing else, in whatever order it ends."""

import random
import weakref

import pytest


class Callback:
    """A callable of which one can tell whether it is still there."""

    def __init__(self, number, ran):
        self.number, self.ran = number, ran

    def __call__(self):
        self.ran.append(self.number)


KINDS = {
    "bottom halves": (lambda loop, cb: loop.bh_new(cb), lambda o: o.schedule(),
                      lambda o: o.cancel()),
    "idle bottom halves": (lambda loop, cb: loop.bh_new(cb), lambda o: o.schedule_idle(),
                           lambda o: o.cancel()),
    "deleted bottom halves": (lambda loop, cb: loop.bh_new(cb), lambda o: o.schedule(),
                              lambda o: o.delete()),
    "timers": (lambda loop, cb: loop.timer_new(cb), lambda o: o.mod(0), lambda o: o.delete()),
}


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("kind", KINDS)
def test_those_taken_back_in_any_order_go_and_the_others_run_once(loop, kind, seed):
    """Section 3, lifetimes."""
    make, start, take_back = KINDS[kind]
    rng = random.Random(seed)
    ran, there = [], []
    objects = []
    for number in range(60):
        callback = Callback(number, ran)
        there.append(weakref.ref(callback))
        objects.append(make(loop, callback))
        start(objects[-1])
        start(objects[-1])               # again changes nothing
    del callback
    gone = rng.sample(range(60), 30)
    for number in gone:
        take_back(objects[number])
    again = [] if "deleted" in kind else rng.sample(gone, 10)
    for number in again:
        start(objects[number])
    kept = {number for number in range(60) if number not in gone} | set(again)
    objects.clear()
    assert {number for number in range(60) if there[number]()} == kept
    loop.wait(True)
    assert sorted(ran) == sorted(kept)
    assert not any(ref() for ref in there)


@pytest.mark.parametrize("kind", ["bottom halves", "timers"])
def test_one_that_starts_itself_again_is_kept_among_others(loop, kind):
    """Section 3: as long as it does, and no longer."""
    make, start, _take_back = KINDS[kind]
    gone = []

    class Holder:
        """What a callback knows its object by, until it ends."""

    def hold(number):
        callback = Callback(number, [])
        weakref.finalize(callback, gone.append, number)
        holder = Holder()
        holder.left = number + 1

        def run(_callback=callback):
            holder.left -= 1
            if holder.left:
                start(holder.it)
            else:
                del holder.it

        holder.it = make(loop, run)
        start(holder.it)

    for number in range(10):
        hold(number)
    for turn in range(10):
        assert sorted(gone) == list(range(turn))
        loop.wait(True)
    assert sorted(gone) == list(range(10))
