"""Another thread that notified a loop and polled it, between two waits of the thread that
looks at a flag of its own, took the notification with it: the second wait slept over it.

So did an iteration nested in can_read() or in a polling callback, which took what came before
the outer one slept.  And a whole iteration by another thread during a foreign select() ended
the announcement of that sleep: nobody woke it any more.
"""

import select
import threading

import pytest
from sleeping import start_when_asleep

import qemu_mainloop as q

pytestmark = pytest.mark.timeout(20)


def in_a_thread(call):
    thread = threading.Thread(target=call)
    thread.start()
    thread.join()


def test_what_another_thread_took_ends_the_next_wait(loop):
    loop.wait(True)

    def work():
        loop.notify()
        loop.wait(True)

    in_a_thread(work)
    loop.wait()


def test_what_another_thread_ran_ends_the_next_wait(loop):
    ran = []
    bh = loop.bh_new(lambda: ran.append(threading.get_ident()))
    loop.wait(True)
    bh.schedule()
    in_a_thread(lambda: loop.wait(True))
    assert len(ran) == 1
    loop.wait()


def test_it_ends_one_wait_alone(loop):
    in_a_thread(lambda: (loop.notify(), loop.wait(True)))
    loop.wait()
    sleeps = loop.info()["sleeps"]
    notifier = start_when_asleep(loop, loop.notify)
    loop.wait()
    notifier.join()
    assert loop.info()["sleeps"] == sleeps + 1


def test_what_a_nested_iteration_took_ends_the_outer_wait(loop, pipe):
    def can_read():
        if nested:
            nested.pop()
            loop.notify()
            loop.wait(True)
        return False

    nested = [1]
    loop.set_fd_handler(pipe[0], lambda: None, can_read=can_read)
    loop.wait()
    assert not nested


@pytest.mark.parametrize("wakes", ["notify", "schedule", "taken"])
def test_a_foreign_select_beside_another_thread_s_iteration(main_loop, wakes):
    bh = main_loop.bh_new(lambda: None)
    main_loop.notify()
    main_loop.wait()                         # an earlier test's wait is over
    sets = set(), set(), set()
    q.qemu_iohandler_fill(*sets)
    assert not any(select.select(*sets, 0))
    if wakes == "taken":
        in_a_thread(lambda: (main_loop.notify(), main_loop.wait(True)))
    else:
        in_a_thread(lambda: main_loop.wait(True))
        assert not any(select.select(*sets, 0))
        in_a_thread(main_loop.notify if wakes == "notify" else bh.schedule)
    ready = select.select(*sets, 10)
    assert any(ready)
    q.qemu_iohandler_poll(*(set(fds) for fds in ready), sum(map(len, ready)))
    q.qemu_bh_poll()
    assert not any(select.select(*sets, 0))
