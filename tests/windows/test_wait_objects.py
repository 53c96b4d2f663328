"""Wait objects with real handles: each kind of them, duplicates, removal, what is used up."""

import threading

import pytest

import qemu_mainloop as q


def wait_until(loop, condition):
    assert loop.run_until(condition, timeout=20)


def test_an_event_that_resets_itself_is_used_up_by_its_callback(main_loop, kernel, calls):
    event = kernel.event()
    q.qemu_add_wait_object(event, calls.append, "e")
    assert q.main_loop_wait(True) == 0
    kernel.set(event)
    assert q.main_loop_wait(False) == 1 and calls == ["e"]
    assert q.main_loop_wait(True) == 0 and not kernel.is_signalled(event)


def test_an_event_that_stays_set_is_reported_until_it_is_reset(main_loop, kernel, calls):
    event = kernel.event(stays=True, is_set=True)
    q.qemu_add_wait_object(event, calls.append, "e")
    for _ in range(3):
        assert q.main_loop_wait(True) == 1
    kernel.reset(event)
    assert q.main_loop_wait(True) == 0 and calls == ["e"] * 3


def test_a_semaphore_is_taken_once_for_each_call(main_loop, kernel, calls):
    semaphore = kernel.semaphore(3)
    q.qemu_add_wait_object(semaphore, calls.append, "s")
    for n in (1, 2, 3):
        assert q.main_loop_wait(True) == 1 and len(calls) == n
    assert q.main_loop_wait(True) == 0
    kernel.release(semaphore)
    assert q.main_loop_wait(False) == 1


@pytest.mark.parametrize("stays", [False, True])
def test_a_waitable_timer(main_loop, kernel, calls, stays):
    timer = kernel.timer(20, stays)
    q.qemu_add_wait_object(timer, calls.append, "t")
    wait_until(main_loop, lambda: calls)
    assert q.main_loop_wait(True) == stays


def test_a_process_is_signalled_from_its_end_on(main_loop, process, calls):
    handle = int(process._handle)
    q.qemu_add_wait_object(handle, calls.append, "p")
    assert q.main_loop_wait(True) == 0
    process.stdin.close()
    wait_until(main_loop, lambda: calls)
    assert q.main_loop_wait(True) == 1
    q.qemu_del_wait_object(handle, None, None)
    assert process.wait() == 3


def test_a_thread_is_signalled_from_its_end_on(main_loop, kernel, calls):
    go = threading.Event()
    thread = threading.Thread(target=go.wait)
    thread.start()
    q.qemu_add_wait_object(kernel.thread(thread.native_id), calls.append, "t")
    assert q.main_loop_wait(True) == 0
    go.set()
    wait_until(main_loop, lambda: calls)
    thread.join()


def test_a_handle_is_taken_once(main_loop, kernel, calls):
    event = kernel.event()
    q.qemu_add_wait_object(event, calls.append, "first")
    with pytest.raises(FileExistsError):
        q.qemu_add_wait_object(event, calls.append, "second")
    kernel.set(event)
    assert q.main_loop_wait(True) == 1 and calls == ["first"]


def test_a_duplicate_of_a_handle_is_another_handle(main_loop, kernel, calls):
    event = kernel.event(stays=True)
    q.qemu_add_wait_object(event, calls.append, 1)
    q.qemu_add_wait_object(kernel.duplicate(event), calls.append, 2)
    kernel.set(event)
    assert q.main_loop_wait(True) == 2 and sorted(calls) == [1, 2]


def test_a_closed_handle_is_refused(main_loop, kernel):
    event = kernel.event()
    kernel.close(event)
    with pytest.raises(OSError, match="Bad file descriptor"):
        q.qemu_add_wait_object(event, print, None)


def test_a_handle_has_no_fd_handler(main_loop, kernel):
    with pytest.raises(OSError, match="Bad file descriptor"):
        main_loop.set_fd_handler(kernel.event(), print)


def test_one_closed_under_its_registration_harms_no_other(main_loop, kernel, calls):
    gone, kept = kernel.event(), kernel.event()
    q.qemu_add_wait_object(gone, calls.append, "gone")
    q.qemu_add_wait_object(kept, calls.append, "kept")
    kernel.close(gone)
    kernel.set(kept)
    wait_until(main_loop, lambda: calls)
    assert calls == ["kept"] and main_loop.info()["closed_descriptors"] == 1
    assert q.main_loop_wait(True) == 0


# ---- removal

def test_one_that_removes_itself_leaves_its_neighbours_their_turn(main_loop, kernel, calls):
    """Bug B20: the original skips the next one."""
    events = [kernel.event() for _ in range(4)]

    def once(i):
        calls.append(i)
        q.qemu_del_wait_object(events[i], None, None)

    for i, event in enumerate(events):
        q.qemu_add_wait_object(event, once, i)
        kernel.set(event)
    assert q.main_loop_wait(True) == 4 and sorted(calls) == [0, 1, 2, 3]
    assert main_loop.info()["handlers"] == 0


@pytest.mark.parametrize("kind", ["event", "semaphore"])
def test_what_was_found_of_one_that_is_removed_is_given_back(main_loop, kernel, calls, kind):
    first = kernel.event(is_set=True)
    second = kernel.event(is_set=True) if kind == "event" else kernel.semaphore(1)
    q.qemu_add_wait_object(
        first, lambda _: (calls.append(1), q.qemu_del_wait_object(second, None, None)), None)
    q.qemu_add_wait_object(second, calls.append, 2)
    q.main_loop_wait(True)
    if calls == [1]:
        assert q.main_loop_wait(True) == 0
        assert kernel.is_signalled(second)           # for whoever waits for it next
    assert 2 not in calls or calls == [2, 1]


def test_a_nested_iteration_loses_nothing(main_loop, kernel, calls):
    """What the outer one has found and not called yet is used up, and the inner one has it."""
    events = [kernel.event(is_set=True) for _ in range(3)]

    def nested(i):
        calls.append(i)
        q.main_loop_wait(True)

    for i, event in enumerate(events):
        q.qemu_add_wait_object(event, nested, i)
    q.main_loop_wait(True)
    assert sorted(calls) == [0, 1, 2]


def test_replaced_by_another_thread_while_the_loop_sleeps(main_loop, kernel, calls):
    event = kernel.event()
    q.qemu_add_wait_object(event, calls.append, "old")

    def replace():
        q.qemu_del_wait_object(event, None, None)
        q.qemu_add_wait_object(event, calls.append, "new")
        kernel.set(event)

    for _ in range(20):
        calls.clear()
        thread = threading.Thread(target=replace)
        thread.start()
        wait_until(main_loop, lambda: calls)
        thread.join()
        assert calls == ["new"] or calls == ["old"]
        assert not kernel.is_signalled(event)


def test_no_set_is_lost(main_loop, kernel, calls):
    """Each event is set again as soon as its callback has run; as many calls as sets come."""
    rounds = 50
    events = [kernel.event() for _ in range(8)]
    left = dict.fromkeys(events, rounds)
    ready = {event: threading.Semaphore(1) for event in events}

    def called(event):
        left[event] -= 1
        calls.append(event)
        ready[event].release()

    def set_all():
        for _ in range(rounds):
            for event in events:
                assert ready[event].acquire(timeout=20)
                kernel.set(event)

    for event in events:
        q.qemu_add_wait_object(event, called, event)
    thread = threading.Thread(target=set_all)
    thread.start()
    wait_until(main_loop, lambda: not any(left.values()))
    thread.join()
    assert len(calls) == rounds * len(events) and q.main_loop_wait(True) == 0


# ---- polling callbacks

def test_a_polling_callback_makes_nothing_look_ready(main_loop, kernel, sockets, calls):
    """The original calls every fd handler then (its descriptor sets still hold the interest)."""
    q.qemu_add_polling_cb(lambda _: calls.append("asked") or True, None)
    q.qemu_set_fd_handler(sockets[0].fileno(), lambda _: calls.append("read"), None, None)
    q.qemu_add_wait_object(kernel.event(), lambda _: calls.append("event"), None)
    assert q.main_loop_wait(False) == 0 and calls == ["asked"]
    sockets[1].send(b"x")
    wait_until(main_loop, lambda: "read" in calls)
    assert "event" not in calls
