"""The wheel has every module, public header and stub, and nothing else."""

import os
import platform
import re
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "qemu_mainloop"
SUFFIX = sysconfig.get_config_var("EXT_SUFFIX")
# A build makes these out of something else.
GENERATED = {"qemu_mainloop/_version.py"}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel that QEMU_MAINLOOP_WHEEL names, or one built now."""
    named = os.environ.get("QEMU_MAINLOOP_WHEEL")
    if named:
        path = Path(named)
    else:
        out = tmp_path_factory.mktemp("wheel")
        scripts = sysconfig.get_path("scripts") + os.pathsep + os.environ["PATH"]
        done = subprocess.run(
            [sys.executable, "-m", "build", "--wheel", "--no-isolation",
             "--skip-dependency-check", "--outdir", out, ROOT],
            cwd=out, env={**os.environ, "PATH": scripts}, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        (path,) = out.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        yield archive


def payload(wheel):
    return {name for name in wheel.namelist() if ".dist-info/" not in name}


def metadata(wheel):
    (name,) = [n for n in wheel.namelist() if n.endswith(".dist-info/METADATA")]
    return wheel.read(name).decode()


def named_modules(build, anywhere):
    """The modules that a folder's meson.build names, for this system or for any."""
    conditions = []
    for line in build.read_text().splitlines():
        condition = re.match(r"\s*(?:if|elif) host_machine\.system\(\) == '(\w+)'", line)
        words = line.split() or [""]
        if words[0] in ("if", "elif"):
            here = condition is None or condition[1] == platform.system().lower()
            conditions[len(conditions) - (words[0] == "elif"):] = [here]
        elif words[0] == "else":
            conditions[-1] = not conditions[-1]
        elif words[0] == "endif":
            conditions.pop()
        elif anywhere or all(conditions):
            for name in re.findall(r"'(\w+)'", line):
                if (build.parent / f"{name}.pyx").exists():
                    yield (build.parent / name).relative_to(ROOT).as_posix()


def modules(anywhere):
    return {name for build in PACKAGE.rglob("meson.build")
            for name in named_modules(build, anywhere)}


def test_it_has_exactly_what_users_need(wheel):
    python = {path.relative_to(ROOT).as_posix() for path in PACKAGE.rglob("*.py")}
    headers = {path.relative_to(ROOT).as_posix() for path in PACKAGE.glob("*.pxd")}
    typing = {"qemu_mainloop/__init__.pyi", "qemu_mainloop/py.typed"}
    compiled = {name + SUFFIX for name in modules(anywhere=False)}
    assert payload(wheel) == python | headers | typing | compiled | GENERATED


def test_every_pyx_of_the_source_is_built_somewhere():
    sources = {path.relative_to(ROOT).with_suffix("").as_posix() for path in PACKAGE.rglob("*.pyx")}
    assert sources == modules(anywhere=True)


def test_no_private_header_or_source_is_in_it(wheel):
    for name in payload(wheel):
        assert not name.endswith((".h", ".pyx", ".c", "meson.build")), name
        assert not (name.endswith(".pxd") and "/_" in name.replace("/__init__", "")), name


def test_it_requires_nothing_at_run_time(wheel):
    assert "Requires-Dist" not in metadata(wheel)


def test_its_metadata_name_the_project_version_python_and_licence(wheel):
    text = metadata(wheel)
    version = re.search(r"version: '([^']+)'", (ROOT / "meson.build").read_text())[1]
    for line in ("Name: qemu_mainloop", f"Version: {version}", "Requires-Python: >=3.11",
                 "License-Expression: MIT"):
        assert f"\n{line}\n" in f"\n{text}\n", line
    assert any(name.endswith("/licenses/LICENSE") for name in wheel.namelist())


def test_its_headers_are_those_of_the_source(wheel):
    for name in ("main_loop", "timer", "aio", "iohandler"):
        path = f"qemu_mainloop/{name}.pxd"
        assert wheel.read(path).decode() == (ROOT / path).read_text()
