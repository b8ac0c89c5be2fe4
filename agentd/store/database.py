"""Open the database the one right way, and run operations on it: writes in one thread, reads beside them.

An operation is a function whose first parameter is a `Database`; it runs inside one transaction, so what it
does commits together. Operations live in the other modules of this room; none of them is known here.
"""

import asyncio
import contextlib
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from sqlite_utils import Database as Database  # for every operation's first parameter

from agentd.errors import NewerDatabase, StoreBusy, StoreError
from agentd.store.backup import back_up, back_up_day, backups, drop_old
from agentd.store.migrations import migrations

log = logging.getLogger("agentd.store")

# A lock from outside is waited for in short steps, so that the writing thread can always be asked to stop.
STEP_SECONDS = 1.0
BUSY_SECONDS = 60.0

P = ParamSpec("P")
T = TypeVar("T")
Operation = Callable[Concatenate[Database, P], T]


def connect(path: Path, *, read_only: bool = False) -> Database:
    """A connection with agentd's settings; raises `StoreError` for a file that is no database."""
    try:
        connection = sqlite3.connect(path, timeout=STEP_SECONDS, isolation_level=None, check_same_thread=False)
    except sqlite3.Error as broken:
        raise explain(broken, path) from broken
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        # FULL: a commit that was acknowledged survives a power cut.
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        if read_only:
            connection.execute("PRAGMA query_only = ON")
    except sqlite3.Error as broken:
        connection.close()
        raise explain(broken, path) from broken
    return Database(connection)


def migrate(db: Database, now: datetime | None = None) -> None:
    """Bring the schema up to date, with a backup first; `now` is the clock's where it is not given.

    Raises `NewerDatabase` for a database that a later agentd wrote, and `StoreError` where there can be no backup.
    """
    file = Path(next(row["file"] for row in db.query("PRAGMA database_list") if row["name"] == "main"))
    if unknown := later_steps(db):
        ours = sorted(_all_names())[-1]
        raise NewerDatabase(
            f"the database {file} was written by a later agentd (it has {', '.join(unknown)}, and this one knows "
            f"steps up to {ours}): install that version again, or set AGENTD_HOME to another folder"
            + "".join(f"; as it was before that, it is kept in {copy}" for copy in backups(file)[:1])
        )
    if not migrations.pending(db):
        return
    # One process migrates, any other that opens the same file waits and finds it done.
    copy = None
    try:
        with transaction(db):
            pending, before = migrations.pending(db), migrations.applied(db)
            if pending and before:
                copy = back_up(file, before[-1].name[:4], now or datetime.now(UTC))
            migrations.apply(db)
    except BaseException:
        # Nothing was changed, and the next try makes another.
        if copy:
            copy.unlink()
        raise
    if copy:
        drop_old(file)
        # A warning, so that whoever brings it up to date by typing a command is told, too.
        log.warning(
            "the database was brought up to date (%s); as it was before, it is kept in %s", pending[-1].name, copy
        )


def later_steps(db: Database) -> list[str]:
    """The steps of a database that this agentd does not know, since a later one wrote it."""
    return sorted({migration.name for migration in migrations.applied(db)} - _all_names())


def pending_steps(db: Database) -> list[str]:
    """The steps that a database lacks, since an earlier agentd wrote it."""
    return [migration.name for migration in migrations.pending(db)]


@contextlib.contextmanager
def transaction(db: Database) -> Iterator[None]:
    """A write transaction that takes its lock at once; a deferred one can fail half-way, whatever the timeout."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        # A commit that fails may leave the transaction open, and every later one would fail with it.
        if db.conn.in_transaction:
            db.execute("ROLLBACK")
        raise


def read_once(path: Path, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a reading operation on a database that is opened for it alone; raises `StoreError`."""
    db = connect(path, read_only=True)
    try:
        return operation(db, *args, **kwargs)
    except sqlite3.Error as broken:
        raise explain(broken, path) from broken
    finally:
        db.close()


class Store:
    """The database of one home, for asyncio. Close it when done."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.broken: StoreError | None = None  # why the last write failed; None where it did not
        self._stopping = threading.Event()
        self._db = self._retrying(lambda: connect(path))
        try:
            self._retrying(lambda: migrate(self._db))
        except BaseException:
            self._db.close()
            raise
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="store-writer")
        self._readers = ThreadPoolExecutor(2, thread_name_prefix="store-reader")
        self._reading = threading.local()
        self._opened: list[Database] = []

    def close(self) -> None:
        """Finish what is being written, then close every connection."""
        self._stopping.set()
        self._writer.shutdown()
        self._readers.shutdown()
        for db in [*self._opened, self._db]:
            db.close()

    async def write(self, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run an operation in a transaction of its own; raises `StoreBusy` or `StoreError`."""
        try:
            written = await self._submit(self._writer, lambda: self._write(operation, *args, **kwargs))
        except StoreError as broken:
            self.broken = broken
            raise
        self.broken = None
        return written

    async def read(self, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run an operation that only reads."""
        return await self._submit(self._readers, lambda: self._read(operation, *args, **kwargs))

    async def back_up(self, day: date, kept: int) -> Path | None:
        """Make the daily copy as `back_up_day` does, while others read and write; raises `StoreError`.

        It ends early when the store is closed.
        """
        try:
            return await asyncio.to_thread(back_up_day, self.path, day, kept, self._stopping.is_set)
        except sqlite3.Error as broken:
            raise explain(broken, self.path) from broken

    def _write(self, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        def attempt() -> T:
            with transaction(self._db):
                return operation(self._db, *args, **kwargs)

        return self._retrying(attempt)

    def _read(self, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        db = getattr(self._reading, "db", None)
        if db is None:
            db = self._reading.db = connect(self.path, read_only=True)
            self._opened.append(db)
        return self._retrying(lambda: operation(db, *args, **kwargs))

    async def _submit(self, pool: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(pool, work)

    def _retrying(self, attempt: Callable[[], T]) -> T:
        deadline = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                return attempt()
            except (sqlite3.Error, StoreBusy) as broken:
                told = broken if isinstance(broken, StoreBusy) else explain(broken, self.path)
                if not isinstance(told, StoreBusy) or self._stopping.is_set() or time.monotonic() > deadline:
                    raise told from broken


def _all_names() -> set[str]:
    fresh = Database(memory=True)
    try:
        return {migration.name for migration in migrations.pending(fresh)}
    finally:
        fresh.close()


def explain(broken: sqlite3.Error, path: Path) -> StoreError:
    """What SQLite said about the database at `path`, as one of our errors."""
    # The low byte is the primary code; the rest says which kind of it.
    code = (getattr(broken, "sqlite_errorcode", None) or 0) & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StoreBusy(f"another program holds the database {path}", hint="close the program that has it open")
    if code == sqlite3.SQLITE_FULL:
        return StoreError(f"no space left for the database {path}", hint=f"df -h {path.parent}")
    return StoreError(f"the database {path} failed: {broken}", hint=f"ls -l {path}")
