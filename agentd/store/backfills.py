"""Backfills: what a person asks a task to do with files that are there already, counted and paused together.

A file that the task has done as it is, or that is queued, gets no second job. How files are found is not known
here.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlite_utils import Database

from agentd.errors import AgentdError, NotFound
from agentd.records import Event, Job, JobState, Priority, timestamp
from agentd.store import queue

_WITHOUT_RESULT = (JobState.FAILED, JobState.QUARANTINED, JobState.CANCELLED)
State = Literal["listing", "running", "paused", "done", "cancelled", "failed"]


@dataclass(frozen=True, slots=True)
class Backfill:
    """One backfill, with how far it is."""

    id: int
    task: str
    paths: tuple[str, ...]  # files and folders, as they were given
    again: str  # the occasion of its jobs; empty where what was done is not done again
    found: int  # files that the task reads, so far
    left_out: int  # files that the task does not read
    unreadable: int  # folders that could not be listed
    paused: bool
    cancelled: bool
    listed: str | None  # when all its files were found
    error: str | None  # why its files could not be found
    hint: str | None  # the next command to type
    created: str
    jobs: dict[JobState, int]

    @property
    def total(self) -> int:
        """How many jobs it has."""
        return sum(self.jobs.values())

    @property
    def known(self) -> int:
        """How many files needed no job: done as they are, or queued by others."""
        return max(self.found - self.total, 0)

    @property
    def ended(self) -> int:
        """How many of them have ended, well or not."""
        return sum(count for state, count in self.jobs.items() if state.final)

    @property
    def state(self) -> State:
        """Where it stands."""
        if self.error:
            return "failed"
        if self.cancelled:
            return "cancelled"
        if self.listed and self.ended == self.total:
            return "done"
        if self.paused:
            return "paused"
        return "running" if self.listed else "listing"


def begin(db: Database, task: str, paths: Sequence[str], again: bool, now: datetime) -> Backfill:
    """Note what is asked for; its files are found later."""
    stamp = timestamp(now)
    rows = db.query(
        "INSERT INTO backfills (task, paths, again, found, left_out, unreadable, paused, cancelled, created) "
        "VALUES (?, ?, ?, 0, 0, 0, 0, 0, ?) RETURNING id",
        [task, json.dumps(list(paths)), f"backfill {stamp}" if again else "", stamp],
    )
    return get(db, int(next(iter(rows))["id"]))


def add(
    db: Database,
    backfill_id: int,
    events: Sequence[Event],
    left_out: int,
    task_hash: str,
    model: str,
    now: datetime,
) -> bool:
    """Add the jobs of files that were found; False where it was cancelled meanwhile.

    A file that is done as it is, or that is queued, needs none; one that failed or was cancelled is tried again.
    """
    backfill = get(db, backfill_id)
    if backfill.listed:
        return False
    for event in events:
        known = _jobs_of(db, event, task_hash)
        if not known:
            queue.add(db, event, task_hash, model, now, backfill=backfill_id)
        elif event.refusal is None and all(state in _WITHOUT_RESULT for _, state in known):
            queue.retry_job(db, known[-1][0], now)
            db.execute("UPDATE jobs SET backfill = ? WHERE id = ?", [backfill_id, known[-1][0]])
    db.execute(
        "UPDATE backfills SET found = found + ?, left_out = left_out + ? WHERE id = ?",
        [len(events), left_out, backfill_id],
    )
    if backfill.paused:
        _set_priority(db, backfill_id, Priority.PAUSED)
    return True


def count_known(db: Database, events: Sequence[Event], task_hash: str) -> int:
    """How many of these files need no job: done as they are, or queued."""
    known = (_jobs_of(db, event, task_hash) for event in events)
    return sum(any(state not in _WITHOUT_RESULT for _, state in jobs) for jobs in known)


def end_listing(
    db: Database, backfill_id: int, now: datetime, unreadable: int = 0, error: AgentdError | None = None
) -> None:
    """Note that all files were found but for those in unreadable folders, or why they could not be."""
    told = (error.message, error.hint) if error else (None, None)
    db.execute(
        "UPDATE backfills SET listed = ?, unreadable = ?, error = ?, hint = ? WHERE id = ? AND listed IS NULL",
        [timestamp(now), unreadable, *told, backfill_id],
    )


def relist(db: Database, backfill_id: int) -> None:
    """Begin to count anew: a death ended the last try to find its files. Jobs that it made are there."""
    db.execute("UPDATE backfills SET found = 0, left_out = 0 WHERE id = ?", [backfill_id])


def unlisted(db: Database) -> list[Backfill]:
    """Those whose files are still to be found, oldest first."""
    return [_backfill(db, row) for row in db.query("SELECT * FROM backfills WHERE listed IS NULL ORDER BY id")]


def pause(db: Database, backfill_id: int) -> Backfill:
    """Put the jobs of a backfill aside that have not begun; raises `AgentdError` where it has ended."""
    return _steer(db, backfill_id, paused=True)


def resume(db: Database, backfill_id: int) -> Backfill:
    """Take them up again; raises `AgentdError` where it has ended."""
    return _steer(db, backfill_id, paused=False)


def cancel(db: Database, backfill_id: int, now: datetime) -> tuple[Backfill, list[int]]:
    """End the jobs of a backfill that have not ended; return it and them."""
    _check_steerable(get(db, backfill_id))
    rows = list(
        db.query("SELECT id FROM jobs WHERE backfill = ? AND state IN ('queued', 'running')", [backfill_id])
    )
    for row in rows:
        queue.cancel(db, row["id"], now)
    db.execute(
        "UPDATE backfills SET cancelled = 1, listed = coalesce(listed, ?) WHERE id = ?",
        [timestamp(now), backfill_id],
    )
    return get(db, backfill_id), [row["id"] for row in rows]


def get(db: Database, backfill_id: int) -> Backfill:
    """One backfill; raises `NotFound`."""
    for row in list(db.query("SELECT * FROM backfills WHERE id = ?", [backfill_id])):
        return _backfill(db, row)
    raise NotFound(f"there is no backfill {backfill_id}", hint="agentd backfill list")


def find(db: Database, limit: int) -> list[Backfill]:
    """Backfills, newest first."""
    return [
        _backfill(db, row) for row in list(db.query("SELECT * FROM backfills ORDER BY id DESC LIMIT ?", [limit]))
    ]


def unfinished(db: Database) -> list[Backfill]:
    """Those that have not ended, oldest first."""
    rows = db.query(
        "SELECT * FROM backfills WHERE listed IS NULL OR EXISTS (SELECT 1 FROM jobs "
        "WHERE backfill = backfills.id AND state IN ('queued', 'running')) ORDER BY id"
    )
    return [_backfill(db, row) for row in list(rows)]


def last_queued(db: Database, backfill_id: int) -> int | None:
    """The job that will be done last; None where none is queued."""
    rows = db.query("SELECT max(id) AS id FROM jobs WHERE backfill = ? AND state = 'queued'", [backfill_id])
    return next((row["id"] for row in rows), None)


def follow(db: Database, job: Job, content: str) -> bool:
    """Let a job of a backfill have the content that its file has by now; False where another job has it already.

    Nobody else may be watching that file: what it is now would else never be done.
    """
    cursor = db.execute(
        "UPDATE OR IGNORE jobs SET content = ? WHERE id = ? AND backfill IS NOT NULL", [content, job.id]
    )
    return cursor.rowcount == 1


def _jobs_of(db: Database, event: Event, task_hash: str) -> list[tuple[int, JobState]]:
    """The jobs that a file as it is has had, oldest first; of an occasion, where there is one."""
    rows = db.query(
        "SELECT id, state FROM jobs WHERE task = ?1 AND task_hash = ?2 AND source = ?3 AND content = ?4 "
        "AND (?5 = '' OR occasion = ?5) ORDER BY id",
        [event.task, task_hash, event.source, event.content, event.occasion],
    )
    return [(row["id"], JobState(row["state"])) for row in rows]


def _steer(db: Database, backfill_id: int, *, paused: bool) -> Backfill:
    _check_steerable(get(db, backfill_id))
    db.execute("UPDATE backfills SET paused = ? WHERE id = ?", [int(paused), backfill_id])
    _set_priority(db, backfill_id, Priority.PAUSED if paused else Priority.BACKFILL)
    return get(db, backfill_id)


def _check_steerable(backfill: Backfill) -> None:
    if backfill.state in ("done", "cancelled", "failed"):
        raise AgentdError(
            f"backfill {backfill.id} is {backfill.state} already", hint=f"agentd backfill show {backfill.id}"
        )


def _set_priority(db: Database, backfill_id: int, priority: Priority) -> None:
    # Those that run count as well: one that returns to the queue must not go on alone.
    db.execute(
        "UPDATE jobs SET priority = ? WHERE backfill = ? AND state IN ('queued', 'running')",
        [int(priority), backfill_id],
    )


def _backfill(db: Database, row: dict[str, Any]) -> Backfill:
    counts = db.query("SELECT state, count(*) AS n FROM jobs WHERE backfill = ? GROUP BY state", [row["id"]])
    found = {one["state"]: one["n"] for one in counts}
    return Backfill(
        **row
        | {
            "paths": tuple(json.loads(row["paths"])),
            "paused": bool(row["paused"]),
            "cancelled": bool(row["cancelled"]),
        },
        jobs={state: found.get(state, 0) for state in JobState},
    )
