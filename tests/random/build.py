"""build.py DIRECTORY SOURCE…: compiles Cython modules of this folder into the directory.

They cimport the public interface, and of the private one only what counts the sleeps; the
.pxd files and headers are the checkout's, the modules those of the installed package.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent

SETUP = """
from Cython.Build import cythonize
from setuptools import Extension, setup

setup(
    name="random_drivers",
    py_modules=[],
    ext_modules=cythonize(
        [Extension(name, [name + ".pyx"], include_dirs=[{root!r}, "."], libraries=["pthread"],
                   extra_compile_args=["-O1", "-Wno-unused-function"]) for name in {names!r}],
        include_path=[{root!r}], language_level=3,
        compiler_directives={{"freethreading_compatible": True}}),
)
"""


def build(target, sources):
    """Compile the sources into the directory target; an error is an AssertionError."""
    target.mkdir(parents=True, exist_ok=True)
    work = target / "source"
    work.mkdir(exist_ok=True)
    for source in [*map(Path, sources), *HERE.glob("*.h")]:
        shutil.copy2(source, work)
    names = [Path(source).stem for source in sources]
    (work / "setup.py").write_text(SETUP.format(root=str(ROOT), names=names))
    done = subprocess.run(
        [sys.executable, "setup.py", "-q", "build_ext", f"--build-lib={target}"], cwd=work,
        env={**os.environ, "PYTHONPATH": os.environ.get("PYTHONPATH", "")},
        capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


if __name__ == "__main__":
    build(Path(sys.argv[1]).resolve(), sys.argv[2:])
