"""Cython modules of the tests', built against the installed package."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
# Compilers need not run under the sanitizer that the tests may run under.
BUILDER = os.environ.get("PYTHON_FOR_BUILDS", sys.executable)

SETUP = """
from Cython.Build import cythonize
from setuptools import Extension, setup

setup(
    name="tests_extensions",
    py_modules=[],
    ext_modules=cythonize(
        [Extension(name, [name + ".pyx"], include_dirs=[*{private!r}, "."], libraries=["pthread"],
                   extra_compile_args=["-O1", "-Wno-unused-function"]) for name in {names!r}],
        include_path={private!r}, language_level=3, nthreads={jobs},
        compiler_directives={{"freethreading_compatible": True}}),
)
"""


def build(work, target, sources, *, private=False):
    """Compile the .pyx files among the sources into target; work gets all of them.

    They cimport the installed package's public .pxd files; with ``private`` those of the
    checkout, all of them.  An error is an AssertionError.
    """
    work.mkdir(parents=True, exist_ok=True)
    for source in sources:
        shutil.copy2(source, work)
    names = [source.stem for source in sources if source.suffix == ".pyx"]
    jobs = min(len(names), os.cpu_count() or 1)
    (work / "setup.py").write_text(
        SETUP.format(names=names, jobs=jobs, private=[str(ROOT)] if private else []))
    done = subprocess.run(
        [BUILDER, "setup.py", "-q", "build_ext", f"-j{jobs}", f"--build-lib={target}"],
        cwd=work, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
