#!/usr/bin/env python3
"""The C workloads for a contestant that lives in Python.

    pyhost.py [-m MODULE]... [-v VARIANT] ADAPTER.so WORKLOAD [key=value...]

ADAPTER.so is a contestant as in bench.h.  Before its table is asked for,
every function capsule in the __pyx_capi__ of each MODULE is handed to its
bench_bind(name, signature, pointer).  The workload then runs outside the GIL
(ctypes releases it for the call), as C users of the package would run it.
Prints the same JSON object as ./host, one for each of several workloads
with commas between them.
"""
import argparse
import ctypes
import importlib
import json
import os
import resource
import signal
import sys

MAX_METRICS = 16


class Metric(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char * 32), ("value", ctypes.c_double)]


class Params(ctypes.Structure):
    _fields_ = [("n", ctypes.c_uint), ("a", ctypes.c_uint),
                ("w", ctypes.c_uint), ("k", ctypes.c_uint),
                ("slices", ctypes.c_uint), ("slice_ms", ctypes.c_double)]


class Result(ctypes.Structure):
    _fields_ = [("ok", ctypes.c_int), ("n", ctypes.c_int),
                ("m", Metric * MAX_METRICS), ("note", ctypes.c_char * 160)]


class OpsHead(ctypes.Structure):
    """The first members of struct loop_ops; the rest stays opaque here."""
    _fields_ = [("abi", ctypes.c_uint), ("caps", ctypes.c_uint),
                ("name", ctypes.c_char_p),
                ("version", ctypes.CFUNCTYPE(ctypes.c_char_p))]


def bind_capsules(adapter, module_name):
    """Give the adapter each function the module exports to C."""
    api = ctypes.pythonapi
    api.PyCapsule_GetName.restype = ctypes.c_char_p
    api.PyCapsule_GetName.argtypes = [ctypes.py_object]
    api.PyCapsule_GetPointer.restype = ctypes.c_void_p
    api.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
    adapter.bench_bind.argtypes = [ctypes.c_char_p, ctypes.c_char_p,
                                   ctypes.c_void_p]
    module = importlib.import_module(module_name)
    for name, capsule in module.__pyx_capi__.items():
        signature = api.PyCapsule_GetName(capsule)
        pointer = api.PyCapsule_GetPointer(capsule, signature)
        adapter.bench_bind(name.encode(), signature, pointer)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-m", dest="modules", action="append", default=[])
    parser.add_argument("-v", dest="variant", default="")
    parser.add_argument("adapter")
    parser.add_argument("workload")
    parser.add_argument("params", nargs="*")
    args = parser.parse_args()

    signal.alarm(600)
    # where the Makefile puts both
    path = os.path.abspath(args.adapter)
    workloads = ctypes.CDLL(os.path.join(os.path.dirname(path), "libworkloads.so"))
    adapter = ctypes.CDLL(path)
    for name in args.modules:
        bind_capsules(adapter, name)
    adapter.bench_ops.restype = ctypes.c_void_p
    adapter.bench_ops.argtypes = [ctypes.c_char_p]
    ops = adapter.bench_ops(args.variant.encode())
    if not ops:
        sys.exit(f"{args.adapter}: no bench_ops for variant "
                 f"'{args.variant}'")
    head = OpsHead.from_address(ops)
    version = head.version().decode() if head.version else ""

    params = Params(n=1, a=100, w=1000, k=1, slices=3, slice_ms=10)
    for item in args.params:
        key, value = item.split("=")
        if key == "pin":
            workloads.wl_set_pinning(int(value))
        else:
            setattr(params, key,
                    float(value) if key == "slice_ms" else int(value))
    workloads.wl_run.argtypes = [ctypes.c_void_p, ctypes.c_char_p,
                                 ctypes.POINTER(Params),
                                 ctypes.POINTER(Result)]
    failed = False
    for workload in args.workload.split(","):
        result = Result()
        workloads.wl_run(ops, workload.encode(), params, result)
        failed |= result.ok < 0
        usage = resource.getrusage(resource.RUSAGE_SELF)
        metrics = {m.name.decode(): m.value for m in result.m[:result.n]}
        print(json.dumps({"contestant": head.name.decode(), "version": version,
                          "ok": result.ok, "note": result.note.decode(),
                          "nivcsw": usage.ru_nivcsw, "metrics": metrics}))
    sys.stdout.flush()
    os._exit(failed)


if __name__ == "__main__":
    main()
