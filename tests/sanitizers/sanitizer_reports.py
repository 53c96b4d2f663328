"""A pytest plugin of .ci/sanitize: a report fails the test during which it was written.

Reports go to files, so that those of children are found whatever became of their output.
"""

import gc
import os
from pathlib import Path

import pytest

REPORTS = Path(os.environ["SANITIZER_REPORTS"])


def reports():
    """The files of reports, with their sizes: a process appends to its own."""
    return {path: path.stat().st_size for path in REPORTS.iterdir()}


def pytest_sessionstart():
    # What pytest itself consists of is no garbage: looking through it twice for every test
    # would take most of the time.
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def nothing_is_reported():
    before = reports()
    yield
    new = [path for path, size in reports().items() if size != before.get(path)]
    assert not new, "\n".join(path.read_text(errors="replace")[before.get(path, 0):]
                              for path in new)
