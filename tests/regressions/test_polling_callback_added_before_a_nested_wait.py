"""A polling callback that another one added was left out of the iterations nested in that
walk, too, although those had begun after it was there."""

import pytest

import qemu_mainloop as q


@pytest.fixture
def adding(main_loop):
    """add(name, action): a polling callback that notes its name and acts, once."""
    log = []
    added = []

    def add(name, action=None):
        actions = [action] if action else []

        def func(opaque):
            log.append(name)
            if actions:
                actions.pop()()
            return 1

        q.qemu_add_polling_cb(func, name)
        added.append((func, name))

    add.log = log
    yield add
    for func, name in added:
        q.qemu_del_polling_cb(func, name)


def test_it_is_asked_in_the_nested_iteration_and_not_in_the_outer_one(adding):
    def act():
        adding("new")
        q.main_loop_wait(True)
        adding.log.append("back")

    adding("old", act)
    q.main_loop_wait(True)
    assert adding.log == ["old", "old", "new", "back"]
    q.main_loop_wait(True)
    assert adding.log[4:] == ["old", "new"]
