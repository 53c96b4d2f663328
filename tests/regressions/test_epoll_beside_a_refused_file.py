"""The array for epoll's events grew between taking its address and the call, where the compiler
(clang) looks at arguments from the left: the kernel wrote into freed memory, and the first
report beside a file that epoll refuses was lost."""

import os


def test_both_are_served_at_the_first_wait(loop):
    served = []
    null = os.open("/dev/null", os.O_RDWR)
    event = os.eventfd(1)
    # A number that makes the table, and with it the array of events, grow.
    number = os.dup2(event, 700, inheritable=False)
    loop.set_fd_handler(null, lambda: served.append("refused"))
    loop.set_fd_handler(number, lambda: served.append("epoll"))
    count = loop.wait(True)
    for fd in (null, number):
        loop.set_fd_handler(fd)
        os.close(fd)
    os.close(event)
    assert count == 2
    assert sorted(served) == ["epoll", "refused"]
