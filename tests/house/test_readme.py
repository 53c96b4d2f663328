"""The examples of README.md run as they stand."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

README = (Path(__file__).resolve().parents[2] / "README.md").read_text()


def example(language):
    """The one code block of a language."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 1
    return blocks[0]


def test_the_python_example_runs_as_a_script(tmp_path):
    script = tmp_path / "example.py"
    script.write_text(example("python"))
    done = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True,
                          timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "got b'hello'\n", "")


@pytest.mark.slow
def test_the_cython_example_runs_built_as_a_foreign_extension(tmp_path, build_extension):
    source = tmp_path / "device.pyx"
    source.write_text(example("cython"))
    build_extension(source)
    done = subprocess.run([sys.executable, "-c", "import device; print(device.main())"],
                          cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "5\n", "")


def test_the_only_import_of_the_cython_example_is_a_cimport():
    lines = [line for line in example("cython").splitlines() if "import" in line]
    assert lines == ["from qemu_mainloop.main_loop cimport ("]
