"""How much room is left on the file systems that agentd keeps its things on, and when that is too little.

Reading is one system call a folder, and blocks for as long as a network file system takes. What is done about a
full one is not decided here.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

# A disk is nearly full below so many bytes, or below this share of a small one.
LOW_BYTES = 512 * 1024**2
LOW_SHARE = 0.05
# With less than this nothing much can be written any more.
OUT_BYTES = 32 * 1024**2
OUT_SHARE = 0.005
LOW_FILES_SHARE = 0.01


@dataclass(frozen=True, slots=True)
class Disk:
    """One file system, and what of agentd lies on it."""

    path: Path  # the first of the folders
    holds: tuple[str, ...]  # what each of the folders is: "the database", "the watched folder ~/Notes"
    free: int  # bytes that this user may write
    total: int
    free_files: int  # inodes
    total_files: int  # 0 where the file system makes them as it needs them

    @property
    def low(self) -> bool:
        """Whether it is nearly full, of bytes or of inodes."""
        return self.free < min(LOW_BYTES, self.total * LOW_SHARE) or self.low_on_files

    @property
    def low_on_files(self) -> bool:
        """Whether it is nearly out of inodes."""
        return self.total_files > 0 and self.free_files < self.total_files * LOW_FILES_SHARE

    @property
    def out(self) -> bool:
        """Whether next to nothing can be written any more."""
        return self.free < min(OUT_BYTES, self.total * OUT_SHARE) or (
            self.total_files > 0 and self.free_files == 0
        )

    def told(self) -> str:
        """How much is left, and what is in want of it, in a sentence."""
        left = f"{self.free_files:,} files" if self.low_on_files else f"{self.free / 1024**2:,.0f} MiB"
        return f"the disk of {', '.join(self.holds)} has room for {left} only"


def read_disks(folders: Iterable[tuple[Path, str]]) -> list[Disk]:
    """The file systems of these folders, each once; `folders` gives what each of them is.

    A folder that is not there, or cannot be looked at, counts as the one above it.
    """
    found: dict[int, Disk] = {}
    for path, what in folders:
        there, device, told = next(look for folder in (path, *path.parents) if (look := _look(folder)))
        if known := found.get(device):
            found[device] = replace(known, holds=(*known.holds, what))
            continue
        free, total = told.f_bavail * told.f_frsize, told.f_blocks * told.f_frsize
        found[device] = Disk(there, (what,), free, total, told.f_favail, told.f_files)
    return list(found.values())


def _look(folder: Path) -> tuple[Path, int, os.statvfs_result] | None:
    try:
        return folder, folder.stat().st_dev, os.statvfs(folder)
    except OSError:
        return None
