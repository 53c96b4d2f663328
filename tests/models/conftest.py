"""Runs spin on a model and says what it found."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

HERE = Path(__file__).parent
LARGE = os.environ.get("QEMU_MAINLOOP_MODELS") == "large"


class Found(NamedTuple):
    errors: int
    states: int
    complete: bool
    reason: str          # the comment on the line whose assertion failed, or what pan calls it
    output: str


@pytest.fixture
def tools():
    """Skip without spin; in CI it has to be there."""
    missing = [tool for tool in ("spin", "gcc") if shutil.which(tool) is None]
    if missing:
        message = f"no {' and no '.join(missing)}: apt-get install spin gcc"
        if os.environ.get("CI") == "true":
            pytest.fail(f"{message} (the gate checks the models)")
        pytest.skip(message)


def call(command, cwd, timeout):
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=timeout)
    return done.returncode, done.stdout + done.stderr


def failed_assertion(model, defines, work, timeout):
    """Replays the trail: the comment of the line it ends at."""
    _, output = call(["spin", "-t", "-k", f"{work / model.name}.trail", *defines, model.name],
                    work, timeout)
    line = re.search(rf"{model.name}:(\d+), Error: assertion violated", output)
    assert line, output
    # Sometimes spin names the end of the step that the assertion is in.
    text = (work / model.name).read_text().splitlines()[:int(line[1])]
    last = next(line for line in reversed(text) if "assert(" in line)
    return re.search(r"/\* (.*) \*/", last)[1]


@pytest.fixture
def check(tools, tmp_path):
    return lambda *case: search(*case, tmp_path)


def search(name, defines, live, work, timeout=60):
    """Searches the model's whole state space, or up to the first error."""
    model = HERE / name
    shutil.copy(model, work)
    defines = [f"-D{define}" for define in defines.split()] + (["-DLIVE"] if live else [])
    code, output = call(["spin", "-a", *defines, model.name], work, timeout)
    assert code == 0 and "rror" not in output, output
    # No partial order reduction: it is not sound with "provided" and with fairness.
    kind = ["-DNFAIR=3"] if live else ["-DSAFETY"]
    code, output = call(["gcc", "-O1", "-w", "-DNOREDUCE", "-DCOLLAPSE", "-DVECTORSZ=2048",
                        "-DMEMLIM=4000", *kind, "-o", "pan", "pan.c"], work, timeout)
    assert code == 0, output
    code, output = call(["./pan", "-m200000", *(["-a", "-f"] if live else [])], work,
                       3600 if LARGE else timeout)
    assert code == 0, output
    errors = int(re.search(r"errors: (\d+)", output)[1])
    states = int(float(re.search(r"([\d.e+]+) states, stored", output)[1]))
    complete = not re.search("not completed|too small|out of memory|truncated", output)
    reason = ""
    if errors:
        reason = re.search(r"pan:1: (.*?)(?: \(at depth|$)", output, re.MULTILINE)[1]
        if "assertion violated" in reason:
            reason = failed_assertion(model, defines, work, timeout)
    return Found(errors, states, complete, reason, output)
