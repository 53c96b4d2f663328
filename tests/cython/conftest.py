"""Two foreign projects, built against the installed package and imported."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from extensions import BUILDER
from modules import module_fixture

import qemu_mainloop

HERE = Path(__file__).parent


def build_project(project, tmp_path_factory):
    """Install the project into a directory of its own, as pip does for anybody."""
    source = tmp_path_factory.mktemp("source") / project
    target = tmp_path_factory.mktemp("site")
    shutil.copytree(HERE / project, source)
    path = sysconfig.get_path("scripts") + os.pathsep + os.environ["PATH"]
    done = subprocess.run(
        [BUILDER, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
         "--no-build-isolation", "--no-deps", "--no-index", "--target", target, source],
        cwd=target, env={**os.environ, "PATH": path}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return target


@pytest.fixture(scope="session")
def meson_site(tmp_path_factory):
    """Where foreign_meson is installed."""
    return build_project("meson_project", tmp_path_factory)


@pytest.fixture(scope="session")
def setuptools_site(tmp_path_factory):
    """Where foreign_setuptools is installed."""
    return build_project("setuptools_project", tmp_path_factory)


bottom_halves = module_fixture("meson_site", "foreign_meson.bottom_halves")
descriptors = module_fixture("meson_site", "foreign_meson.descriptors")
gil_and_lock = module_fixture("meson_site", "foreign_meson.gil_and_lock")
locking = module_fixture("meson_site", "foreign_meson.locking")
producers = module_fixture("meson_site", "foreign_meson.producers")
python_side = module_fixture("meson_site", "foreign_meson.python_side")
contexts = module_fixture("setuptools_site", "foreign_setuptools.contexts")
iothreads = module_fixture("setuptools_site", "foreign_setuptools.iothreads")
timers = module_fixture("setuptools_site", "foreign_setuptools.timers")
foreign_select = module_fixture("setuptools_site", "foreign_setuptools.foreign_select")


@pytest.fixture
def fresh_process(meson_site, tmp_path):
    """run(expression): its value in a new process that has only foreign_meson.process."""

    def run(expression, returncode=0):
        script = f"import json\nfrom foreign_meson import process\nprint(json.dumps({expression}))"
        done = subprocess.run(
            [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True,
            env={**os.environ, "PYTHONPATH": str(meson_site)}, timeout=60)
        assert done.returncode == returncode, done.stdout + done.stderr
        return json.loads(done.stdout) if returncode == 0 else None

    return run


@pytest.fixture(scope="session", autouse=True)
def the_wall_clock_is_watched(the_main_loop_exists):
    """The main loop's watch on the wall clock comes with its first HOST timer, and stays."""
    loop = qemu_mainloop.main_loop()
    timer = loop.timer_new(lambda: None, clock=qemu_mainloop.Clock.HOST)
    timer.mod_ns(2**62)
    loop.wait(True)
    timer.delete()
    loop.close()


@pytest.fixture(autouse=True)
def the_main_loop_is_left_empty():
    """Scenarios work on the process's main loop: each takes back what it registered."""
    yield
    info = qemu_mainloop.main_loop().info()
    left = {name: info[name] for name in ("pending_timers", "child_watches", "polling_callbacks")}
    assert not any(left.values()), left
    assert not qemu_mainloop.qemu_mutex_iothread_locked()
