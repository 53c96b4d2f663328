"""Builds the foreign project of this directory; and what malloc() has given out."""

import ctypes
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

PROJECT = Path(__file__).parent / "project"
# Compilers need not run under the sanitizer that the tests may run under.
BUILDER = os.environ.get("PYTHON_FOR_BUILDS", sys.executable)


def build(work):
    """Build stress_kit below work; the directory to import it from."""
    source, site = Path(work) / "source", Path(work) / "site"
    shutil.copytree(PROJECT, source, dirs_exist_ok=True)
    path = sysconfig.get_path("scripts") + os.pathsep + os.environ["PATH"]
    done = subprocess.run(
        [BUILDER, "setup.py", "-q", "build_ext", f"-j{os.cpu_count() or 1}",
         f"--build-lib={site}"],
        cwd=source, env={**os.environ, "PATH": path}, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(done.stdout + done.stderr)
    shutil.copy(source / "stress_kit" / "__init__.py", site / "stress_kit")
    return site


class MallocInfo(ctypes.Structure):
    """struct mallinfo2."""

    _fields_ = [(name, ctypes.c_size_t) for name in (
        "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks",
        "fordblks", "keepcost")]


def bytes_in_use():
    """What malloc() has given out, in all its arenas."""
    mallinfo2 = ctypes.CDLL(None).mallinfo2
    mallinfo2.restype = MallocInfo
    info = mallinfo2()
    return info.uordblks + info.hblkhd
