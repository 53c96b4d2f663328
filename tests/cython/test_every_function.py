"""Every public C function is called by a scenario that a test runs.

What counts is read from the sources: the functions of the .pxd files, which scenario of
the foreign projects reaches which of them, and which scenario a test names.
"""

import ast
import importlib
import re
from pathlib import Path

import pytest

import qemu_mainloop

HERE = Path(__file__).parent
MODULES = ["main_loop", "timer", "aio", "iohandler"]
SCENARIOS = sorted(HERE.glob("*_project/*/*.pyx"))
FUNCTION = re.compile(r"^(?P<kind>cdef|def) [^\n]*?\b(?P<name>\w+)\(", re.MULTILINE)


def declared(module):
    """The functions that a public .pxd declares."""
    path = Path(qemu_mainloop.__file__).parent / f"{module}.pxd"
    text = re.sub(r"#.*$", "", path.read_text(), flags=re.MULTILINE)
    return set(re.findall(r"^cdef [^\n]*?\b(\w+)\(", text, re.MULTILINE))


def exported(module):
    table = set(importlib.import_module(f"qemu_mainloop.{module}").__pyx_capi__)
    return table - {"qemu_mainloop_abi"}


def functions_of(path):
    """name -> (is it a def, the identifiers of its body), for a scenario module."""
    text = re.sub(r'"""(?:.|\n)*?"""|#.*$', "", path.read_text(), flags=re.MULTILINE)
    found = {}
    for block in re.split(r"\n(?=\S)", text):
        match = FUNCTION.match(block)
        if match:
            found[match["name"]] = match["kind"] == "def", set(re.findall(r"\w+", block))
    return found


def reached(functions, name):
    """The identifiers that a function uses, through the others of its module."""
    seen, todo = set(), [name]
    while todo:
        for used in functions[todo.pop()][1] - seen:
            seen.add(used)
            if used in functions:
                todo.append(used)
    return seen


def names_in_tests():
    """(module, scenario) of every "module.scenario" that a test file says."""
    said = set()
    for path in HERE.glob("test_*.py"):
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                said.add((node.value.id, node.attr))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                said.update(re.findall(r"^(process)\.(\w+)\(", node.value))
    return said


def called():
    """The identifiers that scenarios reach which tests run."""
    said = names_in_tests()
    names = set()
    for path in SCENARIOS:
        functions = functions_of(path)
        for name, (is_def, _) in functions.items():
            if is_def and (path.stem, name) in said:
                names |= reached(functions, name)
    return names


@pytest.mark.parametrize("module", MODULES)
def test_a_module_exports_what_its_pxd_declares(module):
    assert declared(module) == exported(module)


@pytest.mark.parametrize("module", MODULES)
def test_every_function_is_called_by_a_scenario_that_a_test_runs(module):
    assert sorted(exported(module) - called()) == []


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_every_scenario_is_run_by_a_test(path):
    said = names_in_tests()
    idle = [name for name, (is_def, _) in functions_of(path).items()
            if is_def and (path.stem, name) not in said]
    assert idle == []


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_the_foreign_projects_cimport_public_headers_only_and_import_nothing(path):
    for line in path.read_text().splitlines():
        if "qemu_mainloop" in line and not line.startswith("#"):
            assert re.match(r"from qemu_mainloop\.(main_loop|timer|aio|iohandler) cimport ", line)
