"""Which queued job could be claimed next, and which wait for a condition. Who claims it is `queue`'s.

What a condition is, and whether it holds, is not known here: only which origins and priorities are closed.
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlite_utils import Database

from agentd.conditions import Closed
from agentd.records import Priority, timestamp

OPEN = Closed()  # nothing waits for anything

_LANE_IS_FREE = (
    "(lane IS NULL OR NOT EXISTS (SELECT 1 FROM jobs AS other WHERE other.lane = jobs.lane "
    "AND other.state = 'running'))"
)


@dataclass(frozen=True, slots=True)
class Candidates:
    """A query for the `id` and `priority` of jobs that may be claimed, with its parameters."""

    sql: str
    values: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Waiting:
    """Queued jobs that wait for the same."""

    origin: str | None  # theirs, where that is closed
    priority: Priority | None  # theirs, where only that is closed
    jobs: int
    reason: str


def first_of_each(
    db: Database,
    model: str,
    now: datetime,
    only: Sequence[int] | None = None,
    *,
    lowest: Priority = Priority.BACKFILL,
    closed: Closed = OPEN,
) -> Candidates:
    """Of each priority, the oldest job that is due for a model and not closed, of all or of the ids in `only`."""
    values: dict[str, Any] = {"model": model, "now": timestamp(now)}
    due = f"state = 'queued' AND model = :model AND not_before <= :now AND {_LANE_IS_FREE}"
    if only is not None:
        due += " AND id IN (SELECT value FROM json_each(:only))"
        values["only"] = json.dumps(list(only))
    if closed.origins:
        values["open"] = json.dumps(_open_origins(db, model, closed))
    firsts = list[str]()
    for priority in Priority:
        if priority > lowest or priority is Priority.PAUSED or priority in closed.priorities:
            continue
        wanted = f"{due} AND priority = {int(priority)}"
        if not closed.origins or priority is Priority.INTERACTIVE:
            # The first of each priority is found in the index; an order that mixes them would sort them all.
            firsts.append(f"SELECT id, priority FROM jobs WHERE {wanted} ORDER BY id LIMIT 1")
        else:
            # Origin by origin, so that no claim walks past a hundred thousand jobs of a closed one.
            first = f"SELECT id FROM jobs INDEXED BY jobs_by_origin WHERE {wanted} AND origin IS one.value"
            firsts.append(
                f"SELECT id, {int(priority)} AS priority FROM (SELECT ({first} ORDER BY id LIMIT 1) AS id "
                "FROM json_each(:open) AS one) WHERE id IS NOT NULL ORDER BY id LIMIT 1"
            )
    return Candidates(" UNION ALL ".join(f"SELECT * FROM ({first})" for first in firsts), values)


def count_waiting(db: Database, closed: Closed) -> list[Waiting]:
    """How many queued jobs wait for what: those of closed origins, and of closed priorities the others."""
    counts = Counter[tuple[str | None, Priority | None, str]]()
    for row in db.query(
        "SELECT origin, priority, count(*) AS jobs FROM jobs "
        f"WHERE state = 'queued' AND priority < {int(Priority.PAUSED)} GROUP BY origin, priority"
    ):
        origin, priority = row["origin"], Priority(row["priority"])
        if reason := closed.why(origin, priority):
            of_origin = origin in closed.origins
            counts[origin if of_origin else None, None if of_origin else priority, reason] += row["jobs"]
    return [Waiting(origin, priority, jobs, reason) for (origin, priority, reason), jobs in counts.items()]


def _open_origins(db: Database, model: str, closed: Closed) -> list[str | None]:
    """The origins of a model's queued jobs that are not closed, None for jobs that have none."""
    # Each step asks the index for the next one: as many steps as there are origins, however many jobs.
    rows = db.query(
        "WITH RECURSIVE found(origin) AS ("
        "SELECT min(origin) FROM jobs WHERE state = 'queued' AND model = :model UNION ALL "
        "SELECT (SELECT min(origin) FROM jobs WHERE state = 'queued' AND model = :model "
        "AND origin > found.origin) FROM found WHERE found.origin IS NOT NULL) "
        "SELECT origin FROM found WHERE origin IS NOT NULL",
        {"model": model},
    )
    return [None, *(row["origin"] for row in rows if row["origin"] not in closed.origins)]
