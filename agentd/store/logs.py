"""Logs: where reading stands, the patterns that were found, and how often each came when.

`apply` commits what was learned from one piece of a log: marks, patterns, counts and findings together, so that
a piece counts once however the process ends. What a pattern is and what deserves a look, the logs' room knows.
"""

from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass
from datetime import datetime
from typing import Any

from sqlite_utils import Database

from agentd.errors import NotFound
from agentd.records import Mark, timestamp
from agentd.store.findings import FindingRow, Triage, admit, follow_merged, put_findings

BUCKET = 10  # minutes
_KEPT_BUCKETS = 90 * 24 * 60  # minutes before the newest: so long how often a pattern came is known by bucket
_DAY = 24 * 60


@dataclass(frozen=True, slots=True)
class PatternRow:
    """A pattern as it is stored. Times are by the log, as `records.timestamp` writes them."""

    id: int
    source: str
    pattern: str
    level: str
    severity: str
    score: int
    count: int
    days: int
    first: str | None
    last: str | None
    profile: str  # JSON


@dataclass(frozen=True, slots=True)
class Delta:
    """What was learned from one piece of a log."""

    source: str
    state: str  # JSON
    cursor: str
    next_id: int
    lines: int  # of the whole log so far
    marks: tuple[Mark, ...] = ()
    gone: tuple[Mark, ...] = ()  # marks of what nobody can read any more
    patterns: tuple[PatternRow, ...] = ()  # those that changed
    buckets: tuple[tuple[int, int, int], ...] = ()  # pattern, bucket, and how often more
    merged: tuple[tuple[int, int], ...] = ()  # (pattern that is gone, pattern it is now)
    dropped: tuple[int, ...] = ()
    findings: tuple[FindingRow, ...] = ()

    def to_wire(self) -> dict[str, Any]:
        """As it crosses the socket of the child that follows logs."""
        return asdict(self)

    @classmethod
    def from_wire(cls, wire: dict[str, Any]) -> "Delta":
        """What `to_wire` made."""
        rows = {
            "marks": tuple(Mark(**mark) for mark in wire["marks"]),
            "gone": tuple(Mark(**mark) for mark in wire["gone"]),
            "patterns": tuple(PatternRow(**row) for row in wire["patterns"]),
            "buckets": tuple((pattern, bucket, count) for pattern, bucket, count in wire["buckets"]),
            "merged": tuple((gone, kept) for gone, kept in wire["merged"]),
            "dropped": tuple(wire["dropped"]),
            "findings": tuple(FindingRow(**row) for row in wire["findings"]),
        }
        return cls(**wire | rows)


@dataclass(frozen=True, slots=True)
class Saved:
    """What is known of one log; the marks of the oldest files first."""

    state: str
    cursor: str
    marks: tuple[Mark, ...]
    patterns: tuple[PatternRow, ...]


def apply(db: Database, delta: Delta, now: datetime) -> None:
    """Keep what was learned from one piece of a log."""
    connection = db.conn
    connection.execute(
        "INSERT INTO log_sources VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (source) DO UPDATE SET "
        "state = excluded.state, cursor = excluded.cursor, next_id = excluded.next_id, lines = excluded.lines, "
        "updated = excluded.updated",
        [delta.source, delta.state, delta.cursor, delta.next_id, delta.lines, timestamp(now)],
    )
    connection.executemany(
        "INSERT INTO log_marks (source, device, inode, path, offset, crc) VALUES (?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (source, device, inode) DO UPDATE SET path = excluded.path, offset = excluded.offset, "
        "crc = excluded.crc",
        [
            (delta.source, str(mark.device), str(mark.inode), mark.path, mark.offset, mark.crc)
            for mark in delta.marks
        ],
    )
    connection.executemany(
        "DELETE FROM log_marks WHERE source = ? AND device = ? AND inode = ?",
        [(delta.source, str(mark.device), str(mark.inode)) for mark in delta.gone],
    )
    connection.executemany(
        "INSERT OR REPLACE INTO log_patterns VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [astuple(row) for row in delta.patterns],
    )
    connection.executemany(
        "INSERT INTO log_buckets VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET count = count + excluded.count",
        delta.buckets,
    )
    for gone, kept in delta.merged:
        _merge(db, gone, kept)
    for table, column in (("log_patterns", "id"), ("log_buckets", "pattern")):
        connection.executemany(f"DELETE FROM {table} WHERE {column} = ?", [(gone,) for gone in delta.dropped])
    _forget_old_buckets(db, delta.buckets)
    put_findings(db, delta.findings, now)


def commit(db: Database, delta: Delta, triage: Triage | None, now: datetime) -> list[int]:
    """Keep what was learned with the jobs that it causes; the ids of those."""
    apply(db, delta, now)
    return admit(db, delta.source, triage, now) if triage else []


def load(db: Database, source: str) -> Saved | None:
    """What is known of a log; None for one that was never read."""
    row = next(iter(db.query("SELECT state, cursor FROM log_sources WHERE source = ?", [source])), None)
    if row is None:
        return None
    marks = db.query(
        "SELECT path, device, inode, offset, crc FROM log_marks WHERE source = ? ORDER BY id", [source]
    )
    patterns = db.query("SELECT * FROM log_patterns WHERE source = ? ORDER BY id", [source])
    return Saved(
        row["state"],
        row["cursor"],
        tuple(Mark(**mark | {"device": int(mark["device"]), "inode": int(mark["inode"])}) for mark in marks),
        tuple(PatternRow(**pattern) for pattern in patterns),
    )


def next_pattern_id(db: Database) -> int:
    """The first id that no pattern ever had."""
    return int(next(iter(db.query("SELECT coalesce(max(next_id), 1) AS id FROM log_sources")))["id"])


def find_patterns(
    db: Database,
    *,
    source: str | None = None,
    since: datetime | None = None,
    severities: Sequence[str] = (),
    limit: int = 50,
) -> list[PatternRow]:
    """Patterns that match every filter given, those that most deserve a look first."""
    tests, values = ["1"], list[Any]()
    if source is not None:
        tests, values = [*tests, "source = ?"], [*values, source]
    if since is not None:
        tests, values = [*tests, "last >= ?"], [*values, timestamp(since)]
    if severities:
        tests, values = [*tests, f"severity IN ({', '.join('?' * len(severities))})"], [*values, *severities]
    sql = f"SELECT * FROM log_patterns WHERE {' AND '.join(tests)} ORDER BY score DESC, count DESC, id LIMIT ?"
    return [PatternRow(**row) for row in db.query(sql, [*values, limit])]


def get_pattern(db: Database, pattern_id: int) -> PatternRow:
    """One pattern, or the one that it became part of; raises `NotFound`."""
    sql = "SELECT * FROM log_patterns WHERE id = ?"
    for row in db.query(sql, [kept_of(db, pattern_id)]):
        return PatternRow(**row)
    raise NotFound(f"there is no pattern {pattern_id}", hint="agentd logs patterns")


def kept_of(db: Database, pattern_id: int) -> int:
    """The id that a pattern has now."""
    while rows := list(db.query("SELECT kept FROM log_merged WHERE gone = ?", [pattern_id])):
        pattern_id = rows[0]["kept"]
    return pattern_id


def counts_since(db: Database, pattern_ids: Sequence[int], minute: int) -> dict[int, dict[int, int]]:
    """How often patterns came since a minute (counted from 1970), by pattern and bucket."""
    marks = ", ".join("?" * len(pattern_ids))
    rows = db.query(
        f"SELECT pattern, bucket, count FROM log_buckets WHERE pattern IN ({marks}) AND bucket >= ? "
        "ORDER BY bucket",
        [*pattern_ids, minute - minute % BUCKET],
    )
    found: dict[int, dict[int, int]] = {}
    for row in rows:
        found.setdefault(row["pattern"], {})[row["bucket"]] = row["count"]
    return found


def log_sources(db: Database) -> list[tuple[str, int, str]]:
    """Every log that was read, how many lines of it, and when the last."""
    rows = db.query("SELECT source, lines, updated FROM log_sources ORDER BY source")
    return [(row["source"], row["lines"], row["updated"]) for row in rows]


def _merge(db: Database, gone: int, kept: int) -> None:
    db.execute("INSERT OR REPLACE INTO log_merged VALUES (?, ?)", [gone, kept])
    db.execute(
        "INSERT INTO log_buckets SELECT ?, bucket, count FROM log_buckets WHERE pattern = ? "
        "ON CONFLICT DO UPDATE SET count = count + excluded.count",
        [kept, gone],
    )
    db.execute("DELETE FROM log_buckets WHERE pattern = ?", [gone])
    db.execute("DELETE FROM log_patterns WHERE id = ?", [gone])
    follow_merged(db, gone, kept)


def _forget_old_buckets(db: Database, added: Sequence[tuple[int, int, int]]) -> None:
    """Once a day of the log, or a little more often."""
    if added and any(bucket % _DAY == 0 for _, bucket, _ in added):
        newest = max(bucket for _, bucket, _ in added)
        db.execute("DELETE FROM log_buckets WHERE bucket < ?", [newest - _KEPT_BUCKETS])
