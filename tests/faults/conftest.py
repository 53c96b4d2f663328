"""Every call that can fail is made to fail, in processes that have shim.c preloaded."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from extensions import build

HERE = Path(__file__).parent
CHILD = HERE / "child.py"

# The shim knows the C library and the kernel it stands between.
if sys.platform != "linux":
    collect_ignore_glob = ["test_*.py"]

# A child that hangs dumps its stacks before that.
LONGEST_S = 300


@pytest.fixture(scope="session")
def shim(tmp_path_factory):
    """The library that is preloaded."""
    target = tmp_path_factory.mktemp("shim") / "shim.so"
    compiler = (sysconfig.get_config_var("CC") or "cc").split()[0]
    compiler = compiler if shutil.which(compiler) else "cc"
    done = subprocess.run(
        [compiler, "-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-fno-builtin", "-pthread",
         "-o", str(target), str(HERE / "shim.c"), "-ldl"], cwd=HERE, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return target


@pytest.fixture(scope="session")
def probe_site(tmp_path_factory):
    """Where probe_faults, a C user of the public .pxd files, is built."""
    target = tmp_path_factory.mktemp("site")
    build(tmp_path_factory.mktemp("probe"), target, [HERE / "probe_faults.pyx"])
    return target


FIGURES = {"points": 0, "processes": 0}


@pytest.fixture(scope="session")
def spawn(shim, probe_site, tmp_path_factory):
    """spawn(path, name, arguments): what name(faults, **arguments) of that file gives in a
    preloaded process."""
    where = tmp_path_factory.mktemp("children")

    def run(path, name, arguments):
        done = subprocess.run(
            [sys.executable, str(CHILD), str(shim), str(probe_site), str(path), name,
             json.dumps(arguments)],
            env={**os.environ, "LD_PRELOAD": str(shim)}, cwd=where,
            capture_output=True, text=True, timeout=LONGEST_S)
        assert done.returncode == 0, done.stdout + done.stderr
        answer = json.loads(done.stdout.splitlines()[-1])
        FIGURES["points"] += answer["points"]
        FIGURES["processes"] += 1
        return answer["result"]

    return run


@pytest.fixture
def child(spawn, request):
    """child(function, **arguments): function(faults, **arguments) in a preloaded process."""

    def run(function, **arguments):
        return spawn(request.path, function.__name__, arguments)

    return run


def pytest_terminal_summary(terminalreporter):
    if FIGURES["points"]:
        terminalreporter.write_line(
            "faults: {points} calls were made to fail, in {processes} processes".format(**FIGURES))
