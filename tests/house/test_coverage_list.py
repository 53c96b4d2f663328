"""The list of lines that no test reaches quotes code that is there, and gives reasons."""

import importlib.util
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parents[1] / "coverage"
spec = importlib.util.spec_from_file_location("unreached", HERE / "unreached.py")
unreached = importlib.util.module_from_spec(spec)
spec.loader.exec_module(unreached)

ENTRIES = unreached.entries()
IDS = [f"{Path(entry['file']).name}, {entry.get('function')}" for entry in ENTRIES]


@pytest.mark.parametrize("entry", ENTRIES, ids=IDS)
def test_an_entry_quotes_code_that_is_there_and_says_why(entry):
    assert set(entry) <= {"file", "function", "code", "after", "reason", "sometimes"}
    assert unreached.CHECKED.fullmatch(entry["file"])
    assert unreached.numbers_of(entry)
    assert len(entry["reason"]) > 20


def test_no_line_is_listed_twice():
    seen = {}
    for entry in ENTRIES:
        for number in unreached.numbers_of(entry):
            where = entry["file"], number
            assert where not in seen, where
            seen[where] = entry


def test_a_list_that_is_not_true_is_noticed():
    """One that is reached though listed, one that is not though unlisted, one that is gone."""
    entry = next(entry for entry in ENTRIES if not entry.get("sometimes"))
    number = min(unreached.numbers_of(entry))
    reached = {entry["file"]: {number: 3}}
    assert any("listed, but reached 3 times" in text for text in unreached.complaints(reached))
    path = "qemu_mainloop/_core/heap.pyx"
    assert any("not listed" in text for text in unreached.complaints({path: {1: 0}}))
    with pytest.raises(ValueError, match="the code is there 0 times"):
        unreached.numbers_of({**entry, "code": "no such line"})
