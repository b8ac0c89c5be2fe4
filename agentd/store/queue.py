"""The queue: jobs are added once, claimed under a lease, and end in exactly one final state.

Every function is an operation for `database.Store`. Time and chance are passed in. A job whose owner is dead
goes back to the queue as if it had not been started; a job whose owner lost its lease cannot be finished by
that owner any more.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import fields
from datetime import datetime, timedelta
from typing import Any

from sqlite_utils import Database

from agentd.conditions import Closed
from agentd.errors import AgentdError, EngineCrashed, NotFound, Superseded, Vanished
from agentd.records import Document, Event, Job, JobState, Priority, folder_of, is_bundle, timestamp
from agentd.store import retry
from agentd.store.candidates import OPEN, first_of_each
from agentd.store.documents import keep_document

LEASE = timedelta(seconds=60)
HEARTBEAT_SECONDS = 10.0

_COLUMNS = ", ".join(field.name for field in fields(Job))


def add(
    db: Database,
    event: Event,
    task_hash: str,
    model: str,
    now: datetime,
    *,
    lane: str | None = None,
    backfill: int | None = None,
) -> int | None:
    """Add the job of an event; None where the very same job is there already.

    Jobs of one `lane` are done one at a time; those of a `backfill` are counted and paused together.
    """
    refusal, stamp = event.refusal, timestamp(now)
    rows = list(
        db.query(
            "INSERT INTO jobs (task, task_hash, model, source, content, occasion, priority, state, reason, error, "
            "hint, created, not_before, finished, lane, backfill, origin) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
            "ON CONFLICT DO NOTHING RETURNING id",
            [
                *(event.task, task_hash, model, event.source, event.content, event.occasion),
                int(event.priority),
                JobState.FAILED if refusal else JobState.QUEUED,
                *((refusal.code, refusal.message, refusal.hint) if refusal else (None, None, None)),
                *(stamp, stamp, stamp if refusal else None, lane, backfill, event.origin or None),
            ],
        )
    )
    return int(rows[0]["id"]) if rows else None


def add_all(
    db: Database,
    bound: Sequence[tuple[Event, str, str]],
    now: datetime,
    documents: Sequence[Document] = (),
) -> list[int]:
    """Add the jobs of several events, each with its task hash and model, and the texts that stand in no file."""
    for document in documents:
        keep_document(db, document)
    added = [
        add(
            db,
            event,
            task_hash,
            model,
            now,
            lane=lane_of(event.task, event.source) if is_bundle(event.source) else None,
        )
        for event, task_hash, model in bound
    ]
    return [job_id for job_id in added if job_id is not None]


def lane_of(task: str, source: str) -> str:
    """The lane in which the bundles of a folder are done for a task."""
    return f"{task} {folder_of(source)}"


def claim(
    db: Database,
    owner: str,
    model: str,
    now: datetime,
    only: Sequence[int] | None = None,
    *,
    lowest: Priority = Priority.BACKFILL,
    aged: bool = False,
    closed: Closed = OPEN,
) -> Job | None:
    """Take the most urgent job that is due for this model, of all jobs or of the ids in `only`.

    None less urgent than `lowest` is taken, and none that is `closed`. With `aged`, the oldest goes before the
    most urgent, unless an interactive one waits.
    """
    firsts = first_of_each(db, model, now, only, lowest=lowest, closed=closed)
    order = f"priority > {int(Priority.INTERACTIVE)}, id" if aged else "priority, id"
    rows = list(
        db.query(
            "UPDATE jobs SET state = 'running', attempts = attempts + 1, owner = :owner, lease_until = :lease, "
            f"started = :now WHERE id = (SELECT id FROM ({firsts.sql}) ORDER BY {order} LIMIT 1) "
            f"RETURNING {_COLUMNS}",
            {**firsts.values, "owner": owner, "lease": timestamp(now + LEASE)},
        )
    )
    return _job(rows[0]) if rows else None


def is_due(
    db: Database, model: str, now: datetime, only: Sequence[int] | None = None, *, closed: Closed = OPEN
) -> bool:
    """Whether `claim` would find a job."""
    firsts = first_of_each(db, model, now, only, closed=closed)
    return any(db.query(f"SELECT 1 FROM ({firsts.sql}) LIMIT 1", firsts.values))


def heartbeat(db: Database, owner: str, now: datetime) -> None:
    """Extend the leases of an owner, and free those that ran out for others."""
    db.execute(
        "UPDATE jobs SET lease_until = ? WHERE state = 'running' AND owner = ?",
        [timestamp(now + LEASE), owner],
    )
    _release(db, "lease_until < ?", [timestamp(now)])


def clock_went_back(db: Database, now: datetime, *, beyond: timedelta = timedelta(0)) -> None:
    """Let jobs be tried now whose time is further away than `beyond`: the clock that set it was ahead."""
    db.execute(
        "UPDATE jobs SET not_before = ? WHERE state = 'queued' AND not_before > ?",
        [timestamp(now), timestamp(now + beyond)],
    )


def release_dead(db: Database, alive: Callable[[str], bool]) -> int:
    """Give back the jobs of owners that died, at once; return how many."""
    owners = [row["owner"] for row in db.query("SELECT DISTINCT owner FROM jobs WHERE state = 'running'")]
    return sum(release(db, owner) for owner in owners if not alive(owner))


def release(db: Database, owner: str, *, job_id: int | None = None, model: str | None = None) -> int:
    """Give back unfinished jobs of an owner, all or those given, as if they had not been started."""
    return _release(
        db,
        "owner = ? AND (? IS NULL OR id = ?) AND (? IS NULL OR model = ?)",
        [owner, job_id, job_id, model, model],
    )


def hand_over(db: Database, job: Job, owner: str, model: str) -> None:
    """Give a claimed job back for another model, as if it had not been started."""
    if release(db, owner, job_id=job.id):
        db.execute("UPDATE jobs SET model = ? WHERE id = ?", [model, job.id])


def adopt(db: Database, models: Sequence[str]) -> int:
    """Give queued jobs whose model is none of `models` to the first of them; return how many.

    Nobody would ever claim them; whoever does now finds out which model their task wants today.
    """
    cursor = db.execute(
        "UPDATE jobs SET model = ? WHERE state = 'queued' AND model NOT IN (SELECT value FROM json_each(?))",
        [models[0], json.dumps(list(models))],
    )
    return cursor.rowcount


def finish(db: Database, job: Job, owner: str, now: datetime) -> bool:
    """Mark a job as done; False where the owner lost its lease or the job was cancelled meanwhile."""
    return _end(db, job, owner, now, JobState.DONE)


def fail(
    db: Database, job: Job, owner: str, error: AgentdError, now: datetime, chance: float, *, watched: bool = True
) -> JobState | None:
    """Record why a try ended, and what comes next; None where the owner lost its lease.

    A file that changed is a job of its own where it is `watched`; a backfill does it again elsewhere.
    """
    verdict = retry.judge(job, error, chance)
    if isinstance(error, Vanished) and get(db, job.id).source != job.source:
        # It moved after it was claimed: under its new name it can be read.
        verdict = retry.Verdict(JobState.QUEUED)
    elif (
        isinstance(error, Superseded)
        and not watched
        and job.attempts < retry.MAX_ATTEMPTS
        and _of_backfill(db, job)
    ):
        verdict = retry.Verdict(JobState.QUEUED, retry.backoff(job.attempts, chance))
    again = verdict.state is JobState.QUEUED
    if not _end(db, job, owner, now, verdict.state, error):
        return None
    if again:
        due = timestamp(now + timedelta(seconds=verdict.delay))
        db.execute("UPDATE jobs SET not_before = ?, finished = NULL WHERE id = ?", [due, job.id])
    if isinstance(error, EngineCrashed):
        db.execute("UPDATE jobs SET crashes = crashes + 1 WHERE id = ?", [job.id])
    return verdict.state


def retry_job(db: Database, job_id: int, now: datetime) -> Job:
    """Queue a job that ended without a result once more, with its counts at zero."""
    job = get(db, job_id)
    if job.state not in (JobState.FAILED, JobState.QUARANTINED, JobState.CANCELLED):
        raise AgentdError(
            f"job {job_id} is {job.state}: only failed, quarantined or cancelled jobs can be retried",
            hint="agentd jobs rerun --stale" if job.state is JobState.DONE else f"agentd jobs show {job_id}",
        )
    db.execute(
        "UPDATE jobs SET state = 'queued', attempts = 0, crashes = 0, not_before = ?, finished = NULL, "
        "reason = NULL, error = NULL, hint = NULL, priority = min(priority, ?) WHERE id = ?",
        [timestamp(now), int(Priority.BACKFILL), job_id],
    )
    return get(db, job_id)


def hurry(db: Database, job_id: int, priority: Priority) -> None:
    """Let a queued job be as urgent as this: what a backfill would do some day has happened just now."""
    db.execute(
        "UPDATE jobs SET priority = ?, backfill = NULL WHERE id = ? AND state = 'queued' AND priority > ?",
        [int(priority), job_id, int(priority)],
    )


def cancel(db: Database, job_id: int, now: datetime) -> Job:
    """End a job that is queued or running; whoever runs it finds out when it tries to finish."""
    job = get(db, job_id)
    if job.state.final:
        raise AgentdError(f"job {job_id} is already {job.state}", hint=f"agentd jobs show {job_id}")
    db.execute(
        "UPDATE jobs SET state = 'cancelled', reason = 'cancelled', error = 'cancelled on request', "
        "owner = NULL, lease_until = NULL, finished = ? WHERE id = ?",
        [timestamp(now), job_id],
    )
    return get(db, job_id)


def cancel_all(db: Database, job_ids: Sequence[int], now: datetime) -> None:
    """End those of these jobs that have not ended."""
    for job in find(db, ids=job_ids, limit=len(job_ids)):
        if not job.state.final:
            cancel(db, job.id, now)


def get(db: Database, job_id: int) -> Job:
    """One job; raises `NotFound`."""
    rows = list(db.query(f"SELECT {_COLUMNS} FROM jobs WHERE id = ?", [job_id]))
    if not rows:
        raise NotFound(f"there is no job {job_id}", hint="agentd jobs list")
    return _job(rows[0])


def find(
    db: Database,
    *,
    state: JobState | None = None,
    task: str | None = None,
    ids: Sequence[int] | None = None,
    ended: bool = False,
    backfill: int | None = None,
    limit: int = 50,
) -> list[Job]:
    """Jobs, newest first, that match every filter given."""
    tests, values = ["1"], list[Any]()
    if state is not None:
        tests, values = [*tests, "state = ?"], [*values, state]
    if task is not None:
        tests, values = [*tests, "task = ?"], [*values, task]
    if ids is not None:
        tests, values = [*tests, "id IN (SELECT value FROM json_each(?))"], [*values, json.dumps(list(ids))]
    if backfill is not None:
        tests, values = [*tests, "backfill = ?"], [*values, backfill]
    if ended:
        tests = [*tests, "state NOT IN ('queued', 'running')"]
    sql = f"SELECT {_COLUMNS} FROM jobs WHERE {' AND '.join(tests)} ORDER BY id DESC LIMIT ?"
    return [_job(row) for row in db.query(sql, [*values, limit])]


def last_errors(db: Database, limit: int) -> list[Job]:
    """The jobs that were given up last, newest first."""
    sql = f"SELECT {_COLUMNS} FROM jobs WHERE state IN ('failed', 'quarantined') ORDER BY finished DESC, id DESC"
    return [_job(row) for row in db.query(f"{sql} LIMIT ?", [limit])]


def count_states(db: Database) -> dict[JobState, int]:
    """How many jobs there are in each state."""
    found = {row["state"]: row["n"] for row in db.query("SELECT state, count(*) AS n FROM jobs GROUP BY state")}
    return {state: found.get(state, 0) for state in JobState}


def _end(
    db: Database, job: Job, owner: str, now: datetime, state: JobState, error: AgentdError | None = None
) -> bool:
    told = (error.code, error.message, error.hint) if error else (None, None, None)
    cursor = db.execute(
        "UPDATE jobs SET state = ?, reason = ?, error = ?, hint = ?, finished = ?, owner = NULL, "
        "lease_until = NULL WHERE id = ? AND state = 'running' AND owner = ?",
        [state, *told, timestamp(now), job.id, owner],
    )
    return cursor.rowcount == 1


def _of_backfill(db: Database, job: Job) -> bool:
    return any(db.query("SELECT 1 FROM jobs WHERE id = ? AND backfill IS NOT NULL", [job.id]))


def _release(db: Database, test: str, values: list[Any]) -> int:
    cursor = db.execute(
        "UPDATE jobs SET state = 'queued', attempts = max(attempts - 1, 0), owner = NULL, lease_until = NULL, "
        f"started = NULL WHERE state = 'running' AND {test}",
        values,
    )
    return cursor.rowcount


def _job(row: dict[str, Any]) -> Job:
    return Job(**row | {"state": JobState(row["state"]), "priority": Priority(row["priority"])})
