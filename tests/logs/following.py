"""A follower with a caller that commits, and what happens to logs."""

import gzip
import os
import shutil
from pathlib import Path

from agentd.logs.chunk import Chunk
from agentd.logs.follow import FileFollower
from agentd.records import Mark


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Following:
    """A follower whose chunks are committed, as its caller does it; `restart` is a death and a new beginning."""

    def __init__(self, *patterns: object, **options: object) -> None:
        self.patterns = [str(pattern) for pattern in patterns]
        self.options = {"start": "beginning", "boundary": len} | options
        self.clock = Clock()
        self.committed: dict[tuple[int, int], Mark] = {}
        self.chunks: list[Chunk] = []
        self.follower = self._make(first_time=True)

    def _make(self, first_time: bool) -> FileFollower:
        marks = list(self.committed.values())
        return FileFollower(self.patterns, marks=marks, first_time=first_time, clock=self.clock, **self.options)

    def commit(self, chunk: Chunk) -> None:
        self.chunks.append(chunk)
        self.committed[chunk.mark.device, chunk.mark.inode] = chunk.mark

    def read(self, seconds: float = 1.0) -> bytes:
        """What one poll brings, after some time."""
        self.clock.now += seconds
        read = []
        for chunk in self.follower.poll():
            self.commit(chunk)
            read.append(chunk.data)
        for mark in self.follower.take_gone():
            self.committed.pop((mark.device, mark.inode), None)
        return b"".join(read)

    def restart(self) -> None:
        self.follower.close()
        self.follower = self._make(first_time=False)

    def die_after(self, chunks: int) -> bytes:
        """A poll in which only so many chunks are committed, and a restart."""
        self.clock.now += 1
        read = []
        for number, chunk in enumerate(self.follower.poll()):
            if number == chunks:
                break
            self.commit(chunk)
            read.append(chunk.data)
        self.restart()
        return b"".join(read)


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def rotate(log: Path) -> None:
    """As logrotate does it: app.log.1 becomes app.log.2, and app.log becomes app.log.1."""
    make_room(log)
    log.rename(log.with_name(f"{log.name}.1"))


def make_room(log: Path) -> None:
    for turn in range(20, 0, -1):
        for ending in ("", ".gz"):
            old = log.with_name(f"{log.name}.{turn}{ending}")
            if old.exists():
                old.rename(log.with_name(f"{log.name}.{turn + 1}{ending}"))


def copytruncate(log: Path) -> None:
    make_room(log)
    shutil.copy(log, log.with_name(f"{log.name}.1"))
    os.truncate(log, 0)


def compress(path: Path) -> Path:
    packed = path.with_name(path.name + ".gz")
    status = path.stat()
    packed.write_bytes(gzip.compress(path.read_bytes()))
    os.utime(packed, ns=(status.st_atime_ns, status.st_mtime_ns))
    path.unlink()
    return packed
