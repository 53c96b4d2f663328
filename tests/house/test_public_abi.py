"""The C API is frozen: compiled users import it by the strings in public_abi.json."""

import ctypes
import importlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import qemu_mainloop

FROZEN = json.loads((Path(__file__).parent / "public_abi.json").read_text())
MODULES = ["main_loop", "timer", "aio", "iohandler"]

capsule_name = ctypes.pythonapi.PyCapsule_GetName
capsule_name.restype = ctypes.c_char_p
capsule_name.argtypes = [ctypes.py_object]


def signatures(module):
    """name -> C signature, as an importing module compares them."""
    table = importlib.import_module(f"qemu_mainloop.{module}").__pyx_capi__
    return {name: capsule_name(capsule).decode() for name, capsule in sorted(table.items())}


def test_every_public_module_is_frozen():
    assert sorted(FROZEN) == sorted(MODULES)


@pytest.mark.parametrize("module", MODULES)
def test_no_function_is_removed_or_changed(module):
    now = signatures(module)
    for name, signature in FROZEN[module].items():
        assert now.get(name) == signature, (
            f"{module}.{name} was {signature!r} and is {now.get(name, 'gone')!r}: programs that "
            "are compiled already fail to import.  Put it back, and give what is new a new "
            "name; only a release that breaks every user on purpose may change "
            "qemu_mainloop_abi_1 in main_loop.pxd and, with it, public_abi.json"
        )


@pytest.mark.parametrize("module", MODULES)
def test_every_addition_is_frozen(module):
    added = {name: text for name, text in signatures(module).items() if name not in FROZEN[module]}
    assert added == {}, f"add to {module!r} in public_abi.json: {json.dumps(added, indent=4)}"


@pytest.mark.parametrize("module", MODULES)
def test_no_mangled_name_is_part_of_a_signature(module):
    for name, signature in signatures(module).items():
        assert "__pyx_" not in signature, (
            f"{module}.{name} is {signature!r}: declare its types in the verbatim block"
        )


def test_the_abi_variable_carries_its_number():
    assert signatures("main_loop")["qemu_mainloop_abi"] == "qemu_mainloop_abi_1"


@pytest.mark.slow
@pytest.mark.parametrize(("module", "statement"), [
    ("main_loop", "qemu_notify_event()"),
    ("timer", "timer_free(NULL)"),
    ("aio", "aio_context_unref(NULL)"),
    ("iohandler", "qemu_fd_register(0)"),
])
def test_a_user_compiled_for_another_abi_gets_a_type_error_with_both_numbers(
        module, statement, tmp_path, build_extension):
    # As if another release's headers had been there when the user was compiled.
    doctored = tmp_path / "headers" / "qemu_mainloop"
    doctored.mkdir(parents=True)
    for header in Path(qemu_mainloop.__file__).parent.glob("*.pxd"):
        shutil.copy(header, doctored)
        text = (doctored / header.name).read_text()
        (doctored / header.name).write_text(text.replace("qemu_mainloop_abi_1",
                                                         "qemu_mainloop_abi_2"))
    source = tmp_path / "stale.pyx"
    function = re.match(r"\w+", statement)[0]
    source.write_text(f"from qemu_mainloop.{module} cimport {function}\n\n\n"
                      f"def call():\n    {statement}\n")
    build_extension(source, f"-I{tmp_path / 'headers'}")
    done = subprocess.run([sys.executable, "-c", "import stale"], cwd=tmp_path,
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("TypeError: ")
    assert "qemu_mainloop_abi_1" in last and "qemu_mainloop_abi_2" in last
