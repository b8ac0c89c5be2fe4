"""The devices that llama.cpp can compute on, as its library `ggml` reports them.

llama-cpp-python has no functions for these. They are looked up through the library that it has loaded: its
wheels carry each library under three names as three files, and opening one of the others would load a second
ggml that knows of no model. How the devices are used, `fit` decides.
"""

import ctypes
import platform
from dataclasses import replace
from typing import Any

from agentd.engine.llama import log  # noqa: F401  # it sets what llama_cpp reads when it is imported

import llama_cpp  # isort: skip

from agentd.engine.estimate import Device
from agentd.engine.memory import free_memory

LIBRARY = llama_cpp.llama_cpp._lib
# The kinds by their numbers in ggml-backend.h. There is one more, which bundles several devices: never listed.
_KINDS = {0: "cpu", 1: "gpu", 2: "igpu", 3: "accel"}


class _Properties(ctypes.Structure):
    """`ggml_backend_dev_props`; the room at its end takes whatever a later build appends."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("description", ctypes.c_char_p),
        ("free", ctypes.c_size_t),
        ("total", ctypes.c_size_t),
        ("kind", ctypes.c_int),
        ("id", ctypes.c_char_p),
        ("rest", ctypes.c_uint8 * 256),
    )


def devices(library: Any = LIBRARY) -> tuple[Device, ...]:
    """Every device, the CPU among them with the memory that this process may take.

    A build that lacks the functions gives the CPU alone. A GPU that reports no memory has 0 bytes. The first
    call creates a context on each CUDA device, so that what is free is what a model may take.
    """
    llama_cpp.llama_backend_init()
    try:
        found = _read_devices(library)
    except AttributeError:
        found = [Device("CPU", platform.machine(), "cpu", 0, 0)]
    free, total = free_memory()  # of the CPU, ggml says that all memory is free
    return tuple(replace(device, free=free, total=total) if device.kind == "cpu" else device for device in found)


def _read_devices(library: Any) -> list[Device]:
    """As ggml tells them; raises `AttributeError` where a function is missing."""
    count, get, describe = (
        library.ggml_backend_dev_count,
        library.ggml_backend_dev_get,
        library.ggml_backend_dev_get_props,
    )
    count.argtypes, count.restype = (), ctypes.c_size_t
    get.argtypes, get.restype = (ctypes.c_size_t,), ctypes.c_void_p
    describe.argtypes, describe.restype = (ctypes.c_void_p, ctypes.POINTER(_Properties)), None
    found, ids = [], set()
    for index in range(count()):
        properties = _Properties()
        describe(get(index), ctypes.byref(properties))
        kind = _KINDS.get(properties.kind, "")
        name = (properties.name or b"").decode("utf-8", "replace")
        if not kind or (kind == "gpu" and properties.id in ids):
            continue  # the same card through a second interface: llama.cpp takes the first alone
        if properties.id:
            ids.add(properties.id)
        if kind == "gpu" and platform.system() == "Darwin" and platform.machine() == "arm64":
            kind = "igpu"  # Metal says GPU, but on these machines there is one memory for both
        description = (properties.description or b"").decode("utf-8", "replace")
        found.append(Device(name, description, kind, properties.free, properties.total))
    return found
