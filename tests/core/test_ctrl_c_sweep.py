"""Ctrl-C at every instant between entering a wait and the sleep in the kernel.

No timing: the signal is sent before and after each call of the C library on the way, one after
the other, and always has to end the wait with KeyboardInterrupt.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
try:
    from ctrl_c_sweep import WAYS
finally:
    sys.path.remove(str(HERE))

# Fewer points than these mean that the way was not gone.  Where there is a GIL it is given back.
FEWEST = 6 if getattr(sys, "_is_gil_enabled", lambda: True)() else 5


@pytest.fixture(scope="session")
def shim(tmp_path_factory):
    """sweep.c as a library to be preloaded."""
    library = tmp_path_factory.mktemp("sweep") / "sweep.so"
    compiler = os.environ.get("CC", "cc")
    subprocess.run(
        [compiler, "-O1", "-shared", "-fPIC", "-o", library, HERE / "sweep.c", "-ldl", "-lpthread"],
        check=True)
    return library


@pytest.mark.interposes("takes the places of clock_gettime, pthread_mutex_lock and others")
@pytest.mark.parametrize("way", WAYS)
def test_ctrl_c_at_every_point_ends_the_wait(shim, way):
    """Section 3: promptly, with no window between the last check and the sleep."""
    done = subprocess.run(
        [sys.executable, "-P", HERE / "ctrl_c_sweep.py", way], capture_output=True, text=True,
        env={**os.environ, "LD_PRELOAD": str(shim)}, timeout=110)
    assert done.returncode == 0, done.stdout + done.stderr
    counts = [int(line.split()[1]) for line in done.stdout.splitlines()]
    assert counts and min(counts) >= FEWEST, done.stdout
