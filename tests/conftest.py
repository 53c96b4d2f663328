"""Fixtures: loops on every fdmon, pipes, and a guard that fails a test which leaks."""

import faulthandler
import gc
import importlib.util
import os
import socket
import sys
import threading
from pathlib import Path

import pytest

import qemu_mainloop

faulthandler.enable()
WINDOWS = sys.platform == "win32"

if WINDOWS:
    _spec = importlib.util.spec_from_file_location(
        "stand_in", Path(__file__).parent / "windows" / "stand_in.py")
    stand_in = sys.modules["stand_in"] = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(stand_in)
    stand_in.install()


def pytest_collection_modifyitems(config, items):
    """What is about POSIX alone is not collected on Windows, nor the other way round."""
    marker = "posix_only" if WINDOWS else "windows_only"
    elsewhere = [item for item in items if item.get_closest_marker(marker)]
    if elsewhere:
        items[:] = [item for item in items if not item.get_closest_marker(marker)]
        config.hook.pytest_deselected(items=elsewhere)


def pytest_collection_finish():
    """What pytest and the test modules hold is there to stay: the collections before and after
    each test, and in many, need not look through it.
    """
    gc.collect()
    gc.freeze()


def open_descriptors():
    """The numbers of this process's open descriptors; on Windows there is no list of them."""
    if WINDOWS:
        return set()
    listing = os.open("/proc/self/fd", os.O_RDONLY | os.O_DIRECTORY)
    try:
        return {int(name) for name in os.listdir(listing)} - {listing}
    finally:
        os.close(listing)


def describe(fd):
    """What a descriptor refers to, for the leak report."""
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    except OSError:
        return "closed meanwhile"


@pytest.fixture(scope="session", autouse=True)
def the_main_loop_exists():
    """The main loop lives as long as the process: its descriptors are no leak."""
    qemu_mainloop.main_loop()


@pytest.fixture(autouse=True)
def nothing_leaks():
    """Fail a test that leaves a descriptor open or a thread running."""
    gc.collect()
    before = open_descriptors()
    threads = threading.active_count()
    yield
    gc.collect()
    leaked = open_descriptors() - before
    assert not leaked, "left open: " + ", ".join(f"{fd} ({describe(fd)})" for fd in sorted(leaked))
    assert threading.active_count() <= threads, f"left running: {threading.enumerate()}"


@pytest.fixture(params=os.environ.get("QEMU_MAINLOOP_FDMONS", "").split()
                or qemu_mainloop.fdmons())
def fdmon(request):
    """The name of each fdmon of this build in turn, or of those that the environment names."""
    return request.param


@pytest.fixture
def loop(fdmon):
    """A loop of its own on each fdmon."""
    loop = qemu_mainloop.MainLoop(fdmon=fdmon)
    yield loop
    loop.close()


@pytest.fixture
def main_loop():
    """The process's main loop; what the test registered is forgotten after it."""
    loop = qemu_mainloop.main_loop()
    yield loop
    loop.close()


@pytest.fixture
def pipe():
    """A non-blocking pipe: (reading end, writing end)."""
    ends = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    yield ends
    for fd in ends:
        try:
            os.close(fd)
        except OSError:
            pass  # the test closed it


@pytest.fixture
def sockets():
    """A pair of connected, non-blocking stream sockets."""
    pair = socket.socketpair()
    for end in pair:
        end.setblocking(False)
    yield pair
    for end in pair:
        end.close()
