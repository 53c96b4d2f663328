"""Imports point down: a file may use only what ranks below it."""

import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "qemu_mainloop"

# The one table.  A module is in the first row that matches it: it may import from the
# rows above its own, and modules of one row may not import each other.
RANKS = [
    [r"_sys\.(atomic|clock|errno|thread|threadlocal|hostfd|notifier|leaflock)"],
    [r"_sys\.(posix|linux|uring|win32|kqueue)"],
    [r"_sys\.fdsource"],
    [r"_core\.fork"],
    [r"_core\.(wakeup|dispatch|fdmon|lock|clock|heap)"],
    [r"_core\.(bh|timer|polling|fdtable)", r"_fdmon\.(pollset|quiet)"],
    [r"_core\.(iohandler|step)", r"_fdmon\.(epollset|afdset|handleset|kqueueset)"],
    [r"_fdmon(\..*)?"],
    [r"_core\.(child|hosting|signals|waitobj)"],
    [r"_core\.context"],
    [r"_core\.sleep"],
    [r"_core\.iteration"],
    [r"_core\.(mainloop|barrier|iothread)"],
    # The public names: types may come from one another, see TYPES_FROM.
    [r"main_loop", r"timer", r"aio", r"iohandler"],
    [r"_objects\.callback"],
    [r"_objects\..*"],
    [r"_version", r"header"],
    [r""],
    [r"_bench"],
    [r"__main__"],
]
# The files of _objects know one another, without a circle; all of them know callback.
ONE_LAYER = "_objects."
TYPES_FROM = {"timer": {"main_loop"}, "aio": {"main_loop", "timer"}, "iohandler": {"main_loop"}}

LINE = re.compile(
    r"^[ \t]*(?:from[ \t]+(?P<source>[\w.]+)[ \t]+c?import[ \t]+(?P<names>\([^)]*\)|[^\n#]+)"
    r"|c?import[ \t]+(?P<modules>[\w., \t]+))",
    re.MULTILINE,
)
COMMENT = re.compile(r"#.*$", re.MULTILINE)


def module_of(path):
    """qemu_mainloop/_core/bh.pxd -> "_core.bh"; the package itself -> ""."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = sorted(
    path for pattern in ("*.py", "*.pyi", "*.pyx", "*.pxd") for path in PACKAGE.rglob(pattern)
)
MODULES = {module_of(path) for path in FILES} | {"_version"}


def rank(module):
    """The row of RANKS that has the module."""
    for number, row in enumerate(RANKS):
        if any(re.fullmatch(pattern, module) for pattern in row):
            return number
    raise AssertionError(f"{module!r} has no rank: give it one in RANKS")


def imports(path):
    """The modules of this package that a file imports or cimports, as module_of()."""
    text = COMMENT.sub("", path.read_text())
    for match in LINE.finditer(text):
        if match["modules"]:
            found = [name.split(" as ")[0].strip() for name in match["modules"].split(",")]
        else:
            names = re.findall(r"(\w+)(?:\s+as\s+\w+)?\s*(?:,|$)", match["names"].strip("() \t\n"))
            found = [f"{match['source']}.{name}" for name in names] or [match["source"]]
        for name in found:
            if name == "qemu_mainloop" or name.startswith("qemu_mainloop."):
                yield nearest_module(name.removeprefix("qemu_mainloop").lstrip("."))


def nearest_module(name):
    """"_core.bh.QEMUBH" is a name of the module "_core.bh"."""
    while name and name not in MODULES:
        name = name.rpartition(".")[0]
    return name


def test_every_file_has_a_rank():
    for path in FILES:
        if module_of(path) not in ("_core", "_objects", "_sys"):
            rank(module_of(path))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down(path):
    module = module_of(path)
    for other in imports(path):
        if other == module or other == "_objects":
            continue
        if path.suffix == ".pxd" and other in TYPES_FROM.get(module, ()):
            continue
        same_layer = rank(other) == rank(module) and module.startswith(ONE_LAYER)
        assert rank(other) < rank(module) or same_layer, (
            f"{module or 'the package'} (rank {rank(module)}) imports {other or 'the package'} "
            f"(rank {rank(other)}): imports point down"
        )


@pytest.mark.parametrize("name", ["main_loop", "timer", "aio", "iohandler"])
def test_a_public_pxd_needs_only_stdint_and_its_siblings_types(name):
    text = COMMENT.sub("", (PACKAGE / f"{name}.pxd").read_text())
    for match in LINE.finditer(text):
        assert match["modules"] is None, match[0]
        if match["source"] == "libc.stdint":
            continue
        sibling = match["source"].removeprefix("qemu_mainloop.")
        assert sibling in TYPES_FROM.get(name, ()), f"{name}.pxd cimports {match['source']}"
        declared = (PACKAGE / f"{sibling}.pxd").read_text()
        for imported in re.findall(r"\w+", match["names"]):
            assert not re.search(rf"^cdef [^\n]*\b{imported}\(", declared, re.MULTILINE), (
                f"{name}.pxd cimports the function {imported}: only types may be"
            )


def test_the_objects_know_one_another_without_a_circle():
    edges = {}
    for path in FILES:
        if path.parent.name == "_objects":
            edges.setdefault(module_of(path), set()).update(
                other for other in imports(path) if other.startswith("_objects."))
    while edges:
        free = {module for module in edges if not (edges[module] - {module}) & edges.keys()}
        assert free, f"a circle among {sorted(edges)}"
        for module in free:
            del edges[module]


def test_the_package_pxd_files_stay_empty():
    for path in PACKAGE.rglob("__init__.pxd"):
        assert path.read_text() == "", path
