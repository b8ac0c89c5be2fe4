"""The database: whether this SQLite is a good one, and whether the file is whole and of this agentd's schema."""

import shlex
import stat
from collections.abc import Iterator

from agentd.doctor.diagnosis import Diagnosis, error, ok, warning
from agentd.doctor.home import Home
from agentd.errors import StoreError
from agentd.store.backup import backups, daily_backups
from agentd.store.inspect import WAL_FIXED, inspect, sqlite_version

_SECONDS = 30.0  # for the look at a large one


def check_sqlite(home: Home) -> Iterator[Diagnosis]:
    """The version of SQLite that this Python brings."""
    version = ".".join(map(str, sqlite_version()))
    fixed = ".".join(map(str, WAL_FIXED))
    if sqlite_version() >= WAL_FIXED:
        yield ok("SQLite", version)
        return
    told = (
        f"{version}, where two programs that write to a database at the same moment can, very rarely, damage it "
        f"(mended in {fixed}); agentd has one writer, so let nothing else write to {home.paths.database.name}"
    )
    yield warning("SQLite", told, f"install agentd with a Python whose SQLite is {fixed} or newer")


def check_database(home: Home) -> Iterator[Diagnosis]:
    """The file itself."""
    path = home.paths.database
    if not path.exists():
        yield ok("database", "is made at the first start")
        return
    quoted, copies, days = shlex.quote(str(path)), backups(path), daily_backups(path)
    kept = f"; the newest copy is {[*days, *copies][0]}" if days or copies else ""
    try:
        found = inspect(path, _SECONDS)
    except StoreError as broken:
        yield error("database", f"{broken.message}{kept}", broken.hint)
        return
    if found.damage:
        told = f"{path} is damaged: {'; '.join(found.damage)}{kept}"
        yield error("database", told, f"agentd stop; sqlite3 {quoted} .recover | sqlite3 {quoted}.recovered")
    if found.dangling:
        told = f"rows that name another one which is not there: {found.dangling:,}"
        yield error("database", told, f"sqlite3 -readonly {quoted} 'PRAGMA foreign_key_check'")
    if found.unfinished:
        told = f"is large, and was not looked at to its end in {_SECONDS:g} s"
        yield warning("database", told, f"sqlite3 -readonly {quoted} 'PRAGMA integrity_check'")
    if others := stat.S_IMODE(path.stat().st_mode) & 0o077:
        told = f"others may read what was read (mode {0o600 | others:04o}, not 0600)"
        yield warning("database", told, f"chmod 600 {quoted}")
    if not found.damage and not found.dangling and not found.unfinished:
        yield ok("database", f"{path}: {found.size / 1024**2:,.1f} MiB, whole")
    if days:
        yield ok("backup", f"{len(days)} daily, the newest {days[0]}")
    if found.later:
        kept = f", or go back to the copy from before it: {copies[0]}" if copies else ""
        told = f"was written by a later agentd (it has {', '.join(found.later)}): install that again{kept}"
        yield error("schema", told, "agentd --version")
    elif found.pending:
        told = f"is of an earlier agentd ({found.schema[:4]}), and is brought up to date with a copy of it first"
        yield warning("schema", told, "agentd restart")
    else:
        yield ok("schema", found.schema)
