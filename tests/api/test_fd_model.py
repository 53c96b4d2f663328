"""Random registrations on random files: who is called agrees with poll(2), asked directly."""

import os
import random
import select
import socket

import pytest

pytestmark = [pytest.mark.timeout(60),
              pytest.mark.posix_only(reason="a handle gets the number that the system likes")]

NUMBERS = range(500, 512)
READS = select.POLLIN | select.POLLHUP | select.POLLERR
WRITES = select.POLLOUT | select.POLLERR


def pipe_end(end, other_is_closed):
    ends = list(os.pipe2(os.O_NONBLOCK))
    keep = ends.pop(end)
    if other_is_closed:
        os.close(ends.pop())
    return keep, ends


def connected_socket(has_data):
    near, far = socket.socketpair()
    if has_data:
        far.send(b"x")
    return near.detach(), [far.detach()]


KINDS = [
    lambda: (os.open("/dev/null", os.O_RDWR), []),
    lambda: (os.eventfd(0), []),
    lambda: (os.eventfd(1), []),
    lambda: pipe_end(0, True),
    lambda: pipe_end(0, False),
    lambda: pipe_end(1, True),
    lambda: pipe_end(1, False),
    lambda: connected_socket(True),
    lambda: connected_socket(False),
]


class Model:
    """What is registered for which number, and what poll(2) says should happen."""

    def __init__(self, loop, seed):
        self.loop = loop
        self.random = random.Random(seed)
        self.is_open = set()
        self.kept_open = []
        self.registered = {}
        self.gates = {}
        self.calls = set()

    def open_another_file(self, number):
        """As close() and open() would: a duplicate of the old file may stay."""
        if number in self.is_open and self.random.random() < 0.5:
            self.kept_open.append(os.dup(number))
        fd, others = self.random.choice(KINDS)()
        os.dup2(fd, number, inheritable=False)
        os.close(fd)
        self.kept_open += others
        self.is_open.add(number)
        while len(self.kept_open) > 60:
            os.close(self.kept_open.pop(self.random.randrange(60)))

    def close(self, number):
        if self.random.random() < 0.5:
            self.remove(number)
        if number in self.is_open:
            os.close(number)
            self.is_open.discard(number)
        self.remove(number)

    def remove(self, number):
        self.loop.set_fd_handler(number)
        self.registered.pop(number, None)

    def set(self, number):
        kind = self.random.choice(["read", "write", "both", "gated"])
        can_read = None
        if kind == "gated":
            def can_read():
                self.gates[number] = self.random.random() < 0.5
                return self.gates[number]
        read = None if kind == "write" else lambda: self.calls.add((number, "read"))
        write = None if kind == "read" else lambda: self.calls.add((number, "write"))
        self.loop.set_fd_handler(number, read, write, can_read=can_read)
        self.registered[number] = kind

    def step(self):
        number = self.random.choice(NUMBERS)
        what = self.random.randrange(6)
        if what == 0:
            self.close(number)
        elif what == 1:
            self.remove(number)
        else:
            if number not in self.is_open or what == 2:
                self.open_another_file(number)
            for _ in range(self.random.randrange(1, 4)):
                self.set(number)

    def expected(self):
        due = set()
        poll = select.poll()
        for number in self.registered:
            poll.register(number, select.POLLIN | select.POLLOUT)
        for number, events in poll.poll(0):
            kind = self.registered[number]
            if kind != "write" and events & READS and (kind != "gated" or self.gates[number]):
                due.add((number, "read"))
            if kind != "read" and events & WRITES:
                due.add((number, "write"))
        return due

    def clean_up(self):
        for number in NUMBERS:
            self.close(number)
        for fd in self.kept_open:
            os.close(fd)


@pytest.mark.parametrize("seed", range(8))
def test_calls_agree_with_poll(loop, seed):
    """Rows "fd handler", "when a change takes effect", "descriptor closed while registered"."""
    model = Model(loop, seed)
    try:
        for _ in range(300):
            for _ in range(model.random.randrange(4)):
                model.step()
            model.calls.clear()
            count = loop.wait(True)
            assert model.calls == model.expected()
            assert count == len({number for number, _ in model.calls})
    finally:
        model.clean_up()
