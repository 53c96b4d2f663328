"""qemu_del_polling_cb() compares functions with ==, which may run anything: what it removed
meanwhile made the wrong polling callback go, or raised IndexError; and one that was added
meanwhile in the place of the only one that fits was left."""

import qemu_mainloop as q


class Picky:
    def __init__(self, calls, name):
        self.calls = calls
        self.name = name
        self.on_comparison = None

    def __call__(self, opaque):
        self.calls.append(self.name)

    def __eq__(self, other):
        action, self.on_comparison = self.on_comparison, None
        if action:
            action()
        return self is other

    __hash__ = None


def test_a_comparison_that_removes_another(main_loop):
    calls = []
    first, second = Picky(calls, "first"), Picky(calls, "second")
    q.qemu_add_polling_cb(first, None)
    q.qemu_add_polling_cb(second, None)
    # The comparison with the second one takes the first away, and so moves the second.
    second.on_comparison = lambda: q.qemu_del_polling_cb(first, None)
    q.qemu_del_polling_cb(second, None)
    main_loop.wait(True)
    assert calls == []
    assert main_loop.info()["polling_callbacks"] == 0


def test_a_comparison_that_removes_itself(main_loop):
    calls = []
    one = Picky(calls, "one")
    q.qemu_add_polling_cb(one, None)
    one.on_comparison = lambda: q.qemu_del_polling_cb(one, None)
    q.qemu_del_polling_cb(one, None)
    main_loop.wait(True)
    assert calls == []
    assert main_loop.info()["polling_callbacks"] == 0


def test_a_comparison_that_replaces_itself(main_loop):
    """As another thread may, at the same instant."""
    one = Picky([], "one")
    q.qemu_add_polling_cb(one, None)

    def replace():
        q.qemu_del_polling_cb(one, None)
        q.qemu_add_polling_cb(one, None)

    one.on_comparison = replace
    q.qemu_del_polling_cb(one, None)
    assert main_loop.info()["polling_callbacks"] == 0
