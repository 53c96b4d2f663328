"""Foreign modules, built against the installed package from its public .pxd files alone."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from extensions import build
from modules import module_fixture

import qemu_mainloop

HERE = Path(__file__).parent
# Set by .ci/mutations, which runs one test after another: they are built once, here.
SITE = os.environ.get("QEMU_MAINLOOP_HISTORY_SITE")
# How long each race is run; .ci/mutations gives them more.
SECONDS = float(os.environ.get("QEMU_MAINLOOP_HISTORY_SECONDS", "0.2"))


@pytest.fixture(scope="session")
def history_site(tmp_path_factory):
    """Where the foreign modules are built."""
    target = Path(SITE) if SITE else tmp_path_factory.mktemp("site")
    if not target.is_dir() or not any(target.iterdir()):
        build(tmp_path_factory.mktemp("source"), target, sorted(HERE.glob("*.pyx")))
    return target


signals = module_fixture("history_site", "signals")
upstream = module_fixture("history_site", "upstream")


@pytest.fixture
def header(main_loop, fdmon):
    """The main loop, on each fdmon."""
    main_loop._use_fdmon(fdmon)
    yield main_loop
    qemu_mainloop.main_loop()._use_fdmon(qemu_mainloop.fdmons()[0])


@pytest.fixture
def other_pipe():
    """A second non-blocking pipe: (reading end, writing end)."""
    ends = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    yield ends
    for fd in ends:
        os.close(fd)


@pytest.fixture
def elsewhere(history_site, tmp_path):
    """elsewhere("module.function(…)"): its value in a new process.

    There memory that is freed is overwritten at once, so that a use of it is noticed; and a
    thread that waits for nothing is killed with the process.
    """
    tunables = "glibc.malloc.perturb=165:glibc.malloc.tcache_count=0"

    def run(expression, seconds=60, returncode=0):
        module = expression.partition(".")[0]
        script = f"import json, {module}\nprint(json.dumps({expression}))"
        done = subprocess.run(
            [sys.executable, "-P", "-X", "faulthandler", "-c", script], cwd=tmp_path,
            capture_output=True, text=True, timeout=seconds,
            env={**os.environ, "PYTHONPATH": str(history_site), "GLIBC_TUNABLES": tunables})
        assert done.returncode == returncode, f"{done.returncode}\n{done.stdout}{done.stderr}"
        return json.loads(done.stdout) if returncode == 0 else None

    return run


@pytest.fixture
def race(elsewhere):
    """race(name, …): a race of wakeups.pyx in a new process; rounds were played, none got stuck."""

    def run(name, *arguments):
        given = ", ".join(map(repr, (int(SECONDS * 1e9), *arguments)))
        rounds, stuck, *rest = elsewhere(f"wakeups.{name}({given})")
        assert rounds > 0
        assert not stuck, f"stuck after {rounds} rounds"
        return rest

    return run
