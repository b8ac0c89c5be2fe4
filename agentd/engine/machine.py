"""What a measurement holds for: this machine, told from the system's own files.

Two machines of one name may share a home folder, and one machine may get another processor: so it is known by what
decides the speed of a model.
"""

import platform
from pathlib import Path

import psutil

from agentd.engine.devices import gpu_present
from agentd.engine.memory import free_memory
from agentd.engine.threads import usable_cores

_CPUINFO = Path("/proc/cpuinfo")
_NVIDIA = Path("/proc/driver/nvidia/gpus")


def machine_name(cpuinfo: Path = _CPUINFO, nvidia: Path = _NVIDIA) -> str:
    """Processor, cores that may be used, memory to the next power of two, and GPUs, in words."""
    gibibytes = free_memory()[1] / 1024**3
    size = 1
    while size < gibibytes:
        size *= 2
    gpus = sorted(_field(file, "Model") or "NVIDIA" for file in nvidia.glob("*/information"))
    if not gpus and (kind := gpu_present()):
        gpus = [f"a GPU for {kind}"]
    processor = _field(cpuinfo, "model name") or platform.processor() or platform.machine()
    physical = psutil.cpu_count(logical=False)
    cores = f"{usable_cores()} threads of {physical or '?'} cores"
    return ", ".join([processor, cores, f"{size} GiB", *gpus])


def _field(file: Path, name: str) -> str:
    """The first value of that name in lines of `name : value`; empty where there is none."""
    try:
        lines = file.read_text("utf-8", "replace").splitlines()
    except OSError:
        return ""
    pairs = (line.partition(":") for line in lines)
    return next((value.strip() for key, _, value in pairs if key.strip() == name), "")
