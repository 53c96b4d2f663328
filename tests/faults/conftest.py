"""Every call that can fail is made to fail, in processes that have shim.c preloaded."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

HERE = Path(__file__).parent
CHILD = HERE / "child.py"

# The shim knows the C library and the kernel it stands between.
if sys.platform != "linux":
    collect_ignore_glob = ["test_*.py"]

# A child that hangs dumps its stacks before that.
LONGEST_S = 300

SETUP = """
from Cython.Build import cythonize
from setuptools import Extension, setup

setup(
    name="probe_faults",
    py_modules=[],
    ext_modules=cythonize(
        [Extension("probe_faults", ["probe_faults.pyx"])], language_level=3,
        compiler_directives={"freethreading_compatible": True}),
)
"""


def compile_or_fail(command, where):
    done = subprocess.run(command, cwd=where, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="session")
def shim(tmp_path_factory):
    """The library that is preloaded."""
    target = tmp_path_factory.mktemp("shim") / "shim.so"
    compiler = (sysconfig.get_config_var("CC") or "cc").split()[0]
    compiler = compiler if shutil.which(compiler) else "cc"
    compile_or_fail(
        [compiler, "-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-fno-builtin", "-pthread",
         "-o", str(target), str(HERE / "shim.c"), "-ldl"], HERE)
    return target


@pytest.fixture(scope="session")
def probe_site(tmp_path_factory):
    """Where probe_faults, a C user of the public .pxd files, is built."""
    source = tmp_path_factory.mktemp("probe")
    target = tmp_path_factory.mktemp("site")
    shutil.copy(HERE / "probe_faults.pyx", source)
    (source / "setup.py").write_text(SETUP)
    compile_or_fail([sys.executable, "setup.py", "-q", "build_ext", f"--build-lib={target}"],
                    source)
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
