"""Layers of the core alone: probe modules that cimport its private .pxd files.

The .pxd files and the C headers are the checkout's, the modules that the probes import
are those of the installed package.
"""

import ctypes
import importlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
# Compilers need not run under the sanitizer that the tests may run under.
BUILDER = os.environ.get("PYTHON_FOR_BUILDS", sys.executable)

SETUP = """
from Cython.Build import cythonize
from setuptools import Extension, setup

names = {names!r}
setup(
    name="probes",
    py_modules=[],
    ext_modules=cythonize(
        [Extension(name, [name + ".pyx"], include_dirs=[{root!r}], libraries=["pthread"],
                   extra_compile_args=["-O1", "-Wno-unused-function"]) for name in names],
        include_path=[{root!r}], language_level=3, nthreads={jobs},
        compiler_directives={{"freethreading_compatible": True}}),
)
"""


@pytest.fixture(scope="session")
def probe_site(tmp_path_factory):
    """Where the probes are built."""
    source = tmp_path_factory.mktemp("probes")
    target = tmp_path_factory.mktemp("site")
    probes = sorted(HERE.glob("probe_*.pyx"))
    for probe in probes:
        shutil.copy(probe, source)
    jobs = min(len(probes), os.cpu_count() or 1)
    script = SETUP.format(names=[probe.stem for probe in probes], root=str(ROOT), jobs=jobs)
    (source / "setup.py").write_text(script)
    done = subprocess.run(
        [BUILDER, "setup.py", "-q", "build_ext", f"-j{jobs}", f"--build-lib={target}"],
        cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return target


def probe_module(name):
    """A session fixture that is a probe."""

    @pytest.fixture(scope="session", name=name)
    def module(probe_site):
        sys.path.insert(0, str(probe_site))
        try:
            return importlib.import_module(name)
        finally:
            sys.path.remove(str(probe_site))

    return module


probe_bh = probe_module("probe_bh")
probe_child = probe_module("probe_child")
probe_fdmon = probe_module("probe_fdmon")
probe_lock = probe_module("probe_lock")
probe_timer = probe_module("probe_timer")
probe_wakeup = probe_module("probe_wakeup")


def _c_function(module, name, result, *arguments):
    capsule = importlib.import_module(f"qemu_mainloop.{module}").__pyx_capi__[name]
    name_of = ctypes.pythonapi.PyCapsule_GetName
    name_of.restype, name_of.argtypes = ctypes.c_char_p, [ctypes.py_object]
    pointer_of = ctypes.pythonapi.PyCapsule_GetPointer
    pointer_of.restype, pointer_of.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    return ctypes.CFUNCTYPE(result, *arguments)(pointer_of(capsule, name_of(capsule)))


@pytest.fixture(scope="session")
def c_function():
    """c_function(module, name, result, *arguments): a C function, to be called without the GIL."""
    return _c_function
