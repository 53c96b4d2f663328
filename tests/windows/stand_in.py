"""What the tests of the API ask of a POSIX system, by what Windows has instead.

The loop takes sockets and handles there, and the C library's descriptors are neither.  So a
pipe of the tests is a pair of sockets, an eventfd is an event, and ``os.read()``, ``os.write()``
and so on take them by their numbers, too.  For tests alone: conftest.py installs it.
"""

import ctypes
import errno
import os
import select
import signal
import socket
import subprocess
import sys
import time
import types

kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)
kernel32.CreateEventW.restype = ctypes.c_void_p
for _name in ("SetEvent", "ResetEvent", "CloseHandle"):
    getattr(kernel32, _name).argtypes = [ctypes.c_void_p]
kernel32.WaitForSingleObject.argtypes = [ctypes.c_void_p, ctypes.c_ulong]

_sockets = {}
_events = {}  # handle: value
_gone = set()  # numbers that were ours: the C library has others by the same numbers
_children = {}  # process number: Popen
_real = {name: getattr(os, name) for name in ("read", "write", "close", "dup", "kill")}


def _own(sock):
    _sockets[sock.fileno()] = sock
    _gone.discard(sock.fileno())
    return sock.fileno()


def pipe2(flags=0):
    """Two connected sockets: (reading end, writing end)."""
    pair = socket.socketpair()
    for end in pair:
        end.setblocking(not flags & os.O_NONBLOCK)
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return tuple(map(_own, pair))


def pipe():
    return pipe2()


def read(fd, n):
    if fd in _events:
        return eventfd_read(fd).to_bytes(8, sys.byteorder)
    return _sockets[fd].recv(n) if fd in _sockets else _real["read"](fd, n)


def write(fd, data):
    if fd in _events:
        eventfd_write(fd, int.from_bytes(data, sys.byteorder))
        return 8
    return _sockets[fd].send(data) if fd in _sockets else _real["write"](fd, data)


def close(fd):
    if fd in _gone:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))
    if fd in _sockets:
        _sockets.pop(fd).close()
        _gone.add(fd)
    elif fd in _events:
        del _events[fd]
        kernel32.CloseHandle(fd)
        _gone.add(fd)
    else:
        _real["close"](fd)


def dup(fd):
    return _own(_sockets[fd].dup()) if fd in _sockets else _real["dup"](fd)


def eventfd(value, flags=0):
    """An event that stays set until it is read."""
    fd = kernel32.CreateEventW(None, True, value > 0, None)
    _events[fd] = value
    _gone.discard(fd)
    return fd


def eventfd_write(fd, value):
    _events[fd] += value
    kernel32.SetEvent(fd)


def eventfd_read(fd):
    if not _events[fd]:
        raise BlockingIOError
    value, _events[fd] = _events[fd], 0
    kernel32.ResetEvent(fd)
    return value


def sched_yield():
    time.sleep(0)


def kill(pid, signo):
    """Signals of this process, which the system has no way to send."""
    if pid == os.getpid():
        signal.raise_signal(signo)
    else:
        _real["kill"](pid, signo)


def posix_spawn(path, argv, env):
    """For ["sh", "-c", "exit 3"]."""
    child = subprocess.Popen(["cmd", "/c", argv[2]], stdin=subprocess.DEVNULL)
    _children[child.pid] = child
    return child.pid


def waitid(kind, pid, options):
    """Until it has ended; its status stays."""
    _children[pid].wait()


class Poll:
    """select.poll(), by select()."""

    def __init__(self):
        self.wanted = {}

    def register(self, fd, events):
        self.wanted[fd] = events

    def poll(self, ms=None):
        readers = [fd for fd, events in self.wanted.items() if events & select.POLLIN]
        writers = [fd for fd, events in self.wanted.items() if events & select.POLLOUT]
        if not readers and not writers:
            return []
        ready = select.select(readers, writers, [], None if ms is None else ms / 1000)
        found = dict.fromkeys(ready[0], select.POLLIN)
        for fd in ready[1]:
            found[fd] = found.get(fd, 0) | select.POLLOUT
        return list(found.items())


def install():
    """Makes os, and modules that Windows lacks, have what is above."""
    for name in ("pipe2", "pipe", "read", "write", "close", "dup", "eventfd", "eventfd_read",
                 "eventfd_write", "sched_yield", "kill", "posix_spawn", "waitid"):
        setattr(os, name, globals()[name])
    for number, name in enumerate(("O_NONBLOCK", "O_CLOEXEC", "EFD_NONBLOCK", "EFD_CLOEXEC",
                                   "EFD_SEMAPHORE", "P_PID", "WEXITED", "WNOWAIT")):
        setattr(os, name, 1 << (20 + number))
    # Two that a program may use for itself; the others are names of what nobody can catch.
    signal.SIGUSR1, signal.SIGUSR2 = signal.SIGBREAK, signal.SIGTERM
    for number, name in ((9, "SIGKILL"), (14, "SIGALRM"), (17, "SIGCHLD"), (18, "SIGCONT"),
                         (19, "SIGSTOP")):
        setattr(signal, name, number)
    select.POLLIN, select.POLLOUT, select.POLLERR, select.POLLHUP = 1, 4, 8, 16
    select.poll = Poll
    fcntl = sys.modules["fcntl"] = types.ModuleType("fcntl")
    fcntl.F_DUPFD_CLOEXEC = 1030
    fcntl.fcntl = lambda fd, what, least: dup(fd)
    sys.modules["resource"] = types.ModuleType("resource")
