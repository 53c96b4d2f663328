"""Building a lone extension against the installed package."""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest


@pytest.fixture
def build_extension(tmp_path):
    """build(source.pyx, *cython options): compiles it, beside its source, as anybody would."""

    def build(source, *options):
        c_file = Path(source).with_suffix(".c")
        module = c_file.with_name(c_file.stem + sysconfig.get_config_var("EXT_SUFFIX"))
        run([sys.executable, "-m", "cython", "-3", *options, str(source), "-o", str(c_file)])
        compiler = os.environ.get("CC", "cc").split()
        run([*compiler, "-shared", "-fPIC", "-O1", f"-I{sysconfig.get_path('include')}",
             f"-I{sysconfig.get_path('platinclude')}", str(c_file), "-o", str(module)])
        return module

    def run(command):
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr

    return build
