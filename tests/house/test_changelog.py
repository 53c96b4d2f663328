"""CHANGELOG.md has the shape that releasing relies on."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CHANGELOG = (ROOT / "CHANGELOG.md").read_text()
SECTIONS = ["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security", "C API"]


def project_version():
    match = re.search(r"version: '([^']+)'", (ROOT / "meson.build").read_text())
    return match[1]


def headings(level):
    return re.findall(rf"^{'#' * level} (.+)$", CHANGELOG, re.MULTILINE)


def release_of(heading):
    """(version, date) of "0.1.0 (2026-11-23)"; None for "Unreleased"."""
    if heading == "Unreleased":
        return None
    match = re.fullmatch(r"(\d+)\.(\d+)\.(\d+) \((\d{4}-\d\d-\d\d)\)", heading)
    assert match, f"{heading!r} is neither Unreleased nor X.Y.Z (YYYY-MM-DD)"
    return tuple(int(number) for number in match.groups()[:3]), match[4]


def test_it_begins_with_its_title_and_has_one_of_it():
    assert CHANGELOG.startswith("# Changelog\n")
    assert headings(1) == ["Changelog"]


def test_releases_are_dated_and_newest_first():
    releases = headings(2)
    assert "Unreleased" not in releases[1:]
    known = [release for release in map(release_of, releases) if release]
    assert known == sorted(known, reverse=True)
    assert len({version for version, _ in known}) == len(known)


def test_the_version_of_the_build_is_released_or_to_be_released():
    newest = release_of(headings(2)[0])
    version = tuple(int(number) for number in project_version().split("."))
    if newest is None:
        released = [release_of(heading)[0] for heading in headings(2)[1:]]
        assert all(version >= old for old in released)
    else:
        assert newest[0] == version


def test_sections_are_known_and_not_empty():
    for section in headings(3):
        assert section in SECTIONS
    for body in re.split(r"^###? .+$", CHANGELOG, flags=re.MULTILINE)[1:]:
        lines = [line for line in body.splitlines() if line.strip()]
        assert all(line.startswith(("- ", "  ")) for line in lines), lines
