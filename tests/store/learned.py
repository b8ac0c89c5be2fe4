"""What was learned from a piece of a log, as the store is given it."""

import json
from dataclasses import replace
from typing import Any

from agentd.records import Mark, timestamp
from agentd.store.findings import FindingRow
from agentd.store.logs import Delta, PatternRow
from tests.making import NOW

SOURCE = "/var/log/app.log"


def pattern(number: int, **changed: Any) -> PatternRow:
    row = PatternRow(
        number, SOURCE, f"job {number} <*>", "info", "info", number, 5, 1, timestamp(NOW), timestamp(NOW), "{}"
    )
    return replace(row, **changed)


def finding(number: int, **changed: Any) -> FindingRow:
    row = FindingRow(
        source=SOURCE,
        key=f"pattern {number}",
        pattern_id=number,
        pattern=f"job {number} <*>",
        event="new",
        severity="error",
        score=50 + number,
        category="failure",
        summary="once",
        action="Look.",
        count=1,
        parts=json.dumps({"words": 50 + number}),
        examples="[]",
        first=timestamp(NOW),
        last=timestamp(NOW),
        document=f"what happened: {number}",
        behaviour="new error 1",
    )
    return replace(row, **changed)


def delta(**changed: Any) -> Delta:
    return replace(Delta(SOURCE, "{}", "", 10, 100), **changed)


def mark(inode: int, offset: int = 10) -> Mark:
    return Mark(SOURCE, 2**63 + 1, inode, offset, 77)
