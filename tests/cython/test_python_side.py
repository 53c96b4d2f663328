"""Where C callbacks and Python callbacks meet: who has the GIL, and how often it is taken."""

import subprocess

import pytest
from extensions import BUILDER


def test_c_callbacks_run_without_the_gil_while_python_drives(python_side, main_loop):
    assert python_side.probe(lambda: main_loop.wait(True)) == (0, 0)


def test_c_callbacks_run_without_the_gil_though_the_c_caller_holds_it(python_side):
    assert python_side.probe(python_side.wait_with_the_gil) == (0, 0)


def test_the_caller_has_the_gil_again_after_a_wait(python_side):
    assert python_side.wait_with_the_gil() == 1


def test_callbacks_marked_with_gil_are_accepted_and_have_it(python_side):
    assert python_side.with_gil_callbacks() == [1, 1]


def test_a_run_of_python_callbacks_takes_the_gil_once(python_side, main_loop):
    seen = []
    bottom_halves = [main_loop.bh_new(lambda i=i: seen.append(i)) for i in range(20)]
    for bh in bottom_halves:
        bh.schedule()
    before = main_loop.info()
    python_side.wait_without_the_gil()
    after = main_loop.info()
    assert seen == list(range(20))
    assert after["python_callbacks"] - before["python_callbacks"] == 20
    assert after["gil_taken"] - before["gil_taken"] == 1


def test_a_c_callback_between_two_python_ones_ends_the_run(python_side, main_loop):
    seen = []
    between = python_side.Scheduled()
    first, last = (main_loop.bh_new(lambda i=i: seen.append(i)) for i in range(2))
    first.schedule()
    between.schedule()
    last.schedule()
    before = main_loop.info()["gil_taken"]
    python_side.wait_without_the_gil()
    assert main_loop.info()["gil_taken"] - before == 2
    assert seen == [0, 1]
    between.delete()


@pytest.mark.parametrize(("kind", "accepted"), [
    ("noexcept nogil", True), ("noexcept with gil", True), ("nogil", False), ("", False)])
def test_the_compiler_takes_handlers_that_are_noexcept_and_no_others(kind, accepted, tmp_path):
    source = tmp_path / "handler.pyx"
    source.write_text(
        "from qemu_mainloop.main_loop cimport qemu_set_fd_handler\n\n\n"
        f"cdef void on_read(void *opaque) {kind}:\n    pass\n\n\n"
        "def install():\n    return qemu_set_fd_handler(0, on_read, NULL, NULL)\n")
    done = subprocess.run([BUILDER, "-m", "cython", "-3", str(source)], cwd=tmp_path,
                          capture_output=True, text=True, timeout=60)
    assert (done.returncode == 0) == accepted, done.stderr
    assert accepted or "'IOHandler *'" in done.stderr
