"""A copy of the database as it was before it is brought up to date: the way back, should the new agentd not do.

The copy stands alone (no WAL beside it), is for this user only, and is checked and on the disk before the first
statement of a migration runs. What a schema holds is not known here.
"""

import contextlib
import os
import shutil
import sqlite3
from datetime import datetime
from pathlib import Path

from agentd.errors import StoreError

KEPT = 3  # copies, the newest
_ROOM = 16 * 1024**2  # bytes beside the copy itself, for what the migrations write
_NAME = "-schema-*.db"


def back_up(path: Path, schema: str, now: datetime) -> Path:
    """Copy the database at `path`, which has `schema`; return the copy's path. Whoever calls holds the write lock.

    Raises `StoreError` where there is no room, where the copy cannot be kept, and where the database is damaged;
    `sqlite3.Error` where it cannot be read.
    """
    copy = path.with_name(f"{path.stem}-schema-{schema}-{now:%Y%m%dT%H%M%SZ}.db")
    part = copy.with_name(f"{copy.name}.part")
    try:
        for left in path.parent.glob(f"{path.stem}{_NAME}.part*"):
            left.unlink()  # of an agentd that was killed here
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as source:
            _need_room(source, path)
            # Made by us first, so that nobody else may read it at any moment.
            os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            with contextlib.closing(sqlite3.connect(part, isolation_level=None)) as target:
                source.backup(target)
                target.execute("PRAGMA journal_mode = DELETE")
                told = [row[0] for row in target.execute("PRAGMA integrity_check(3)")]
        if told != ["ok"]:
            part.unlink()
            raise StoreError(
                f"the database {path} is damaged, and is not touched: {'; '.join(told)}", hint="agentd doctor"
            )
        _to_disk(part)
        part.rename(copy)
        _to_disk(path.parent)
    except OSError as broken:
        raise StoreError(
            f"no backup of the database could be made, so it is left as it is: {broken.strerror or broken}",
            hint=f"ls -ld '{path.parent}'",
        ) from broken
    return copy


def backups(path: Path) -> list[Path]:
    """The copies of the database at `path` that are there, the newest first."""
    return sorted(path.parent.glob(f"{path.stem}{_NAME}"), key=lambda copy: copy.stem[-16:], reverse=True)


def drop_old(path: Path) -> None:
    """Remove all copies but the newest KEPT."""
    for copy in backups(path)[KEPT:]:
        copy.unlink(missing_ok=True)


def _need_room(source: sqlite3.Connection, path: Path) -> None:
    (pages,), (size,) = (
        source.execute("PRAGMA page_count").fetchone(),
        source.execute("PRAGMA page_size").fetchone(),
    )
    need, free = pages * size + _ROOM, shutil.disk_usage(path.parent).free
    if free < need:
        raise StoreError(
            f"the database is backed up before it is brought up to date, which takes {need // 1024**2 + 1:,} MiB, "
            f"and {path.parent} has {free // 1024**2:,} MiB free; nothing was changed",
            hint=f"df -h '{path.parent}'",
        )


def _to_disk(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
