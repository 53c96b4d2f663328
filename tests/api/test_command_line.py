"""python -m qemu_mainloop run, info and bench."""

import os
import signal
import subprocess
import sys

import pytest

import qemu_mainloop as q

# A kernel interface of another system.
ABSENT = next(name for name in ("kqueue", "win32") if name not in q.fdmons())


@pytest.fixture
def program(tmp_path):
    """program(body) is the path of a module `prog.py` with that text."""

    def write(body):
        path = tmp_path / "prog.py"
        path.write_text(body)
        return str(path)

    return write


@pytest.fixture
def command(tmp_path):
    """command(*args): the finished process, with what it has printed."""

    def run(*args):
        line = [sys.executable, "-m", "qemu_mainloop", *args]
        how = {"capture_output": True, "text": True, "timeout": 60, "check": False}
        return subprocess.run(line, cwd=tmp_path, **how)

    return run


STOPS = "def main(loop, args):\n    loop.stop()\n    print(args)\n"


def test_run_calls_main_of_a_file_with_the_loop_and_its_arguments(command, program):
    """`run`: main(loop, args), options of the program's own included."""
    done = command("run", program(STOPS), "a", "--flag", "-x")
    assert (done.returncode, done.stdout, done.stderr) == (0, "['a', '--flag', '-x']\n", "")


def test_run_calls_a_function_of_a_module_in_the_current_directory(command, program):
    """`run`: module:function."""
    program("def begin(loop, args):\n    loop.stop()\n    print('begun')\n")
    done = command("run", "prog:begin")
    assert (done.returncode, done.stdout, done.stderr) == (0, "begun\n", "")


def test_run_hands_over_the_main_loop(command, program):
    """`run`: on the process's main loop."""
    body = "import qemu_mainloop as q\ndef main(loop, args):\n    return int(loop is q.main_loop())"
    assert command("run", program(body)).returncode == 1


def test_run_finds_the_modules_beside_the_file(command, program, tmp_path):
    """`run`: as `python prog.py` would."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "beside.py").write_text("STATUS = 5\n")
    (tmp_path / "sub" / "main.py").write_text(
        "import beside\ndef main(loop, args):\n    return beside.STATUS\n"
    )
    assert command("run", os.path.join("sub", "main.py")).returncode == 5


@pytest.mark.parametrize("status", [0, 3])
def test_a_status_from_main_ends_the_program_without_running_the_loop(command, program, status):
    """`run`: main may return an exit status, which ends the program at once."""
    assert command("run", program(f"def main(loop, args): return {status}")).returncode == status


@pytest.mark.parametrize(("result", "status"), [("None", 0), ("4", 4)])
def test_a_function_from_main_is_called_when_the_loop_has_ended(command, program, result, status):
    """`run`: its result is the exit status; None is 0."""
    body = f"""
def main(loop, args):
    ran = []
    bh = loop.bh_new(lambda: (ran.append(1), loop.stop()))
    bh.schedule()
    def close():
        print(ran)
        return {result}
    return close
"""
    done = command("run", program(body))
    assert (done.returncode, done.stdout) == (status, "[1]\n")


def test_the_close_function_may_run_the_loop_again(command, program):
    """`run`: the loop is closed after it, not before."""
    body = """
def main(loop, args):
    loop.stop()
    return lambda: 6 if loop.run_until(lambda: True) and loop.wait(True) == 0 else 1
"""
    assert command("run", program(body)).returncode == 6


def test_an_exception_of_a_callback_is_shown_and_close_is_called(command, program):
    """`run`: status 1 and a traceback, as from any program."""
    body = """
def main(loop, args):
    bh = loop.bh_new(lambda: 1 // 0)
    bh.schedule()
    return lambda: print("closed")
"""
    done = command("run", program(body))
    assert (done.returncode, done.stdout) == (1, "closed\n")
    assert "ZeroDivisionError" in done.stderr


@pytest.mark.posix_only(reason="no process can send one to another")
@pytest.mark.parametrize("signo", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_loop_in_good_order(program, tmp_path, signo):
    """`run`: until SIGINT or SIGTERM; the close function is called, the status is its own."""
    body = "def main(loop, args):\n    print('up', flush=True)\n    return lambda: print('down')\n"
    line = [sys.executable, "-m", "qemu_mainloop", "run", program(body)]
    how = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(line, cwd=tmp_path, **how) as process:
        assert process.stdout.readline() == "up\n"
        process.send_signal(signo)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (0, "down\n", "")


MISTAKES = {
    "no such file: gone.py": ["gone.py"],
    "no such module: gone": ["gone:main"],
    "neither a .py file nor module:function": ["gone"],
    "has no function main": ["empty.py"],
    "has no function other": ["empty:other"],
    "has no function NUMBER": ["stops:NUMBER"],
    "unknown fdmon 'nonsense'": ["--fdmon", "nonsense", "stops.py"],
    f"fdmon '{ABSENT}'": ["--fdmon", ABSENT, "stops.py"],
}


@pytest.mark.parametrize("message", MISTAKES)
def test_a_mistake_is_told_in_one_line_with_status_2(command, tmp_path, message):
    """`run`: what the user got wrong, without a traceback; a named fdmon never falls back."""
    (tmp_path / "empty.py").write_text("")
    (tmp_path / "stops.py").write_text(STOPS + "NUMBER = 3\n")
    done = command("run", *MISTAKES[message])
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr and done.stderr.count("\n") == 1


def test_the_target_alone_is_required(command):
    """`run`: the program's arguments may be absent."""
    done = command("run")
    assert done.returncode == 2
    assert done.stderr.endswith("the following arguments are required: TARGET\n")


def test_an_import_error_inside_the_program_is_its_own(command, program):
    """`run`: only the target's own absence is the user's mistake."""
    program("import does_not_exist_anywhere\n")
    done = command("run", "prog:main")
    assert done.returncode == 1
    assert "Traceback" in done.stderr and "does_not_exist_anywhere" in done.stderr


def test_the_fdmon_of_a_run_can_be_named(command, program, fdmon):
    """`run --fdmon`: each one of this build."""
    body = "def main(loop, args):\n    print(loop.fdmon)\n    return 0\n"
    assert command("run", "--fdmon", fdmon, program(body)).stdout == f"{fdmon}\n"


def test_stats_are_printed_on_standard_error_at_the_end(command, program):
    """`run --stats`: what info() says."""
    done = command("run", "--stats", program(STOPS))
    assert done.returncode == 0
    assert {"iterations: 1", "handlers: 0"} <= set(done.stderr.splitlines())


def test_no_command_is_a_usage_error(command):
    """Status 2, as argparse has it."""
    done = command()
    assert done.returncode == 2 and "usage:" in done.stderr


@pytest.mark.parametrize(
    ("option", "function"),
    [("--include", q.get_include), ("--cython-include", q.get_cython_include)],
)
def test_info_prints_one_directory(command, option, function):
    """Section 2: also as `python -m qemu_mainloop info --include/--cython-include`."""
    done = command("info", option)
    assert (done.returncode, done.stdout) == (0, function() + "\n")
    assert os.path.isdir(function())


def test_info_describes_the_installation(command):
    """`info`: the version, the ABI, and which fdmons can be had here."""
    lines = command("info").stdout.splitlines()
    assert f"version: {q.__version__}" in lines
    assert "ABI: 1" in lines
    assert f"fdmon {q.fdmons()[-1]}: yes" in lines
    assert any(line.startswith(f"fdmon {ABSENT}: no (") for line in lines)


def test_version_is_the_packages(command):
    """`--version`."""
    assert command("--version").stdout == f"qemu_mainloop {q.__version__}\n"


def test_busy_address_is_told_in_one_line(tmp_path):
    """A program whose address is taken ends with a line that says so."""
    target = tmp_path / "busy.py"
    target.write_text(
        "import socket\n"
        "def main(loop, args):\n"
        "    taken = socket.create_server(('127.0.0.1', 0))\n"
        "    socket.create_server(taken.getsockname())\n"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-m", "qemu_mainloop", "run", str(target)],
        capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert done.returncode == 2
    assert "busy.py: " in done.stderr and len(done.stderr.splitlines()) == 1
    assert sys.platform == "win32" or "Address already in use" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.posix_only(reason="processor time is counted in ticks of 15 ms")
def test_bench_prints_what_the_basic_operations_take(command):
    """`bench`: a line of the machine, then one an operation, in nanoseconds."""
    done = command("bench")
    machine, *rows = done.stdout.splitlines()
    assert (done.returncode, done.stderr) == (0, "")
    assert f"qemu_mainloop {q.__version__}, fdmon " in machine
    assert len(rows) == 6
    for row in rows:
        what, ns, unit = row.rsplit(maxsplit=2)
        assert what and unit == "ns" and 0 < int(ns) < 10**7, row


def test_bench_of_one_fdmon_and_of_none(command):
    """`bench --fdmon`: the one that is named, or a line that says why not."""
    name = q.fdmons()[-1]
    assert f"fdmon {name}," in command("bench", "--fdmon", name).stdout
    done = command("bench", "--fdmon", "nonesuch")
    assert (done.returncode, done.stdout) == (2, "")
    assert "nonesuch" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.posix_only(reason="a write there fails in another way")
@pytest.mark.parametrize("what", ["info", "bench"])
def test_a_reader_that_has_enough_is_no_error(tmp_path, what):
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([sys.executable, "-m", "qemu_mainloop", what], cwd=tmp_path,
                          stdout=writer, stderr=subprocess.PIPE, timeout=60, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")
