"""How many folders the system lets this user watch (inotify(7)), against how many agentd is to watch.

What other programs of the same user take counts against the same limits.
"""

import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from agentd.doctor.diagnosis import Diagnosis, error, ok, warning
from agentd.doctor.home import Home
from agentd.triggers.hints import network_type

LIMITS = Path("/proc/sys/fs/inotify")
PROC = Path("/proc")
_NEAR = 0.8  # of a limit
_COUNT_SECONDS = 10.0  # for which folders are counted
_FILE = "/etc/sysctl.d/60-agentd.conf"


@dataclass(frozen=True, slots=True)
class Use:
    """Of one kind of thing, how many there may be, are, and are wanted."""

    name: str  # of the limit
    limit: int
    others: int  # taken by other programs
    wanted: int  # by agentd


def check_inotify(home: Home) -> Iterator[Diagnosis]:
    """Whether every watched folder can be watched."""
    watches = [watch for watch in home.usable.watch if watch.path.is_dir() and watch.poll == "auto"]
    watches = [watch for watch in watches if network_type(watch.path) is None]
    if sys.platform != "linux" or not LIMITS.is_dir():
        yield ok("inotify", "not how this system tells of changes")
        return
    deadline = time.monotonic() + _COUNT_SECONDS
    folders = sum(count_folders(watch.path, deadline) if watch.recursive else 1 for watch in watches)
    counted = time.monotonic() < deadline
    instances, used = taken(home.pid)
    yield from judge(Use("max_user_watches", _limit("max_user_watches"), used, folders), counted=counted)
    yield from judge(Use("max_user_instances", _limit("max_user_instances"), instances, len(watches)))


def judge(use: Use, *, counted: bool = True) -> Iterator[Diagnosis]:
    """Whether it is enough; pure."""
    least = "" if counted else "at least "
    need = use.others + use.wanted
    told = f"{least}{use.wanted:,} wanted, {use.others:,} taken by other programs, of {use.limit:,}"
    if need <= use.limit * _NEAR and counted:
        yield ok(use.name, told)
        return
    raised = max(use.limit, 1)
    while raised * _NEAR < need * 2:
        raised *= 2
    line = f"fs.inotify.{use.name}={raised}"
    hint = f"echo {line} | sudo tee -a {_FILE} && sudo sysctl --system"
    if need > use.limit:
        yield error(use.name, f"{told}: some folders are only looked at once an hour", hint)
    else:
        yield warning(use.name, told, hint)


def count_folders(root: Path, deadline: float) -> int:
    """Folders from `root` down, links not followed; fewer where the deadline (`time.monotonic`) comes first."""
    count, left = 0, [os.fspath(root)]
    while left and time.monotonic() < deadline:
        folder = left.pop()
        count += 1
        try:
            with os.scandir(folder) as entries:
                left += [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
        except OSError:
            continue  # one that cannot be listed is one that is not watched below
    return count


def taken(besides: int | None) -> tuple[int, int]:
    """Instances and watches that programs of this user have, those of the process `besides` left out."""
    instances = watches = 0
    for process in PROC.glob("[0-9]*"):
        if process.name != str(besides):
            more, folders = held_by(process)
            instances, watches = instances + more, watches + folders
    return instances, watches


def held_by(process: Path) -> tuple[int, int]:
    """Instances and watches of one process of this user, by its folder in /proc; none of one that is another's."""
    instances = watches = 0
    try:
        descriptors = list((process / "fd").iterdir()) if process.stat().st_uid == os.getuid() else []
    except OSError:
        return 0, 0  # it has ended, or is not ours to look at
    for descriptor in descriptors:
        try:
            if descriptor.readlink().name != "anon_inode:inotify":
                continue
            told = (process / "fdinfo" / descriptor.name).read_text()
        except OSError:
            continue  # it was closed since
        instances += 1
        watches += sum(line.startswith("inotify ") for line in told.splitlines())
    return instances, watches


def _limit(name: str) -> int:
    return int((LIMITS / name).read_text())
