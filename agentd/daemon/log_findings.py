"""What the store knows of logs, put together for people: findings with what a model said of them.

How it is shown, the command line knows.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from agentd.api.log_shapes import LogFindingShape, LogPatternShape, finding_shape, pattern_shape
from agentd.logs.history import WINDOW
from agentd.logs.severity import SEVERITIES
from agentd.logs.triage import Opinion, blend, opinion
from agentd.store import findings, logs
from agentd.store.database import Database
from agentd.store.findings import StoredFinding


def at_least(severity: str | None) -> tuple[str, ...]:
    """The severities from this one on; all of them where there is none."""
    return () if severity is None else SEVERITIES[SEVERITIES.index(severity) :]


def find_shapes(
    db: Database,
    now: datetime,
    *,
    source: str | None,
    since: datetime | None,
    severity: str | None,
    muted: bool,
    limit: int,
) -> list[LogFindingShape]:
    """Findings that match every filter given, the worst first. An operation for `Store.read`."""
    found = findings.find_findings(
        db, source=source, since=since, severities=at_least(severity), muted=muted, limit=limit
    )
    shapes = _shapes(db, found, now)
    return sorted(shapes, key=lambda shape: -shape["score"])


def get_shape(db: Database, finding_id: int, now: datetime) -> LogFindingShape:
    """One finding; raises `NotFound`. An operation for `Store.read`."""
    return _shapes(db, [findings.get_finding(db, finding_id)], now)[0]


def pattern_shapes(
    db: Database,
    now: datetime,
    *,
    source: str | None,
    since: datetime | None,
    severity: str | None,
    limit: int,
    minutes: int,
) -> list[LogPatternShape]:
    """Patterns that match every filter given, with their counts in the last `minutes`. For `Store.read`."""
    rows = logs.find_patterns(db, source=source, since=since, severities=at_least(severity), limit=limit)
    began = int(now.timestamp()) // 60 - minutes
    counts = logs.counts_since(db, [row.id for row in rows], began)
    return [pattern_shape(row, counts.get(row.id, {})) for row in rows]


def trend(db: Database, pattern_id: int, first: datetime, last: datetime, bars: int) -> list[int]:
    """How often a pattern came between two moments, in so many equal spans. An operation for `Store.read`."""
    began, ended = int(first.timestamp()) // 60, int(last.timestamp()) // 60 + WINDOW
    spans = [0] * bars
    for bucket, count in logs.counts_since(db, [pattern_id], began).get(pattern_id, {}).items():
        if bucket < ended:
            spans[min(max(bucket - began, 0) * bars // (ended - began), bars - 1)] += count
    return spans


def _shapes(db: Database, found: Sequence[StoredFinding], now: datetime) -> list[LogFindingShape]:
    said = findings.answers(db, [one.id for one in found])
    shapes = []
    for one in found:
        told = None
        if one.id in said:
            told = opinion(said[one.id].result.output, proven=one.event == "break-in")
            one = _blended(one, told) if told else one
        shapes.append(finding_shape(one, told, now))
    return shapes


def _blended(stored: StoredFinding, said: Opinion) -> StoredFinding:
    if stored.event == "break-in":
        return stored
    parts, score, severity, category = blend(json.loads(stored.parts), stored.category, said)
    return replace(stored, parts=json.dumps(parts), score=score, severity=severity, category=category)
