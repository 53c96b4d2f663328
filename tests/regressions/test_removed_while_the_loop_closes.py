"""What close() drops may run anything: a polling callback that was removed there was looked for in
a context that was gone."""

import os

import qemu_mainloop as q


def never(opaque):
    raise AssertionError


class Pipe:
    def __init__(self, at_the_end):
        self.ends = os.pipe()
        self.at_the_end = at_the_end

    def fileno(self):
        return self.ends[0]

    def __del__(self):
        for fd in self.ends:
            os.close(fd)
        self.at_the_end()


def test_a_polling_callback_removed_by_a_destructor():
    loop = q.MainLoop()
    removed = []

    def remove():
        loop._remove_polling_callback(never, None)
        removed.append(1)

    loop._add_polling_callback(never, None)
    for _ in range(3):
        loop.set_fd_handler(Pipe(remove), print)
    loop.close()
    assert removed == [1, 1, 1]
