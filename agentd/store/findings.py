"""Findings: what deserves a look in logs, one row each, and which of them a model is asked about.

Asking is by budget, the worst first; what was not asked about is known and waits. What a finding is, the logs'
room knows.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlite_utils import Database

from agentd.errors import NotFound
from agentd.records import Document, Event, log_source, timestamp
from agentd.store import queue, results
from agentd.store.results import StoredResult

_HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class FindingRow:
    """A finding as it was last judged. Times are by the log."""

    source: str
    key: str
    pattern_id: int
    pattern: str
    event: str
    severity: str
    score: int
    category: str
    summary: str
    action: str
    count: int
    parts: str  # JSON: points by what gave them
    examples: str  # JSON: file, offset and line of each
    first: str | None
    last: str | None
    document: str  # what a model is shown
    behaviour: str  # another one is worth another look


@dataclass(frozen=True, slots=True)
class StoredFinding(FindingRow):
    """A finding with what the store knows about it."""

    id: int
    looked: str | None
    found: str
    updated: str
    muted: str | None

    @property
    def looked_at(self) -> bool:
        """Whether a model was asked about it as it is now."""
        return self.looked == self.behaviour


_GIVEN = tuple(FindingRow.__slots__)
_PUT = (
    f"INSERT INTO log_findings ({', '.join(_GIVEN)}, found, updated) "
    f"VALUES ({', '.join('?' * len(_GIVEN))}, ?, ?) "
    "ON CONFLICT (source, key) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in (*_GIVEN[2:], "updated"))
)


def put_findings(db: Database, rows: Sequence[FindingRow], now: datetime) -> None:
    """Add findings or bring them up to date; one keeps its id, when it was found, and whether it is muted."""
    stamp = timestamp(now)
    db.conn.executemany(_PUT, [(*(getattr(row, name) for name in _GIVEN), stamp, stamp) for row in rows])


def follow_merged(db: Database, gone: int, kept: int) -> None:
    """Let findings of a pattern speak of the one it became part of."""
    db.execute("UPDATE log_findings SET pattern_id = ? WHERE pattern_id = ?", [kept, gone])


@dataclass(frozen=True, slots=True)
class Triage:
    """Who explains the findings of a log, and how often in an hour at most."""

    task: str
    task_hash: str
    model: str
    per_hour: int
    origin: str = ""  # of its jobs; see `records.Event`


def admit(db: Database, source: str, triage: Triage, now: datetime) -> list[int]:
    """Add jobs for findings that a model was not asked about, the worst first, as the hour has room for."""
    used = db.conn.execute(
        "SELECT count(*) FROM jobs WHERE task = ? AND source GLOB 'log:*' AND created > ?",
        [triage.task, timestamp(now - _HOUR)],
    ).fetchone()[0]
    waiting = db.query(
        "SELECT id, behaviour, document FROM log_findings WHERE source = ? AND muted IS NULL "
        "AND looked IS NOT behaviour ORDER BY score DESC, id LIMIT ?",
        [source, max(triage.per_hour - used, 0)],
    )
    events, documents = list[Event](), list[Document]()
    for row in list(waiting):
        content = hashlib.sha256(row["document"].encode()).hexdigest()
        document = Document(log_source(row["id"]), content, row["document"])
        documents.append(document)
        events.append(Event(triage.task, document.source, content, origin=triage.origin))
        db.execute("UPDATE log_findings SET looked = behaviour WHERE id = ?", [row["id"]])
    return queue.add_all(db, [(event, triage.task_hash, triage.model) for event in events], now, documents)


def find_findings(
    db: Database,
    *,
    source: str | None = None,
    since: datetime | None = None,
    severities: Sequence[str] = (),
    muted: bool = False,
    limit: int = 50,
) -> list[StoredFinding]:
    """Findings that match every filter given, the worst first; muted ones only where asked for."""
    tests, values = ["1"], list[Any]()
    if source is not None:
        tests, values = [*tests, "source = ?"], [*values, source]
    if since is not None:
        # One without a time of its own is as old as the reading of it.
        tests, values = [*tests, "coalesce(last, updated) >= ?"], [*values, timestamp(since)]
    if severities:
        tests, values = [*tests, f"severity IN ({', '.join('?' * len(severities))})"], [*values, *severities]
    if not muted:
        tests = [*tests, "muted IS NULL"]
    sql = f"SELECT * FROM log_findings WHERE {' AND '.join(tests)} ORDER BY score DESC, id LIMIT ?"
    return [StoredFinding(**row) for row in db.query(sql, [*values, limit])]


def get_finding(db: Database, finding_id: int) -> StoredFinding:
    """One finding; raises `NotFound`."""
    for row in db.query("SELECT * FROM log_findings WHERE id = ?", [finding_id]):
        return StoredFinding(**row)
    raise NotFound(f"there is no finding {finding_id}", hint="agentd logs findings")


def mute(db: Database, finding_id: int, now: datetime) -> StoredFinding:
    """Leave a finding out of lists, reports and triage from now on; raises `NotFound`."""
    get_finding(db, finding_id)
    db.execute("UPDATE log_findings SET muted = coalesce(muted, ?) WHERE id = ?", [timestamp(now), finding_id])
    return get_finding(db, finding_id)


def unmute(db: Database, finding_id: int) -> StoredFinding:
    """Take a finding up again; raises `NotFound`."""
    get_finding(db, finding_id)
    db.execute("UPDATE log_findings SET muted = NULL WHERE id = ?", [finding_id])
    return get_finding(db, finding_id)


def answers(db: Database, finding_ids: Sequence[int]) -> dict[int, StoredResult]:
    """What a model last said about findings, by finding."""
    sources = {log_source(finding_id): finding_id for finding_id in finding_ids}
    rows = db.query(
        "SELECT max(id) AS id FROM results WHERE source IN (SELECT value FROM json_each(?)) GROUP BY source",
        [json.dumps(list(sources))],
    )
    found = [results.get(db, row["id"]) for row in list(rows)]
    return {sources[stored.source]: stored for stored in found}
