"""Every defect of QEMU's history is answered: in docs/reliability.md, by a test, by a mutation."""

import re
import tomllib
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
ROOT = TESTS.parent
PAGE = (ROOT / "docs" / "reliability.md").read_text()
MUTATIONS = tomllib.loads((TESTS / "history" / "mutations.toml").read_text())["mutation"]


def numbered(letter, last):
    return [f"{letter}{n}" for n in range(1, last + 1)]


IDS = [
    *numbered("A", 28), *numbered("B", 21), *numbered("C", 18), *numbered("D", 13),
    *numbered("E", 11), *numbered("F", 12),
    *(f"G-{commit}" for commit in """
        315a1309de 528f449f59 6133b39f3c 6808ae0417 050de36b13 4878c3a43a 39a7a362e1 fb0c43f34e
        ae6d91a7e9 980e66216f""".split()),
    *(f"H-{commit}" for commit in """
        5f50be9b58 3c18a92dc4 951702f39c 235f9b3638 f1a6cf3ef7 c89d1c879a e7bc0204e5
        fa3f3a33f3""".split()),
]
ROW = re.compile(r"^\| ([A-H][\w-]*) \| (.*) \| (.*) \| (.*)\|$", re.MULTILINE)
TEST = re.compile(r"`([\w/]+\.py)::(\w+)`")
# id -> (what went wrong, what guards us, the tests)
ROWS = {row[1]: (row[2], row[3], TEST.findall(row[4])) for row in ROW.finditer(PAGE)}


def edits(mutation):
    return mutation.get("edit", [mutation])


def exists(file, name):
    path = TESTS / file
    return path.exists() and re.search(rf"^def {name}\(", path.read_text(), re.MULTILINE)


def test_the_page_has_every_id_once_and_in_order():
    assert [row[1] for row in ROW.finditer(PAGE)] == IDS


def test_an_id_has_tests_that_exist_or_a_reason():
    for i, (wrong, guard, tests) in ROWS.items():
        assert wrong.strip(), i
        if not tests:
            assert guard.startswith("none: ") and len(guard) > 18, i
        for file, name in tests:
            assert exists(file, name), f"{i}: {file}::{name}"


def test_every_id_with_a_test_has_a_defect_that_one_of_its_tests_notices():
    noticed = {}
    for mutation in MUTATIONS:
        for i in mutation["ids"]:
            noticed.setdefault(i, set()).update(mutation["tests"])
    # Defects are tried on Linux.
    there = {i: tests for i, (_, _, tests) in ROWS.items()
             if not all(file.startswith("windows/") for file, _ in tests)}
    lacking = [i for i, tests in there.items()
               if not noticed.get(i, set()) & {"::".join(test) for test in tests}]
    assert lacking == []
    assert sorted(set(noticed) - set(ROWS)) == []


def test_the_defects_still_apply():
    for mutation in MUTATIONS:
        for edit in edits(mutation):
            text = (ROOT / edit["file"]).read_text()
            assert text.count(edit["old"]) == 1, f"{mutation['ids']}: not once: {edit['old']}"
            assert edit["old"] != edit["new"]
        assert mutation["tests"]
        for test in mutation["tests"]:
            assert exists(*test.split("::")), test


def test_the_names_of_history_tests_begin_with_their_ids():
    for path in sorted((TESTS / "history").glob("test_[a-h]_*.py")):
        letter = path.stem[5]
        for name in re.findall(r"^def (test_\w+)\(", path.read_text(), re.MULTILINE):
            parts = name.split("_")[1:]
            ids = [p.upper() for p in parts if re.fullmatch(rf"{letter}\d+", p)]
            if letter in "gh":
                ids = [f"{letter.upper()}-{p}" for p in parts if re.fullmatch(r"[0-9a-f]{10}", p)]
            assert ids and set(ids) <= set(IDS), name
