"""The JSON of what was found in logs, as `agentd logs` prints it. Times are by the log, null where it has none."""

import json
from datetime import UTC, datetime
from typing import TypedDict

from agentd.logs.state import state_of
from agentd.logs.triage import Opinion
from agentd.store.findings import StoredFinding
from agentd.store.logs import PatternRow


class LogExampleShape(TypedDict):
    """A line that a finding cites."""

    file: str  # its path, or `journal` and the entry's cursor
    offset: int  # bytes from the beginning of the file, of the uncompressed text
    line: str  # its first 500 characters


class LogExplanationShape(TypedDict):
    """What a model says about a finding; it proves nothing."""

    what_happened: str
    likely_cause: str
    next_step: str


class ScannedPatternShape(TypedDict):
    """A pattern in `agentd logs scan --json`."""

    id: int
    pattern: str  # the message with <*> for its variable parts
    count: int  # entries
    level: str
    first: str | None
    last: str | None
    example: str
    score: int  # 0 to 100: how much it deserves a look
    severity: str
    news: list[str]  # new, changed, burst, silence, rare, returned


class ScannedFindingShape(TypedDict):
    """A finding in `agentd logs scan --json`."""

    id: int
    pattern_id: int  # the pattern that speaks for all; 0 for a break-in
    patterns: list[int]  # those that are alike
    pattern: str
    event: str  # the news that weighs most, break-in, or seen where only what it says is remarkable
    severity: str  # info, notice, warning, error or critical
    score: int
    parts: dict[str, int]  # points by what gave them; their sum is the score
    category: str
    summary: str
    action: str
    count: int
    first: str | None
    last: str | None
    examples: list[LogExampleShape]
    explanation: LogExplanationShape | None


class ScanShape(TypedDict):
    """`agentd logs scan --json`."""

    lines: int
    seconds: float  # to read and judge, without the model
    patterns: list[ScannedPatternShape]  # the worst first
    findings: list[ScannedFindingShape]
    left_out: int  # findings that are less severe than these


class LogPatternShape(TypedDict):
    """A pattern in `agentd logs patterns --json`."""

    id: int
    source: str
    pattern: str
    level: str
    severity: str
    score: int
    count: int
    days: int  # on which it came
    first: str | None
    last: str | None
    buckets: dict[str, int]  # entries by the ten minutes in which they came, those without left out


class LogFindingShape(TypedDict):
    """A finding in `agentd logs findings --json`."""

    id: int
    source: str
    state: str  # new, ongoing, quiet, resolved or muted
    pattern_id: int
    pattern: str
    event: str
    severity: str
    score: int
    parts: dict[str, int]
    category: str
    summary: str
    action: str
    count: int
    first: str | None
    last: str | None
    found: str
    examples: list[LogExampleShape]
    looked_at: bool  # a model was asked about it as it is now
    explanation: LogExplanationShape | None


def finding_shape(stored: StoredFinding, said: Opinion | None, now: datetime) -> LogFindingShape:
    """The JSON of a stored finding. The points that a model gives or takes are among its parts already."""
    return {
        "id": stored.id,
        "source": stored.source,
        "state": state_of(
            stored.event,
            _moment(stored.found),
            _moment(stored.last) if stored.last else None,
            _moment(stored.updated),
            now,
            muted=stored.muted is not None,
        ),
        "pattern_id": stored.pattern_id,
        "pattern": stored.pattern,
        "event": stored.event,
        "severity": stored.severity,
        "score": stored.score,
        "parts": json.loads(stored.parts),
        "category": stored.category,
        "summary": stored.summary,
        "action": stored.action,
        "count": stored.count,
        "first": stored.first,
        "last": stored.last,
        "found": stored.found,
        "examples": json.loads(stored.examples),
        "looked_at": stored.looked_at,
        "explanation": explanation_shape(said),
    }


def pattern_shape(row: PatternRow, buckets: dict[int, int]) -> LogPatternShape:
    """The JSON of a stored pattern."""
    return {
        "id": row.id,
        "source": row.source,
        "pattern": row.pattern,
        "level": row.level,
        "severity": row.severity,
        "score": row.score,
        "count": row.count,
        "days": row.days,
        "first": row.first,
        "last": row.last,
        "buckets": {
            datetime.fromtimestamp(60 * bucket, UTC).strftime("%Y-%m-%dT%H:%MZ"): count
            for bucket, count in buckets.items()
        },
    }


def explanation_shape(said: Opinion | None) -> LogExplanationShape | None:
    """The JSON of what a model said."""
    if said is None:
        return None
    return {
        "what_happened": said.what_happened,
        "likely_cause": said.likely_cause,
        "next_step": said.next_step,
    }


def _moment(stamp: str) -> datetime:
    return datetime.fromisoformat(stamp)
