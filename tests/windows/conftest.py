"""Fixtures of the tests about Windows alone: kernel objects by their handles."""

import ctypes
import subprocess
import sys

import pytest

if sys.platform != "win32":
    collect_ignore_glob = ["test_*"]


class Kernel:
    """Makes objects, and closes the handles at the end."""

    def __init__(self):
        self.dll = ctypes.WinDLL("kernel32", use_last_error=True)
        for name in ("CreateEventW", "CreateSemaphoreW", "CreateWaitableTimerW",
                     "GetCurrentProcess", "OpenThread"):
            getattr(self.dll, name).restype = ctypes.c_void_p
        self.handles = []

    def own(self, handle):
        assert handle, ctypes.WinError(ctypes.get_last_error())
        self.handles.append(handle)
        return handle

    def event(self, stays=False, is_set=False):
        return self.own(self.dll.CreateEventW(None, stays, is_set, None))

    def set(self, handle):
        assert self.dll.SetEvent(ctypes.c_void_p(handle))

    def reset(self, handle):
        assert self.dll.ResetEvent(ctypes.c_void_p(handle))

    def semaphore(self, count):
        return self.own(self.dll.CreateSemaphoreW(None, count, 1000, None))

    def release(self, handle, count=1):
        assert self.dll.ReleaseSemaphore(ctypes.c_void_p(handle), count, None)

    def timer(self, ms, stays=False):
        handle = self.own(self.dll.CreateWaitableTimerW(None, stays, None))
        due = ctypes.c_int64(-ms * 10_000)
        assert self.dll.SetWaitableTimer(ctypes.c_void_p(handle), ctypes.byref(due), 0, None, None,
                                         False)
        return handle

    def duplicate(self, handle):
        here = ctypes.c_void_p(self.dll.GetCurrentProcess())
        copy = ctypes.c_void_p()
        same_access = 2
        assert self.dll.DuplicateHandle(here, ctypes.c_void_p(handle), here, ctypes.byref(copy), 0,
                                        False, same_access)
        return self.own(copy.value)

    def thread(self, native_id):
        synchronize = 0x100000
        return self.own(self.dll.OpenThread(synchronize, False, native_id))

    def is_signalled(self, handle):
        """A look that uses up what it finds, as any wait does."""
        return self.dll.WaitForSingleObject(ctypes.c_void_p(handle), 0) == 0

    def close(self, handle):
        self.handles.remove(handle)
        assert self.dll.CloseHandle(ctypes.c_void_p(handle))

    def close_all(self):
        for handle in list(self.handles):
            self.close(handle)


@pytest.fixture
def kernel():
    kernel = Kernel()
    yield kernel
    kernel.close_all()


@pytest.fixture
def process():
    """A process that exits with 3 when its input ends."""
    with subprocess.Popen(["cmd", "/c", "set /p line=& exit 3"], stdin=subprocess.PIPE,
                          stdout=subprocess.DEVNULL) as process:
        yield process
        process.stdin.close()


@pytest.fixture
def calls():
    """What was called."""
    return []
