"""How many threads the engine should compute with now, by what others do with the same cores.

The threads of a step wait for each other some thousand times; one that has to share its core makes all the others
wait for it, so one thread less is faster than one too many. What the others used is what the cores did less what
this process did: known after a quarter of a second, whoever they are. How fast a step is, is not known here.
"""

import math
import os
import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

LOOK_SECONDS = 0.25  # the system counts in hundredths of a second: a shorter look sees too little
CALM_SECONDS = 1.5  # for so long a core must have been free before a thread returns to it

_FULL = 0.95  # of the cores: a machine that is busier has none to give
_LEAST_OWN = 0.01  # cores: keeps a process that got nothing from dividing by it

_CGROUPS = Path("/sys/fs/cgroup")
_OWN_CGROUP = Path("/proc/self/cgroup")
# Linux counts what a guest used a second time; the other two are no use of a core.
_NOT_BUSY = ("idle", "iowait", "guest", "guest_nice")


@dataclass(frozen=True, slots=True)
class Sample:
    """Counters at one moment, all in seconds."""

    at: float  # of a monotonic clock
    busy: float  # CPU time that all processes used on the cores that this one may use
    own: float  # CPU time that this process used


def others_between(before: Sample, after: Sample) -> float:
    """Cores' worth of CPU that other processes used between two samples."""
    used = (after.busy - before.busy) - (after.own - before.own)
    return max(used / (after.at - before.at), 0.0)


def others_wanted(before: Sample, after: Sample, cores: int, threads: int) -> float:
    """Cores' worth of CPU that others would have used, had this process and its `threads` not been there.

    Where all cores are busy and this process got less than its threads could take, everybody was cut short alike,
    and the others wanted that much more: without this, three neighbours on four cores look like two and a half,
    and two threads stay where one has room.
    """
    others = others_between(before, after)
    own = (after.own - before.own) / (after.at - before.at)
    if others + own > _FULL * cores and own < threads:
        others *= threads / max(own, _LEAST_OWN)
    return others


def wanted_threads(cores: int, most: int, others: Iterable[float]) -> int:
    """Threads for the cores that the others leave, 1 to `most`.

    `others` are the last looks: it takes one to give a core up, and all of them to take it back, or else the
    count would follow every twitch. A core counts as taken from the half of it.
    """
    free = math.floor(cores - min(max(others, default=0.0), cores) + 0.5)
    return max(1, min(free, most))


def usable_cores(own_cgroup: Path = _OWN_CGROUP, cgroups: Path = _CGROUPS) -> int:
    """Cores that this process may use: its affinity, and the quota of its control groups where there is one."""
    quota = _quota(own_cgroup, cgroups)
    cores = len(own_cores())
    return cores if quota >= cores else max(1, round(quota))


class Threads:
    """The number of threads for the next step; not more than `most`, which the user or `tune` chose."""

    def __init__(self, most: int) -> None:
        self._cores = own_cores()
        self._most = min(most, usable_cores())
        self._threads = self._most
        self._last = take_sample(self._cores, time.monotonic())
        self._looks: deque[tuple[float, float]] = deque()  # when, and cores' worth of others

    def look(self, now: float) -> int:
        """Threads to compute with; `now` is of `time.monotonic`. It looks at most four times a second."""
        if now - self._last.at >= LOOK_SECONDS:
            sample = take_sample(self._cores, now)
            others = others_wanted(self._last, sample, len(self._cores), self._threads)
            self._looks.append((now, others))
            self._last = sample
            while self._looks[0][0] < now - CALM_SECONDS:
                self._looks.popleft()
            self._threads = wanted_threads(len(self._cores), self._most, (wanted for _, wanted in self._looks))
        return self._threads


def take_sample(cores: Sequence[int], now: float) -> Sample:
    """What was used of these cores until `now`, of `time.monotonic`."""
    times = psutil.cpu_times(percpu=True)
    busy = sum(
        seconds
        for core in cores
        if core < len(times)
        for name, seconds in times[core]._asdict().items()
        if name not in _NOT_BUSY
    )
    return Sample(at=now, busy=busy, own=time.process_time())


def own_cores() -> list[int]:
    """The numbers of the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def _quota(own_cgroup: Path, cgroups: Path) -> float:
    """Cores that the control groups around this process grant, infinite without a quota."""
    quota = math.inf
    try:
        # The second hierarchy has the number 0: "0::/user.slice/agentd.service".
        lines = own_cgroup.read_text().splitlines()
    except OSError:
        return quota
    for group in (line[3:] for line in lines if line.startswith("0::")):
        inner = cgroups / group.lstrip("/")
        for folder in (inner, *inner.parents):
            if folder.is_relative_to(cgroups):
                quota = min(quota, _read_quota(folder / "cpu.max"))
    return quota


def _read_quota(file: Path) -> float:
    """Cores of one "MICROSECONDS PERIOD" or "max PERIOD"; the root has no such file."""
    try:
        granted, period = file.read_text().split()
        return math.inf if granted == "max" else int(granted) / int(period)
    except (OSError, ValueError):
        return math.inf
