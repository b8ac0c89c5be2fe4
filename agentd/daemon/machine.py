"""What the machine is like now: power, load, the network, NVIDIA GPUs. Only what is asked for is read.

What cannot be found out is None. Whether work may be done with these facts, `conditions.judge` decides.
"""

import contextlib
import errno
import importlib
import math
import socket
import statistics
import sys
import time
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

import psutil

from agentd.conditions import Machine
from agentd.daemon.idle import idle_seconds

POWER = Path("/sys/class/power_supply")
LOAD_SECONDS = 60.0  # over which the system damps its load average
# A desktop draws with some hundred MiB, a game or a video with more.
DRAWS_MUCH = 1024**3

# Addresses for documentation (RFC 5737, RFC 3849): asking for the way there sends nothing.
_FAR_AWAY = ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"))
_NO_WAY = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL, errno.ENETDOWN)


class MachineReader:
    """Reads the facts that keys of `When` are about. `nvml` stands in for the library of NVIDIA's driver."""

    def __init__(self, nvml: Any = None) -> None:
        self._gpus = Gpus(nvml)
        self._own = OwnLoad()

    def read(self, asked: Collection[str]) -> Machine:
        """The facts behind these keys. Slow enough for a thread: it may start programs."""
        own = _own_processes() if {"load_below", "gpu_free"} & set(asked) else []
        on_ac, battery = read_power() if {"on_ac", "battery_above"} & set(asked) else (None, None)
        users, free = self._gpus.read({one.pid for one in own}) if "gpu_free" in asked else (None, None)
        return Machine(
            on_ac=on_ac,
            battery=battery,
            idle_seconds=idle_seconds(time.time()) if "idle_for" in asked else None,
            load=self._load(own) if "load_below" in asked else None,
            gpu_users=users,
            gpu_free=free,
            network=has_way_out() if "network" in asked else None,
        )

    def _load(self, own: Iterable[psutil.Process]) -> float:
        return max(psutil.getloadavg()[0] - self._own.look(_cpu_seconds(own), time.monotonic()), 0.0)


class OwnLoad:
    """The share of the load average that is ours: without this, work would hold itself back."""

    def __init__(self) -> None:
        self.value = 0.0
        self._seen: dict[tuple[int, float], float] = {}
        self._at: float | None = None

    def look(self, used: dict[tuple[int, float], float], now: float) -> float:
        """Take in CPU seconds by process, damped over a minute as the system does it."""
        if self._at is not None and now > self._at:
            spent = sum(max(seconds - self._seen.get(process, 0.0), 0.0) for process, seconds in used.items())
            kept = math.exp((self._at - now) / LOAD_SECONDS)
            self.value = self.value * kept + spent / (now - self._at) * (1 - kept)
        self._seen, self._at = used, now
        return self.value


class Gpus:
    """NVIDIA's GPUs, asked through the library of their driver, which is loaded when it is first needed."""

    def __init__(self, nvml: Any = None) -> None:
        self._nvml = nvml
        self._open = False

    def read(self, own: Collection[int]) -> tuple[tuple[str, ...] | None, int | None]:
        """Programs other than `own` that use a GPU, and the free bytes of the GPU that has most."""
        nvml = self._nvml = self._nvml or importlib.import_module("pynvml")
        try:
            if not self._open:
                nvml.nvmlInit()  # no driver, no GPU: the usual case
                self._open = True
            devices = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]
            free = [int(nvml.nvmlDeviceGetMemoryInfo(device).free) for device in devices]
            found = {
                pid
                for device in devices
                for pid in _computing(nvml, device) | _drawing(nvml, device)
                if pid not in own
            }
        except nvml.NVMLError:
            # The driver may have been replaced: the next look opens it anew.
            if self._open:
                with contextlib.suppress(nvml.NVMLError):
                    nvml.nvmlShutdown()
            self._open = False
            return None, None
        named = sorted(name for pid in found if (name := _named(pid)))
        return tuple(named), max(free, default=None)


def read_power(folder: Path = POWER) -> tuple[bool | None, float | None]:
    """Whether the machine is on mains power, and the percent of its battery; (True, None) without a battery."""
    if sys.platform != "linux":
        found = psutil.sensors_battery()
        return (True, None) if found is None else (found.power_plugged, found.percent)
    supplies = sorted(folder.iterdir()) if folder.is_dir() else []
    # The battery of a mouse or a headset is none of the machine's.
    batteries = [one for one in supplies if _text(one / "type") == "Battery" and _text(one / "scope") != "Device"]
    if not batteries:
        return True, None
    plugs = [_text(one / "online") for one in supplies if _text(one / "type") in ("Mains", "USB")]
    on_ac = "1" in plugs if plugs else all(_text(one / "status") != "Discharging" for one in batteries)
    charges = [float(text) for one in batteries if (text := _text(one / "capacity"))]
    return on_ac, statistics.mean(charges) if charges else None


def has_way_out() -> bool | None:
    """Whether there is a route to far away; None where that cannot be asked."""
    answers = [_route(family, address) for family, address in _FAR_AWAY]
    return True if True in answers else False if False in answers else None


def _route(family: socket.AddressFamily, address: str) -> bool | None:
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((address, 9))
    except OSError as refused:
        return False if refused.errno in _NO_WAY else None
    return True


def _own_processes() -> list[psutil.Process]:
    me = psutil.Process()
    return [me, *me.children(recursive=True)]


def _cpu_seconds(processes: Iterable[psutil.Process]) -> dict[tuple[int, float], float]:
    used = {}
    for process in processes:
        with contextlib.suppress(psutil.Error):  # it has ended meanwhile
            times = process.cpu_times()
            used[process.pid, process.create_time()] = times.user + times.system
    return used


def _computing(nvml: Any, device: Any) -> set[int]:
    return {one.pid for one in nvml.nvmlDeviceGetComputeRunningProcesses(device)}


def _drawing(nvml: Any, device: Any) -> set[int]:
    found = nvml.nvmlDeviceGetGraphicsRunningProcesses(device)
    return {one.pid for one in found if (one.usedGpuMemory or 0) >= DRAWS_MUCH}


def _named(pid: int) -> str:
    """A process for people; empty where there is none: in a container, the driver tells of those outside."""
    try:
        return f"{psutil.Process(pid).name()} (pid {pid})"
    except psutil.NoSuchProcess:
        return ""


def _text(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:
        return ""
