"""Copies of the database: one from before each migration, the way back should a new agentd not do, and one a day.

A copy stands alone (no WAL beside it), is for this user only, and has its name once it is checked and on the disk.
When one is due is not known here, nor what a schema holds.
"""

import contextlib
import os
import shlex
import shutil
import sqlite3
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path

from agentd.errors import StoreError

KEPT = 3  # copies from before migrations, the newest
_ROOM = 16 * 1024**2  # bytes beside the copy itself, for what the migrations write
# What a daily copy leaves free, in bytes or of a small disk: it must not be what fills it.
_SPARE, _SPARE_SHARE = 1024**3, 0.1
# How often to look whether it was given up: steps of SQLite's virtual machine, and pages that are copied.
_STEPS, _PAGES = 100_000, 1000
_OF_SCHEMA, _OF_DAY = "-schema-*.db", "-day-*.db"


def back_up(path: Path, schema: str, now: datetime) -> Path:
    """Copy the database at `path`, which has `schema`; return the copy's path. Whoever calls holds the write lock.

    Raises `StoreError` where there is no room, where the copy cannot be kept, and where the database is damaged;
    `sqlite3.Error` where it cannot be read.
    """
    copy = path.with_name(f"{path.stem}-schema-{schema}-{now:%Y%m%dT%H%M%SZ}.db")
    _copy(path, copy, _OF_SCHEMA, _ROOM, "it is left as it is", lambda: False)
    return copy


def back_up_day(path: Path, day: date, kept: int, given_up: Callable[[], bool]) -> Path | None:
    """Copy the database at `path`, unless there is a copy of that day; keep the `kept` newest daily ones.

    Returns the path of a copy that was made. Raises as `back_up`, and `sqlite3.OperationalError` soon after
    `given_up` is true. Others may write meanwhile: the copy is of one moment.
    """
    copy = path.with_name(f"{path.stem}-day-{day:%Y%m%d}.db")
    if kept == 0 or copy.exists():
        return None
    spare = min(_SPARE, int(shutil.disk_usage(path.parent).total * _SPARE_SHARE))
    _copy(path, copy, _OF_DAY, spare, "there is none of today", given_up)
    for old in daily_backups(path)[kept:]:
        old.unlink(missing_ok=True)
    return copy


def backups(path: Path) -> list[Path]:
    """The copies from before migrations of the database at `path`, the newest first."""
    return sorted(path.parent.glob(f"{path.stem}{_OF_SCHEMA}"), key=lambda copy: copy.stem[-16:], reverse=True)


def daily_backups(path: Path) -> list[Path]:
    """The daily copies of the database at `path`, the newest first."""
    return sorted(path.parent.glob(f"{path.stem}{_OF_DAY}"), reverse=True)


def drop_old(path: Path) -> None:
    """Remove all copies from before migrations but the newest KEPT."""
    for copy in backups(path)[KEPT:]:
        copy.unlink(missing_ok=True)


def _copy(path: Path, copy: Path, kind: str, spare: int, otherwise: str, given_up: Callable[[], bool]) -> None:
    part = copy.with_name(f"{copy.name}.part")
    try:
        for left in path.parent.glob(f"{path.stem}{kind}.part*"):
            left.unlink()  # of an agentd that was killed here
        try:
            _fill(path, part, spare, otherwise, given_up)
            _to_disk(part)
            part.rename(copy)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        _to_disk(path.parent)
    except OSError as broken:
        raise StoreError(
            f"no backup of the database could be made, so {otherwise}: {broken.strerror or broken}",
            hint=f"ls -ld {shlex.quote(str(path.parent))}",
        ) from broken


def _fill(path: Path, part: Path, spare: int, otherwise: str, given_up: Callable[[], bool]) -> None:
    """Write the database to `part` and compare: a copy that is whole may still lack rows."""

    def heed(*progress: int) -> None:
        if given_up():
            raise sqlite3.OperationalError("interrupted")

    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as source:
        source.set_progress_handler(given_up, _STEPS)
        source.execute("BEGIN")  # one moment of the database, for the rows as for the copy
        rows = _count_rows(source)
        _need_room(source, path, spare, otherwise)
        # Made by us first, so that nobody else may read it at any moment.
        os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        with contextlib.closing(sqlite3.connect(part, isolation_level=None)) as target:
            source.backup(target, pages=_PAGES, progress=heed)
            source.execute("COMMIT")  # from here on the WAL may be moved into the database again
            target.set_progress_handler(given_up, _STEPS)
            target.execute("PRAGMA journal_mode = DELETE")
            told = [row[0] for row in target.execute("PRAGMA integrity_check(3)")]
            whole = told == ["ok"] and _count_rows(target) == rows
    if not whole:
        wrong = "a backup of it lacks rows" if told == ["ok"] else "; ".join(told)
        raise StoreError(f"the database {path} is damaged, and is not touched: {wrong}", hint="agentd doctor")


def _count_rows(connection: sqlite3.Connection) -> dict[str, int]:
    ordinary = "SELECT name FROM sqlite_schema WHERE type = 'table' AND sql NOT LIKE 'CREATE VIRTUAL %'"
    names = [name for (name,) in connection.execute(ordinary)]
    return {name: connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for name in names}


def _need_room(source: sqlite3.Connection, path: Path, spare: int, otherwise: str) -> None:
    (pages,), (size,) = (
        source.execute("PRAGMA page_count").fetchone(),
        source.execute("PRAGMA page_size").fetchone(),
    )
    need, free = pages * size + spare, shutil.disk_usage(path.parent).free
    if free < need:
        raise StoreError(
            f"a backup of the database takes {need // 1024**2 + 1:,} MiB of free space, "
            f"and {path.parent} has {free // 1024**2:,} MiB; {otherwise}",
            hint=f"df -h {shlex.quote(str(path.parent))}",
        )


def _to_disk(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
