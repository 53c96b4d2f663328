"""A pytest plugin of .ci/mechanisms: the suite with the loop's mechanisms off, on, or switching.

What the loop does by itself to be fast must not be seen in what it does.  The variables that
decide when it does so are set here before there is a loop; children that tests start have
the usual ones.
"""

import ctypes
import importlib

import pytest

# By module: variable -> (C type, value).
INT, INT64 = ctypes.c_int, ctypes.c_int64
NEVER = 1 << 30
FOR_EVER = 1 << 29                                  # of heat

WAYS = {
    "usual": {},
    "no-hot-set": {"_fdmon.adaptive": {"newcomers": (INT, 0), "warm_heat": (INT, 0)}},
    "all-hot": {"_fdmon.adaptive": {
        "newcomers": (INT, 1 << 20), "fresh_heat": (INT, FOR_EVER),
        "warm_heat": (INT, FOR_EVER)}},
    "no-ring": {"_fdmon.quiet": {"first_patience": (INT, NEVER)}},
    "ring-at-once": {
        "_fdmon.quiet": {"first_patience": (INT, 1)},
        "_fdmon.adaptive": {"newcomers": (INT, 0), "warm_heat": (INT, 0)}},
    "switching": {
        "_fdmon.quiet": {"first_patience": (INT, 1)},
        "_fdmon.adaptive": {"fresh_heat": (INT, 1), "warm_heat": (INT, 1)}},
    "busy-polling": {"_core.context": {"first_poll_max_ns": (INT64, 20_000)}},
}


def variable(module, name, c_type):
    """The variable itself, by the capsule through which other modules get at it."""
    capsule = importlib.import_module(f"qemu_mainloop.{module}").__pyx_capi__[name]
    api = ctypes.pythonapi
    api.PyCapsule_GetName.argtypes = [ctypes.py_object]
    api.PyCapsule_GetName.restype = ctypes.c_char_p
    api.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
    api.PyCapsule_GetPointer.restype = ctypes.c_void_p
    address = api.PyCapsule_GetPointer(capsule, api.PyCapsule_GetName(capsule))
    return c_type.from_address(address)


def pytest_addoption(parser):
    parser.addoption("--mechanisms", choices=WAYS, default="usual")


def pytest_configure(config):
    import qemu_mainloop  # noqa: F401  its modules in their order

    for module, variables in WAYS[config.getoption("--mechanisms")].items():
        for name, (c_type, value) in variables.items():
            variable(module, name, c_type).value = value


def pytest_report_header(config):
    return f"mechanisms: {config.getoption('--mechanisms')}"


def is_out_of_place(item, way):
    """It is about the usual ones, or on an fdmon that has none of these."""
    params = item.callspec.params if hasattr(item, "callspec") else {}
    elsewhere = way != "busy-polling" and params.get("fdmon", "adaptive") != "adaptive"
    return elsewhere or item.get_closest_marker("usual_mechanisms")


def pytest_collection_modifyitems(config, items):
    if config.getoption("--mechanisms") == "usual":
        return
    gone = [item for item in items if is_out_of_place(item, config.getoption("--mechanisms"))]
    config.hook.pytest_deselected(items=gone)
    items[:] = [item for item in items if item not in set(gone)]


@pytest.fixture(scope="session")
def mechanisms(request):
    return request.config.getoption("--mechanisms")
