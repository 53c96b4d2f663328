"""The package exports what its stub and its documentation say, and nothing else."""

import ast
import types
from pathlib import Path

import pytest

import qemu_mainloop
import qemu_mainloop.header

STUB = ast.parse((Path(qemu_mainloop.__file__).parent / "__init__.pyi").read_text())
PUBLIC_MODULES = {"main_loop", "timer", "aio", "iohandler", "header"}


def names_of(body):
    """The names that statements of a stub define."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.AnnAssign):
            yield node.target.id
        elif isinstance(node, ast.Assign):
            yield from (target.id for target in node.targets if isinstance(target, ast.Name))


def stub_all():
    for node in STUB.body:
        if isinstance(node, ast.Assign) and node.targets[0].id == "__all__":
            return ast.literal_eval(node.value)
    raise AssertionError("the stub has no __all__")


def test_all_has_no_duplicates():
    assert len(set(qemu_mainloop.__all__)) == len(qemu_mainloop.__all__)


def test_every_public_name_of_the_package_is_in_all():
    public = {
        name for name, value in vars(qemu_mainloop).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType)
    }
    assert public | {"__version__"} == set(qemu_mainloop.__all__)


def test_main_loop_is_the_function_though_a_module_has_the_same_name():
    assert callable(qemu_mainloop.main_loop)


def test_every_name_of_header_is_exported():
    names = {
        name for name, value in vars(qemu_mainloop.header).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType)
    }
    assert names <= set(qemu_mainloop.__all__)


def test_the_stub_has_the_same_names():
    assert sorted(stub_all()) == sorted(qemu_mainloop.__all__)
    defined = {name for name in names_of(STUB.body) if not name.startswith("_")}
    assert defined | {"__version__"} == set(qemu_mainloop.__all__)


@pytest.mark.parametrize(
    "name", sorted(name for name in qemu_mainloop.__all__ if name != "Clock"
                   and isinstance(getattr(qemu_mainloop, name), type)))
def test_the_stub_of_a_class_has_the_same_members(name):
    stub = next(node for node in STUB.body if isinstance(node, ast.ClassDef) and node.name == name)
    members = {member for member in dir(getattr(qemu_mainloop, name))
               if not member.startswith("_")}
    assert {member for member in names_of(stub.body) if not member.startswith("_")} == members


@pytest.mark.parametrize("name", sorted(set(qemu_mainloop.__all__) - {"__version__"}))
def test_every_function_and_class_says_what_it_does(name):
    value = getattr(qemu_mainloop, name)
    assert not callable(value) or value.__doc__
