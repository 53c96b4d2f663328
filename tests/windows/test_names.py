"""What names of the API mean on Windows, or say."""

import ctypes
import subprocess

import pytest

import qemu_mainloop as q


def test_there_is_one_fdmon():
    assert q.fdmons() == ("win32",)


def test_there_is_no_signal_for_virtual_cpus():
    assert q.SIG_IPI == 0


def test_no_descriptor_shows_a_loop_to_another_one(loop):
    with pytest.raises(NotImplementedError):
        loop.fileno()
    assert not loop.info()["hosted"]


@pytest.mark.parametrize("code", [0, 1, 255, 256, 0x7FFFFFFF, 0xC0000005, 0xFFFFFFFF])
def test_a_child_reports_all_of_its_exit_code(loop, calls, code):
    """As subprocess does; a process that a fault ended has one above 0x80000000."""
    kernel32 = ctypes.WinDLL("kernel32")
    with subprocess.Popen(["cmd", "/c", "set /p line="], stdin=subprocess.PIPE,
                          stdout=subprocess.DEVNULL) as process:
        loop.add_child_watch(process.pid, lambda *args: calls.append(args))
        kernel32.TerminateProcess(ctypes.c_void_p(int(process._handle)), ctypes.c_uint(code))
        assert loop.run_until(lambda: calls, timeout=20)
        assert calls == [(process.pid, code)] and process.wait() == code


def test_a_process_that_is_gone_is_watched_while_somebody_has_its_handle(loop):
    with subprocess.Popen(["cmd", "/c", "exit 0"], stdin=subprocess.DEVNULL) as process:
        process.wait()
        loop.add_child_watch(process.pid)
        assert loop.run_until(lambda: not loop.info()["child_watches"], timeout=20)


def test_a_number_that_no_process_has_is_refused(loop):
    with pytest.raises(ChildProcessError):
        loop.add_child_watch(0x7FFFFFFC)


def test_foreign_select_gets_sockets_alone(main_loop, sockets, kernel, calls):
    """Its sets hold nothing else; and they hold 64 of them or whatever they are made for."""
    q.qemu_add_wait_object(kernel.event(), calls.append, "event")
    q.qemu_set_fd_handler(sockets[0].fileno(), calls.append, calls.append, "socket")
    reads, writes = set(), set()
    assert q.qemu_iohandler_fill(reads, writes, set()) == sockets[0].fileno()
    assert reads == writes == {sockets[0].fileno()}
    q.qemu_iohandler_poll(reads, set(), set(), 1)
    assert calls == ["socket"]
    q.qemu_fd_register(sockets[0].fileno())          # nothing to do
