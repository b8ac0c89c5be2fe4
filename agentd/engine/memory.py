"""How much memory of this machine is free: what the system says, and what a container allows.

Only ordinary memory: that of GPUs, `llama.devices` knows.
"""

from collections.abc import Iterator
from pathlib import Path

import psutil

_CGROUPS = Path("/sys/fs/cgroup")
_PROC = Path("/proc/self")
# By the version of the control groups: the files of the limit and of what is used, and the lines of memory.stat
# that say which pages hold files, which the kernel drops when memory is wanted.
_VERSIONS = {
    2: ("memory.max", "memory.current", ("inactive_file", "active_file")),
    1: ("memory.limit_in_bytes", "memory.usage_in_bytes", ("total_inactive_file", "total_active_file")),
}


def free_memory(proc: Path = _PROC, cgroups: Path = _CGROUPS) -> tuple[int, int]:
    """Bytes that may be taken now, and bytes that there are, both within the limits of every control group."""
    system = psutil.virtual_memory()
    free, total = int(system.available), int(system.total)
    for limit, used in _limits(proc, cgroups):
        free, total = min(free, max(limit - used, 0)), min(total, limit)
    return free, total


def _limits(proc: Path, cgroups: Path) -> Iterator[tuple[int, int]]:
    """The limit and the use, in bytes, of each control group that this process is in, as far as they are told."""
    for line in _lines(proc / "cgroup"):
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if (number, controllers) == ("0", ""):
            top, version = cgroups, 2
        elif "memory" in controllers.split(","):
            top, version = cgroups / "memory", 1
        else:
            continue
        # A limit holds for all below it. Inside a container the path may be the host's, which is not there:
        # then only the top is, and it is the container's own.
        parts = [part for part in path.split("/") if part and part != ".."]
        for depth in range(len(parts), -1, -1):
            if (found := _read(top.joinpath(*parts[:depth]), version)) is not None:
                yield found


def _read(folder: Path, version: int) -> tuple[int, int] | None:
    limit_file, used_file, droppable = _VERSIONS[version]
    try:
        limit = int((folder / limit_file).read_text())
        used = int((folder / used_file).read_text())
    except (OSError, ValueError):  # not there, or `max`
        return None
    pairs = (line.split() for line in _lines(folder / "memory.stat"))
    files = sum(int(pair[1]) for pair in pairs if len(pair) == 2 and pair[0] in droppable)
    return limit, max(used - files, 0)


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text().splitlines()
    except OSError:
        return []
