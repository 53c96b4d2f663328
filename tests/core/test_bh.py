"""The queue of bottom halves: order, states, phases, and what a fork leaves."""

import gc
import itertools
import os
import random
import threading
import weakref

import pytest


@pytest.fixture
def queue(probe_bh):
    queue = probe_bh.Queue()
    yield queue
    queue.close()


@pytest.fixture
def ran():
    return []


@pytest.fixture
def nodes(queue, ran):
    """Four bottom halves that note their number."""
    return [queue.new(lambda i=i: ran.append(i)) for i in range(4)]


def writes(queue):
    """How often the notifier was written since the last time."""
    try:
        return int.from_bytes(os.read(queue.notifier, 8), "little")
    except BlockingIOError:
        return 0


class Callback:
    """A callable whose end can be seen."""

    def __init__(self, ran=None):
        self.ran = ran

    def __call__(self):
        if self.ran is not None:
            self.ran.append(self)


def released(callback):
    gc.collect()
    return callback() is None


# ---- order

@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_first_scheduled_runs_first(queue, nodes, ran, order):
    for i in order:
        nodes[i].schedule()
    assert queue.run()
    assert ran == list(order)
    assert queue.is_empty()


def test_order_holds_across_collections(queue, nodes, ran):
    nodes[2].schedule()
    nodes[0].schedule()
    assert queue.timeout_ns() == 0                   # takes them to the loop's own list
    nodes[3].schedule()
    nodes[1].schedule()
    queue.run()
    assert ran == [2, 0, 3, 1]


def test_random_operations_agree_with_a_model(queue, probe_bh, ran):
    rng = random.Random(1)
    nodes = [queue.new(lambda i=i: ran.append(i)) for i in range(30)]
    strength, order = {}, []
    for step in range(4000):
        i = rng.randrange(len(nodes))
        what = rng.choice(["schedule", "schedule", "idle", "cancel", "timeout", "run"])
        if what == "schedule":
            nodes[i].schedule()
            strength[i] = probe_bh.NOW
        elif what == "idle":
            nodes[i].schedule_idle()
            if strength.get(i) != probe_bh.NOW:
                strength[i] = probe_bh.IDLE
        elif what == "cancel":
            assert nodes[i].cancel() == (strength.get(i, 0) in (probe_bh.IDLE, probe_bh.NOW))
            if i in strength:
                strength[i] = probe_bh.CANCELLED
        elif what == "timeout":
            # A cancelled one that is behind one to run at once may stay where it is.
            now = probe_bh.NOW in strength.values()
            idle = probe_bh.IDLE in strength.values()
            assert queue.timeout_ns() == (0 if now else probe_bh.IDLE_NS if idle else -1)
            for k in [k for k in order if strength[k] == probe_bh.CANCELLED]:
                if nodes[k].state == probe_bh.FREE:
                    order.remove(k)
                    del strength[k]
        elif rng.random() < 0.2:
            ran.clear()
            due = [k for k in order if strength[k] != probe_bh.CANCELLED]
            assert queue.run() == (probe_bh.NOW in strength.values()), step
            assert ran == due, step
            strength, order = {}, []
        if i in strength and i not in order:
            order.append(i)
    assert queue.count == len(nodes)


# ---- states

def test_a_new_one_is_free(queue, nodes, probe_bh):
    assert [node.state for node in nodes] == [probe_bh.FREE] * 4
    assert queue.is_empty() and queue.timeout_ns() == -1 and not queue.run()


def test_scheduling_twice_runs_once(queue, nodes, ran, probe_bh):
    nodes[0].schedule()
    nodes[0].schedule()
    assert nodes[0].state == probe_bh.NOW and nodes[0].is_scheduled()
    queue.run()
    queue.run()
    assert ran == [0]
    assert nodes[0].state == probe_bh.FREE and not nodes[0].is_scheduled()


def test_cancelling(queue, nodes, ran, probe_bh):
    assert not nodes[0].cancel()
    nodes[0].schedule()
    assert nodes[0].cancel()
    assert not nodes[0].cancel()
    assert nodes[0].state == probe_bh.CANCELLED and not nodes[0].is_scheduled()
    assert not queue.run()
    assert ran == [] and nodes[0].state == probe_bh.FREE


def test_cancelled_and_scheduled_again_keeps_its_place(queue, nodes, ran):
    nodes[0].schedule()
    nodes[1].schedule()
    nodes[0].cancel()
    nodes[0].schedule()
    queue.run()
    assert ran == [0, 1]


def test_cancelled_ones_are_dropped_before_a_sleep(queue, nodes, probe_bh):
    for node in nodes:
        node.schedule_idle()
    for node in nodes[1:]:
        node.cancel()
    assert queue.timeout_ns() == probe_bh.IDLE_NS
    assert [node.state for node in nodes] == [probe_bh.IDLE] + [probe_bh.FREE] * 3
    nodes[0].cancel()
    assert queue.timeout_ns() == -1
    assert queue.is_empty()


# ---- idle

def test_idle_is_work_within_10_ms_and_no_progress(queue, nodes, ran, probe_bh):
    nodes[0].schedule_idle()
    assert nodes[0].state == probe_bh.IDLE and nodes[0].is_scheduled()
    assert queue.timeout_ns() == probe_bh.IDLE_NS
    assert not queue.run()
    assert ran == [0]


def test_now_is_stronger_than_idle(queue, nodes, ran, probe_bh):
    nodes[0].schedule_idle()
    nodes[0].schedule()
    assert nodes[0].state == probe_bh.NOW
    nodes[0].schedule_idle()
    assert nodes[0].state == probe_bh.NOW
    assert queue.timeout_ns() == 0
    assert queue.run()
    assert ran == [0]


def test_now_behind_idle_is_found(queue, nodes, ran):
    nodes[0].schedule_idle()
    nodes[1].schedule_idle()
    nodes[2].schedule()
    nodes[3].schedule_idle()
    assert queue.timeout_ns() == 0
    assert queue.run()
    assert ran == [0, 1, 2, 3]


# ---- waking

@pytest.mark.parametrize("how", ["schedule", "schedule_idle"])
def test_the_loop_is_woken_only_if_it_sleeps(queue, nodes, how):
    getattr(nodes[0], how)()
    assert writes(queue) == 0
    queue.fall_asleep()
    getattr(nodes[1], how)()
    assert writes(queue) == 1
    getattr(nodes[1], how)()                          # who made it so has woken the loop
    assert writes(queue) == 0
    queue.wake_up()


def test_making_an_idle_one_now_wakes(queue, nodes):
    nodes[0].schedule_idle()
    queue.fall_asleep()
    nodes[0].schedule()
    assert writes(queue) == 1


def test_scheduling_a_cancelled_one_wakes(queue, nodes):
    for how in ("schedule", "schedule_idle"):
        nodes[0].schedule()
        nodes[0].cancel()
        queue.fall_asleep()
        getattr(nodes[0], how)()
        assert writes(queue) == 1
        queue.wake_up()


# ---- phases

def test_once_in_a_phase(queue, ran, probe_bh):
    def again():
        ran.append("again")
        node.schedule()

    node = queue.new(again)
    node.schedule()
    for phase in range(1, 4):
        assert queue.run()
        assert ran == ["again"] * phase
        assert node.state == probe_bh.NOW and not queue.is_empty()
        assert queue.timeout_ns() == 0
    del again


def test_those_of_the_next_phase_come_before_new_ones(queue, nodes, ran):
    def again():
        ran.append("again")
        node.schedule()

    node = queue.new(again)
    node.schedule()
    queue.run()
    nodes[0].schedule()
    queue.run()
    assert ran == ["again", "again", 0]
    node.cancel()


def test_another_scheduled_in_the_phase_runs_in_it(queue, nodes, ran):
    chain = queue.new(lambda: (ran.append("first"), nodes[1].schedule()))
    chain.schedule()
    nodes[0].schedule()
    queue.run()
    assert ran == ["first", 0, 1]


def test_one_made_in_the_phase_runs_in_it(queue, ran):
    first = queue.new(lambda: queue.new(lambda: ran.append("made")).schedule())
    first.schedule()
    queue.run()
    assert ran == ["made"]


def test_a_chain_of_new_ones_ends_the_phase(queue, ran):
    def make():
        ran.append(None)
        queue.new(make).schedule()

    queue.new(make).schedule()
    queue.run()
    assert 1000 <= len(ran) < 1100
    before = len(ran)
    queue.run()
    assert len(ran) > before


def test_one_shots_wait_for_the_next_phase(queue, ran):
    def chain():
        ran.append("shot")
        queue.new(chain, oneshot=True).schedule()

    queue.new(chain, oneshot=True).schedule()
    assert not queue.run() or ran == ["shot"]         # made before the first phase
    for _ in range(3):
        before = len(ran)
        assert queue.run()
        assert len(ran) == before + 1
    assert queue.count == 1


def test_a_one_shot_made_between_a_nested_phase_and_the_outer_one_runs_in_that(queue, ran, nodes):
    """It had waited one iteration more, because the nested one had the greater number."""
    nodes[0].schedule()
    queue.run()                                       # nested in a descriptor's callback
    queue.new(lambda: ran.append("shot"), oneshot=True).schedule()
    queue.run_nested()                                # the outer one's, with no greater number
    assert ran == [0, "shot"]


def test_a_one_shot_is_released_after_it_has_run(queue):
    """Its opaque may be gone after release."""
    order = []

    def callback():
        order.append("run")

    callback.note_release = lambda: order.append("release")
    queue.new(callback, oneshot=True).schedule()
    assert queue.count == 1
    queue.run()
    queue.run()
    assert queue.count == 0
    assert order == ["run", "release"]


def test_a_nested_phase_continues_the_outer_one(queue, nodes, ran):
    def nest():
        queue.run()
        ran.append("outer")

    outer = queue.new(nest)
    outer.schedule()
    for node in nodes[:2]:
        node.schedule()
    queue.run()
    assert ran == [0, 1, "outer"]


def test_a_nested_phase_runs_what_called_it_again(queue, ran):
    def nest():
        ran.append("begin")
        if len(ran) == 1:
            node.schedule()
            queue.run()
        ran.append("end")

    node = queue.new(nest)
    node.schedule()
    queue.run()
    assert ran == ["begin", "begin", "end", "end"]


# ---- deleting

def test_a_free_one_is_freed_at_once_by_the_loop(queue):
    callback = Callback()
    seen = weakref.ref(callback)
    node = queue.new(callback)
    del callback
    node.delete()
    assert released(seen) and queue.count == 0 and queue.is_empty()


def test_a_scheduled_one_is_freed_unrun_by_the_phase(queue, ran):
    callback = Callback(ran)
    seen = weakref.ref(callback)
    node = queue.new(callback)
    del callback
    node.schedule()
    node.delete()
    assert not released(seen) and not queue.is_empty()
    assert not queue.run()
    assert released(seen) and queue.count == 0 and ran == []


@pytest.mark.parametrize("where", ["timeout_ns", "run"])
def test_deleting_from_another_thread_leaves_the_freeing_to_the_loop(queue, probe_bh, where):
    callback = Callback()
    seen = weakref.ref(callback)
    node = queue.new(callback)
    del callback
    queue.poll_in_another_thread(True)
    deleter = threading.Thread(target=node.delete)
    deleter.start()
    deleter.join()
    queue.poll_in_another_thread(False)
    assert not released(seen) and queue.count == 1 and not queue.is_empty()
    assert node.state == probe_bh.DELETED
    getattr(queue, where)()
    assert released(seen) and queue.count == 0 and queue.is_empty()


def test_deleting_between_unlinking_and_the_push(queue, ran):
    """The deleter has said so, but not yet exchanged the state: it does not run any more."""
    callback = Callback(ran)
    seen = weakref.ref(callback)
    node = queue.new(callback)
    del callback
    node.schedule()
    node.mark_deleted()
    queue.run()
    assert ran == [] and queue.is_empty() and not released(seen)
    queue.poll_in_another_thread(True)
    node.delete()
    queue.poll_in_another_thread(False)
    queue.run()
    assert released(seen) and queue.count == 0


def test_deleting_itself(queue, ran):
    node = queue.new(lambda: (ran.append("self"), node.delete()))
    node.schedule()
    assert queue.run()
    assert not queue.run()
    assert ran == ["self"] and queue.count == 0


def test_deleting_one_that_waits_for_the_next_phase(queue, ran):
    def again():
        ran.append("again")
        node.schedule()

    node = queue.new(again)
    node.schedule()
    queue.run()
    node.delete()
    assert not queue.run()
    assert ran == ["again"] and queue.count == 0


def test_the_end_of_the_queue_frees_all(probe_bh, ran):
    queue = probe_bh.Queue()
    seen = []
    for how in ("none", "schedule", "schedule_idle", "delete"):
        callback = Callback(ran)
        seen.append(weakref.ref(callback))
        node = queue.new(callback)
        if how == "delete":
            node.schedule()
        if how != "none":
            getattr(node, how)()
        del callback, node
    queue.close()
    assert all(released(callback) for callback in seen) and ran == []


# ---- a producer between P3 and P4

def test_a_half_linked_push_is_work_for_later(queue, nodes, ran, probe_bh):
    nodes[0].schedule()
    nodes[1].change_state(probe_bh.NOW)
    nodes[1].half_push()
    nodes[2].schedule()
    assert not queue.run()
    assert ran == [] and not queue.is_empty()
    assert queue.timeout_ns() == probe_bh.LINK_WAIT_NS
    nodes[3].schedule()                               # on a stack of its own by now
    assert queue.timeout_ns() == probe_bh.LINK_WAIT_NS
    nodes[1].finish_push()
    assert queue.timeout_ns() == 0
    assert queue.run()
    assert ran == [0, 1, 2, 3]
    assert queue.is_empty()


def test_what_was_collected_before_runs_meanwhile(queue, nodes, ran, probe_bh):
    nodes[0].schedule()
    assert queue.timeout_ns() == 0
    nodes[1].change_state(probe_bh.NOW)
    nodes[1].half_push()
    assert queue.timeout_ns() == 0
    assert queue.run()
    assert ran == [0]
    nodes[1].finish_push()
    queue.run()
    assert ran == [0, 1]


# ---- what a fork leaves

def test_the_pollers_own_come_behind_what_was_collected(queue, nodes, ran):
    """As in an iteration nested in a callback that schedules."""
    nodes[0].schedule()
    assert queue.timeout_ns() == 0
    nodes[1].schedule_guarded()
    nodes[2].schedule_guarded()
    nodes[3].schedule()
    assert queue.timeout_ns() == 0
    queue.run()
    assert ran == [0, 1, 2, 3]


def test_repairing_a_whole_queue_changes_nothing(queue, nodes, ran):
    for i in (2, 0, 3):
        nodes[i].schedule()
    queue.repair()
    queue.run()
    assert ran == [2, 0, 3] and queue.is_empty() and queue.count == 4


def test_repairing_keeps_the_order_of_all_lists(queue, nodes, ran):
    """One waits for the next phase, one is in the loop's list, one on the stack."""
    def again():
        ran.append("again")
        if len(ran) == 1:
            node.schedule()

    node = queue.new(again)
    node.schedule()
    queue.run()
    nodes[3].schedule()
    nodes[1].schedule()
    queue.repair()
    queue.run()
    assert ran == ["again", "again", 3, 1]


@pytest.mark.parametrize("collected", [False, True])
def test_repairing_a_half_linked_push(queue, nodes, ran, probe_bh, collected):
    nodes[0].schedule()
    nodes[1].change_state(probe_bh.NOW)
    nodes[1].half_push()
    nodes[2].schedule()
    if collected:
        assert queue.timeout_ns() == probe_bh.LINK_WAIT_NS
        nodes[3].schedule()
    queue.repair()
    assert queue.timeout_ns() == 0
    assert queue.run()
    # What can be reached keeps its order, what cannot goes behind.
    assert ran[:-2] == ([3, 2] if collected and ran[0] == 3 else [2, 3] if collected else [2])
    assert sorted(ran[-2:]) == [0, 1]
    assert queue.is_empty() and not queue.run()


@pytest.mark.parametrize("state", ["NOW", "IDLE"])
def test_repairing_one_that_was_never_pushed(queue, nodes, ran, probe_bh, state):
    """The producer was between P1 and P3."""
    nodes[0].schedule()
    nodes[1].change_state(getattr(probe_bh, state))
    queue.repair()
    queue.run()
    assert ran == [0, 1]


def test_repairing_one_that_the_loop_had_unlinked(queue, nodes, ran):
    """The loop was between L2 and L3, in a thread that is no more."""
    for node in nodes[:3]:
        node.schedule()
    assert queue.timeout_ns() == 0
    queue.pop_head()
    queue.repair()
    queue.run()
    assert ran == [1, 2, 0]


def test_repairing_a_list_that_was_being_changed(queue, nodes, ran):
    for node in nodes:
        node.schedule()
    assert queue.timeout_ns() == 0
    queue.lose_list()
    queue.repair()
    queue.run()
    assert sorted(ran) == [0, 1, 2, 3] and queue.is_empty()


def test_repairing_a_list_of_the_pollers_own_that_was_being_changed(queue, nodes, ran):
    for node in nodes[:3]:
        node.schedule_guarded()
    nodes[3].schedule()
    queue.lose_own_tail()
    queue.repair()
    queue.run()
    assert ran == [0, 1, 2, 3] and queue.is_empty()


def test_repairing_one_that_was_to_be_deleted(queue, ran, probe_bh):
    """Its deleter had exchanged the state, and had not pushed it."""
    callback = Callback(ran)
    seen = weakref.ref(callback)
    node = queue.new(callback)
    del callback
    node.mark_deleted()
    node.change_state(probe_bh.DELETED)
    queue.repair()
    assert not queue.is_empty()
    assert not queue.run()
    assert released(seen) and queue.count == 0 and ran == []


def test_a_repaired_queue_goes_on(queue, nodes, ran, probe_bh):
    nodes[0].change_state(probe_bh.NOW)
    nodes[0].half_push()
    queue.repair()
    queue.repair()
    nodes[1].schedule()
    queue.run()
    for node in nodes:
        node.schedule()
    queue.run()
    assert ran == [0, 1, 0, 1, 2, 3]
