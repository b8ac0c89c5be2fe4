"""Look at files without touching them: which belong to a watch, how they look, what is in them.

Everything here is plain blocking file access for a worker thread. Nothing is remembered and nothing decided.
"""

import hashlib
import os
import re
import shlex
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pathspec import GitIgnoreSpec

from agentd.errors import AgentdError, NotAFile, TooLarge, Unreadable
from agentd.records import Event, Priority, path_of, source_of
from agentd.store.positions import Stamp, Taken
from agentd.triggers.settings import WatchSettings

# What editors, browsers and sync programs leave beside a file while they work on it.
_TEMPORARY = re.compile(r"~\$.*|.*~|.*\.(swp|swx|tmp|temp|part|partial|crdownload)|#.*#|4913", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Sighting:
    """A file of the watch as it looks now."""

    source: str
    stamp: Stamp
    mode: int


class Selection:
    """Which paths below a folder belong to a watch."""

    def __init__(self, watch: WatchSettings) -> None:
        self._root = watch.path
        self._recursive = watch.recursive
        self._include = GitIgnoreSpec.from_lines(watch.include)
        self._exclude = GitIgnoreSpec.from_lines(watch.exclude)

    def takes_file(self, path: Path) -> bool:
        """Whether a file of this path belongs, by its name alone."""
        try:
            relative = path.relative_to(self._root)
        except ValueError:
            return False
        parts = relative.parts
        if not parts or (len(parts) > 1 and not self._recursive):
            return False
        if any(part.startswith(".") for part in parts) or _TEMPORARY.fullmatch(relative.name):
            return False
        name = _one_line(relative)
        return self._include.match_file(name) and not self._exclude.match_file(name)

    def enters(self, folder: Path) -> bool:
        """Whether files below this folder can belong."""
        name = _one_line(folder.relative_to(self._root)) + "/"
        return self._recursive and not folder.name.startswith(".") and not self._exclude.match_file(name)

    def walk(self, unreadable: list[Path], start: Path | None = None) -> Iterator[Sighting]:
        """Every file that belongs, or those below `start`; folders that cannot be listed are put on `unreadable`.

        Raises `OSError` where the folder to start from cannot be listed.
        """
        start = start or self._root
        folders = [start]
        while folders:
            folder = folders.pop()
            try:
                entries = list(os.scandir(folder))
            except OSError:
                if folder == start:
                    raise
                unreadable.append(folder)
                continue
            for entry in entries:
                path = folder / entry.name
                if entry.is_dir(follow_symlinks=False):
                    if self.enters(path):
                        folders.append(path)
                elif self.takes_file(path) and (sighting := look(path)):
                    yield sighting


def look(path: Path) -> Sighting | None:
    """How a file looks now; None where there is none, or a folder or symbolic link stands there."""
    try:
        found = path.lstat()
    except OSError:
        return None
    if stat.S_ISDIR(found.st_mode) or stat.S_ISLNK(found.st_mode):
        return None
    return Sighting(source_of(path), _stamp(found), found.st_mode)


def inspect(sighting: Sighting, watch: WatchSettings, priority: Priority, *, wanted: bool) -> Taken | None:
    """Read a settled file and make its event; None where it changed again or vanished under our eyes.

    What can never become a document (a pipe, a file beyond `max_size` or without permission) becomes an event
    that carries the refusal.
    """
    stamp = sighting.stamp
    path = path_of(sighting.source)
    refusal: AgentdError | None = None
    if not stat.S_ISREG(sighting.mode):
        content = f"not-a-file:{stamp.inode}"
        refusal = NotAFile(f"{path} is a pipe, socket or device, not a file", hint=_list(path.parent))
    elif stamp.size > watch.max_size:
        content = f"too-large:{stamp.size}:{stamp.mtime_ns}"
        refusal = TooLarge(
            f"{path} has {stamp.size:,} bytes, the limit of this watch is {watch.max_size:,}",
            hint="raise max_size in the config, or exclude it",
        )
    else:
        try:
            digest = _digest(path, stamp)
        except FileNotFoundError:
            return None
        except OSError as broken:
            content = f"unreadable:{stamp.inode}:{stamp.mtime_ns}"
            refusal = Unreadable(f"cannot open {path}: {broken.strerror}", hint=_list(path))
        else:
            if digest is None:
                return None
            content = digest
    event = Event(watch.task, sighting.source, content, priority=priority, refusal=refusal, origin=watch.origin)
    return Taken(event, stamp, wanted)


def _digest(path: Path, expected: Stamp) -> str | None:
    # O_NONBLOCK: a pipe may have taken the file's place since it was looked at.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor, not a path
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return digest if _stamp(os.fstat(descriptor)) == expected else None


def _one_line(path: Path) -> str:
    # The regular expressions behind the patterns do not cross a line end, which a name may hold.
    return path.as_posix().replace("\n", " ")


def _list(path: Path) -> str:
    return f"ls -ld {shlex.quote(str(path))}"


def _stamp(found: os.stat_result) -> Stamp:
    return Stamp(found.st_ino, found.st_size, found.st_mtime_ns)
