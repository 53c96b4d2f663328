"""The C functions that the modules export, for ctypes."""

import ctypes
import importlib


def c_function(module, name, result, *arguments):
    """A C function of qemu_mainloop.module, to be called without the GIL."""
    capsule = importlib.import_module(f"qemu_mainloop.{module}").__pyx_capi__[name]
    name_of = ctypes.pythonapi.PyCapsule_GetName
    name_of.restype, name_of.argtypes = ctypes.c_char_p, [ctypes.py_object]
    pointer_of = ctypes.pythonapi.PyCapsule_GetPointer
    pointer_of.restype, pointer_of.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    return ctypes.CFUNCTYPE(result, *arguments)(pointer_of(capsule, name_of(capsule)))
