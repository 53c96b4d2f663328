"""The C functions and variables that the modules export, for ctypes."""

import ctypes
import importlib


def address(module, name):
    """Of what qemu_mainloop.module exports by that name."""
    capsule = importlib.import_module(f"qemu_mainloop.{module}").__pyx_capi__[name]
    name_of = ctypes.pythonapi.PyCapsule_GetName
    name_of.restype, name_of.argtypes = ctypes.c_char_p, [ctypes.py_object]
    pointer_of = ctypes.pythonapi.PyCapsule_GetPointer
    pointer_of.restype, pointer_of.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    return pointer_of(capsule, name_of(capsule))


def c_function(module, name, result, *arguments):
    """A C function of qemu_mainloop.module, to be called without the GIL."""
    return ctypes.CFUNCTYPE(result, *arguments)(address(module, name))


def c_variable(module, name, kind):
    """A C variable of qemu_mainloop.module."""
    return kind.from_address(address(module, name))
