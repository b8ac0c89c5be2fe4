"""What llama.cpp says that it can compute on."""

import ctypes
import platform
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from agentd.engine.llama import devices as module
from agentd.engine.llama.devices import LIBRARY, devices
from agentd.engine.memory import free_memory

GIB = 1024**3


def library(*records: tuple[str, int, int, int, str | None]) -> Any:
    """A ggml that reports these: name, kind, free and total bytes, id."""

    def describe(number: int, properties: Any) -> None:
        name, kind, free, total, identity = records[number]
        told = properties._obj
        told.name, told.description = name.encode(), b"a card"
        told.kind, told.free, told.total = kind, free, total
        told.id = identity.encode() if identity else None

    return SimpleNamespace(
        ggml_backend_dev_count=lambda: len(records),
        ggml_backend_dev_get=lambda number: number,
        ggml_backend_dev_get_props=describe,
    )


CPU = ("CPU", 0, 64 * GIB, 64 * GIB, None)


def test_the_cpu_is_there_with_the_memory_that_may_be_taken() -> None:
    (cpu,) = [device for device in devices() if device.kind == "cpu"]
    assert (cpu.name, cpu.total) == ("CPU", free_memory()[1])
    assert cpu.description
    assert 0 < cpu.free <= cpu.total <= psutil.virtual_memory().total


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="no list of what is mapped")
def test_no_second_ggml_is_loaded() -> None:
    devices()
    mapped = {line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines() if "libggml" in line}
    assert len(mapped) == len({Path(path).name.partition(".so")[0] for path in mapped}) > 0
    # The same registry as llama.cpp's own: what it counts as a GPU is listed, and nothing else.
    llama = LIBRARY.llama_supports_gpu_offload
    llama.restype = ctypes.c_bool
    assert llama() == any(device.kind in ("gpu", "igpu") for device in devices())


@pytest.mark.parametrize("missing", ["count", "get", "get_props"])
def test_a_build_without_the_functions_has_the_cpu_alone(missing: str) -> None:
    old = library(CPU, ("CUDA0", 1, GIB, GIB, None))
    delattr(old, f"ggml_backend_dev_{missing}")
    (cpu,) = devices(old)
    assert (cpu.name, cpu.kind) == ("CPU", "cpu")
    assert cpu.free > 0


def test_gpus_keep_their_own_figures_and_none_is_told_twice() -> None:
    card = "0000:01:00.0"
    found = devices(
        library(
            ("CUDA0", 1, 20 * GIB, 24 * GIB, card),
            ("CUDA1", 1, 0, 0, "0000:02:00.0"),
            ("Vulkan0", 1, 20 * GIB, 24 * GIB, card),
            ("Vulkan1", 2, 8 * GIB, 8 * GIB, None),
            ("BLAS", 3, 0, 0, None),
            CPU,
            ("Meta", 4, 0, 0, None),
        )
    )
    assert [(device.name, device.kind) for device in found] == [
        ("CUDA0", "gpu"),
        ("CUDA1", "gpu"),
        ("Vulkan1", "igpu"),
        ("BLAS", "accel"),
        ("CPU", "cpu"),
    ]
    assert (found[0].free, found[0].total, found[0].description) == (20 * GIB, 24 * GIB, "a card")
    assert (found[1].free, found[1].total) == (0, 0)
    assert found[4].total <= psutil.virtual_memory().total, "ggml says of the CPU that all memory is free"


def test_metal_on_apple_silicon_shares_the_cpus_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    monkeypatch.setattr(platform, "machine", lambda: "arm64")
    found = module.devices(library(("MTL0", 1, 5 * GIB, 5 * GIB, None), CPU))
    assert [(device.name, device.kind) for device in found] == [("MTL0", "igpu"), ("CPU", "cpu")]
