"""Look at a database without changing a byte of it: what `agentd doctor` asks about the file.

A database that nobody has open is read as a file that cannot change, since even a reader would make SQLite's
helper files beside it. One that somebody has open, or that was left by a crash, is read like any other: its WAL
counts, and SQLite's scratch memory beside it is there already.
"""

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlite_utils import Database

from agentd.errors import StoreError
from agentd.store.database import explain, later_steps, pending_steps
from agentd.store.migrations import migrations

WAL_FIXED = (3, 51, 3)  # sqlite.org/wal.html#walresetbug
_TOLD = 3  # damages that are named
_STEPS = 100_000  # of SQLite's virtual machine between two looks at the clock


@dataclass(frozen=True, slots=True)
class Inspection:
    """What a database is like."""

    size: int  # bytes
    schema: str  # its newest step; empty where it has none
    later: tuple[str, ...]  # steps that a later agentd made
    pending: tuple[str, ...]  # steps that it lacks
    damage: tuple[str, ...]  # what SQLite finds wrong with it
    dangling: int  # rows that name another one which is not there
    unfinished: bool  # the look took too long, so that there may be damage that was not found


def sqlite_version() -> tuple[int, int, int]:
    """Of the SQLite that this Python has."""
    return sqlite3.sqlite_version_info[0], sqlite3.sqlite_version_info[1], sqlite3.sqlite_version_info[2]


@contextlib.contextmanager
def reading(path: Path) -> Iterator[Database]:
    """The database, to be read alone; raises `StoreError`."""
    wal, shared = path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")
    quiet = not shared.exists() and not (wal.exists() and wal.stat().st_size)
    uri = f"{path.absolute().as_uri()}?mode=ro{'&immutable=1' if quiet else ''}"
    try:
        connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=1.0)
    except sqlite3.Error as broken:
        raise explain(broken, path) from broken
    try:
        yield Database(connection)
    except sqlite3.Error as broken:
        raise explain(broken, path) from broken
    finally:
        connection.close()


def inspect(path: Path, seconds: float) -> Inspection:
    """Look at the database for at most so long; raises `StoreError` where it is none, or cannot be read."""
    before = path.stat()
    found = _inspect(path, seconds)
    if found.damage and path.stat() != before:
        # Somebody opened it meanwhile and wrote: what was read was no one state of it.
        found = _inspect(path, seconds)
    return found


def _inspect(path: Path, seconds: float) -> Inspection:
    with reading(path) as db:
        applied = [step.name for step in migrations.applied(db)]
        if not applied and next(iter(db.query("SELECT 1 FROM sqlite_master LIMIT 1")), None):
            raise StoreError(f"{path} is a database, but not agentd's", hint=f"ls -l '{path}'")
        pending = tuple(pending_steps(db))
        damage, dangling, unfinished = list[str](), 0, False
        deadline = time.monotonic() + seconds
        db.conn.set_progress_handler(lambda: time.monotonic() > deadline, _STEPS)
        try:
            told = [row["quick_check"] for row in db.query(f"PRAGMA quick_check({_TOLD})")]
            damage = [line for line in told if line != "ok"]
            dangling = sum(1 for _ in db.query("PRAGMA foreign_key_check"))
        except sqlite3.DatabaseError as stopped:
            if stopped.sqlite_errorcode & 0xFF == sqlite3.SQLITE_CORRUPT:
                damage.append(str(stopped))  # so bad that it cannot even be told
            elif stopped.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
                unfinished = True
            else:
                raise
        finally:
            db.conn.set_progress_handler(None, 0)
        later = tuple(later_steps(db))
    size = path.stat().st_size
    schema = applied[-1] if applied else ""
    return Inspection(size, schema, later, pending, tuple(damage), dangling, unfinished)
