"""Polling callbacks added and deleted, by themselves, by others, twice."""

import os
import threading
import time
import weakref

import pytest

import qemu_mainloop as q

pytestmark = pytest.mark.timeout(20)


def sleeps():
    return q.main_loop().info()["sleeps"]


def test_callback_may_delete_itself_and_the_next_is_still_called(header, calls):
    """Row "wait objects, polling callbacks": one may delete itself."""

    def once(o):
        calls.append(o)
        q.qemu_del_polling_cb(once, o)
        return 1

    q.qemu_add_polling_cb(once, "once")
    q.qemu_add_polling_cb(lambda o: calls.append(o) or 1, "always")
    q.main_loop_wait(False)
    q.main_loop_wait(False)
    assert calls == ["once", "always", "always"]


def test_callback_may_delete_the_next_which_is_not_called(header, calls):
    def second(o):
        calls.append("second")

    q.qemu_add_polling_cb(lambda o: q.qemu_del_polling_cb(second, None), None)
    q.qemu_add_polling_cb(second, None)
    q.main_loop_wait(True)
    assert calls == []
    assert header.info()["polling_callbacks"] == 1


def test_callback_added_by_a_callback_is_called_from_the_next_iteration_on(header, calls):
    added = []

    def adder(o):
        if not added:
            added.append(q.qemu_add_polling_cb(lambda o: calls.append(o), "added"))

    q.qemu_add_polling_cb(adder, None)
    q.main_loop_wait(True)
    assert calls == []
    q.main_loop_wait(True)
    assert calls == ["added"]


def test_same_function_twice_is_called_twice_and_deleted_one_by_one(header, calls):
    """The header's qemu_del_polling_cb(): the first with that func and opaque."""
    for _ in range(2):
        q.qemu_add_polling_cb(calls.append, "o")
    q.main_loop_wait(True)
    q.qemu_del_polling_cb(calls.append, "o")
    q.main_loop_wait(True)
    assert len(calls) == 3
    q.qemu_del_polling_cb(calls.append, "o")
    q.main_loop_wait(True)
    assert len(calls) == 3


def test_delete_looks_at_function_and_opaque(header, calls):
    q.qemu_add_polling_cb(calls.append, "a")
    q.qemu_del_polling_cb(calls.append, "b")
    q.qemu_del_polling_cb(print, "a")
    q.main_loop_wait(True)
    assert calls == ["a"]


def test_delete_after_the_main_loop_was_closed_finds_the_live_one(header, calls):
    """Closing the main loop forgets what Python registered, polling callbacks included."""
    q.qemu_add_polling_cb(calls.append, "o")
    header.close()
    q.main_loop_wait(True)
    assert calls == []
    q.qemu_add_polling_cb(calls.append, "o")
    q.qemu_del_polling_cb(calls.append, "o")
    assert q.main_loop().info()["polling_callbacks"] == 0
    q.main_loop().close()


def test_function_and_opaque_are_let_go_when_deleted(header):
    class Opaque:
        pass

    opaque = Opaque()
    seen = weakref.ref(opaque)
    q.qemu_add_polling_cb(print, opaque)
    q.qemu_del_polling_cb(print, opaque)
    del opaque
    assert seen() is None


def test_callback_added_by_another_thread_is_asked_although_the_loop_slept(header, calls):
    """Row "notification": registrations from other threads notify."""
    before = sleeps()

    def other():
        while sleeps() == before:
            os.sched_yield()
        q.qemu_add_polling_cb(lambda o: calls.append(o) or 1, "asked")

    thread = threading.Thread(target=other)
    thread.start()
    begin = time.monotonic()
    while not calls:
        q.main_loop_wait(False)
    assert time.monotonic() - begin < 10
    thread.join()
