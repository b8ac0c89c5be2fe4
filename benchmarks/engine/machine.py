"""The machine that figures are from, in one line, and whether it is quiet."""

import importlib.metadata
import os
import platform
from pathlib import Path

import psutil

QUIET = 0.5  # load average of the last minute
PACKAGES = ("llama-cpp-python", "llguidance", "xllamacpp")


def describe() -> str:
    """Processor, cores, memory, system, and the versions that matter."""
    cores = f"{psutil.cpu_count(logical=False)} cores ({psutil.cpu_count()} logical)"
    memory = f"{psutil.virtual_memory().total / 2**30:.0f} GiB"
    system = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    versions = ", ".join(f"{name} {_version(name)}" for name in PACKAGES)
    return f"{_processor()}, {cores}, {memory}, {system}, {versions}"


def load() -> float:
    """Processes that want a core, the average of the last minute."""
    return os.getloadavg()[0]


def _processor() -> str:
    listed = Path("/proc/cpuinfo")
    if listed.exists():
        for line in listed.read_text().splitlines():
            if line.startswith("model name"):
                # Virtual machines hide the model; the family tells at least the generation.
                return line.partition(":")[2].strip() + _flags(listed.read_text())
    return platform.processor() or platform.machine()


def _flags(cpuinfo: str) -> str:
    known = [name for name in ("avx2", "avx512f", "avx512_vnni", "amx_int8") if f" {name} " in f"{cpuinfo} "]
    return f" ({', '.join(known)})" if known else ""


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
