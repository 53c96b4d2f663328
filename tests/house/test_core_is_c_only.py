"""_core and _fdmon are C spelled in Cython: no objects, no exceptions, no GIL."""

import re
from pathlib import Path

import pytest

import qemu_mainloop

PACKAGE = Path(__file__).resolve().parents[2] / "qemu_mainloop"
FILES = sorted(
    path
    for folder in ("_core", "_fdmon")
    for pattern in ("*.pyx", "*.pxd")
    for path in (PACKAGE / folder).glob(pattern)
)
# A function, on as many lines as its parameters take: its head ends at ":" (a body) or
# at the end of a line (a declaration).
HEAD = re.compile(
    r"^[ \t]*(?:cdef|cpdef)[ \t]+(?P<head>(?:inline[ \t]+)?[\w *]+?\b(?P<name>\w+)"
    r"\((?:[^()]|\([^()]*\))*\)[^\n:]*)",
    re.MULTILINE,
)
NOWHERE = {
    r"\bdef\b": "a Python function",
    r"\bcpdef\b": "a Python function",
    r"\bclass\b": "a class",
    r"\bobject\b": "a Python object",
    r"\bwith[ \t]+gil\b": "the GIL",
}
# An import may still fail with an exception.
NOT_IN_FUNCTIONS = {
    r"\braise\b": "an exception",
    r"\btry\b": "an exception",
    r"\bexcept\b": "an exception",
    r"\bassert\b": "an exception",
    r"\bprint\b": "output",
}


def code_of(path):
    """The text without comments, strings and the verbatim C of docstrings."""
    text = re.sub(r'"""(?:.|\n)*?"""', lambda m: '""' + "\n" * m[0].count("\n"),
                  path.read_text())
    text = re.sub(r'"[^"\n]*"', '""', text)
    return re.sub(r"#.*$", "", text, flags=re.MULTILINE)


def ids(path):
    return str(path.relative_to(PACKAGE))


def functions_of(code):
    """(line, body) of every function with a body."""
    for match in HEAD.finditer(code):
        rest = code[match.end():]
        if rest.startswith(":"):
            end = re.search(r"^\S", rest[1:], re.MULTILINE)
            line = code.count("\n", 0, match.end()) + 1
            yield line, rest[:end.start() + 1] if end else rest


def refuse(patterns, code, first_line, path):
    for pattern, what in patterns.items():
        for match in re.finditer(pattern, code):
            line = first_line + code.count("\n", 0, match.start())
            raise AssertionError(f"{ids(path)}:{line}: {match[0]!r}: {what}")


@pytest.mark.parametrize("path", FILES, ids=ids)
def test_nothing_of_python_is_in_the_core(path):
    code = code_of(path)
    refuse(NOWHERE, code, 1, path)
    for line, body in functions_of(code):
        refuse(NOT_IN_FUNCTIONS, body, line, path)


@pytest.mark.parametrize("path", FILES, ids=ids)
def test_every_function_is_noexcept_nogil(path):
    for match in HEAD.finditer(code_of(path)):
        assert match["head"].rstrip().endswith("noexcept nogil"), (
            f"{ids(path)}: {match['name']}() is not noexcept nogil"
        )


@pytest.mark.parametrize("path", FILES, ids=ids)
def test_every_function_pointer_is_noexcept_nogil(path):
    pointer = re.compile(r"\(\*\w*\)\((?:[^()]|\([^()]*\))*\)([^\n,)>]*)")
    for match in pointer.finditer(code_of(path)):
        assert match[1].strip() == "noexcept nogil", f"{ids(path)}: {match[0]}"


def test_functions_are_found():
    # The tests above are worth as much as HEAD: it must see what there is.
    found = {match["name"] for path in FILES for match in HEAD.finditer(code_of(path))}
    assert {"bh_new", "bh_schedule", "iteration_run", "fdmon_open", "fd_table_set"} <= found


@pytest.mark.parametrize("folder", ["_core", "_fdmon"])
def test_no_module_of_the_core_could_take_the_gil(folder):
    # Cython takes it, with no more than a "performance hint", where a C function may raise.
    # Of _fdmon those that this system has are built: its fdmons at least.
    modules = list((Path(qemu_mainloop.__file__).parent / folder).glob("*.so"))
    built = {module.name.partition(".")[0] for module in modules}
    sources = {path.stem for path in (PACKAGE / folder).glob("*.pyx")}
    assert built <= sources and set(qemu_mainloop.fdmons()) <= built or built == sources
    for module in modules:
        assert b"PyGILState_Ensure" not in module.read_bytes(), module.name
