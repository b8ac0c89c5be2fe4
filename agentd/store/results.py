"""Results: what finished jobs produced. A job and its result commit together."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlite_utils import Database

from agentd.errors import NotFound, Superseded
from agentd.records import Coverage, Document, Job, Plan, Result, timestamp
from agentd.store import changes, parts, queue, vocabulary
from agentd.store.documents import keep_document


@dataclass(frozen=True, slots=True)
class StoredResult:
    """A result with what the store knows about it."""

    id: int
    job_id: int
    task: str
    task_hash: str
    source: str
    content: str
    created: str
    result: Result


def complete(
    db: Database,
    job: Job,
    owner: str,
    task_hash: str,
    result: Result,
    document: Document,
    now: datetime,
    plans: Sequence[Plan] = (),
) -> int:
    """End a job with its result and the changes that it plans.

    Raises `Superseded` where the job is not this owner's any more. `task_hash` is that of the task as it ran,
    which may have changed since the job was made.
    """
    if not queue.finish(db, job, owner, now):
        raise Superseded(f"job {job.id} was cancelled or taken over while it ran")
    db.execute("UPDATE OR IGNORE jobs SET task_hash = ? WHERE id = ?", [task_hash, job.id])
    # The file may have moved while the model worked: the row knows where it is now.
    source = queue.get(db, job.id).source
    keep_document(db, document)
    parts.forget(db, job.id)
    row = {
        "job_id": job.id,
        "task": job.task,
        "task_hash": task_hash,
        "source": source,
        "content": document.content,
        "output": json.dumps(result.output, ensure_ascii=False),
        "text": "\n".join(_words(result.output)),
        "seen": result.coverage.seen,
        "total": result.coverage.total,
        "unit": result.coverage.unit,
        "model": result.model,
        "kv_cache": result.kv_cache,
        "fake": int(result.fake),
        "tokens_in": result.tokens_in,
        "tokens_cached": result.tokens_cached,
        "tokens_out": result.tokens_out,
        "seconds": result.seconds,
        "created": timestamp(now),
        "engine_seconds": result.engine_seconds,
        "probabilities": _json(result.probabilities),
        "why": _json(result.why),
        "places": _json(result.places),
        "tokens": result.coverage.tokens,
        "missing": _json(result.coverage.missing),
    }
    marks = ", ".join("?" * len(row))
    sql = f"INSERT INTO results ({', '.join(row)}) VALUES ({marks}) RETURNING id"
    result_id = int(next(iter(db.query(sql, list(row.values()))))["id"])
    vocabulary.propose(db, result.proposals, source)
    changes.plan(db, plans, result_id=result_id, task=job.task, source=source, content=document.content, now=now)
    if source != document.source:
        changes.follow(db, document.source, source)
    return result_id


def get(db: Database, result_id: int) -> StoredResult:
    """One result; raises `NotFound`."""
    rows = list(db.query("SELECT * FROM results WHERE id = ?", [result_id]))
    if not rows:
        raise NotFound(f"there is no result {result_id}", hint="agentd results list")
    return _stored(rows[0])


def find(
    db: Database,
    *,
    task: str | None = None,
    since: datetime | None = None,
    job_ids: list[int] | None = None,
    limit: int = 50,
) -> list[StoredResult]:
    """Results, newest first, that match every filter given."""
    tests, values = ["1"], list[Any]()
    if task is not None:
        tests, values = [*tests, "task = ?"], [*values, task]
    if since is not None:
        tests, values = [*tests, "created >= ?"], [*values, timestamp(since)]
    if job_ids is not None:
        tests, values = [*tests, "job_id IN (SELECT value FROM json_each(?))"], [*values, json.dumps(job_ids)]
    sql = f"SELECT * FROM results WHERE {' AND '.join(tests)} ORDER BY id DESC LIMIT ?"
    return [_stored(row) for row in db.query(sql, [*values, limit])]


def latest(db: Database) -> list[StoredResult]:
    """The newest result of every task on every source."""
    rows = db.query("SELECT * FROM results WHERE id IN (SELECT max(id) FROM results GROUP BY task, source)")
    return [_stored(row) for row in rows]


def write_view(db: Database, task: str, properties: Iterable[str]) -> None:
    """Make `view_TASK`: a task's results with a column for each property, for plain SQL and Datasette."""
    name = _quoted("view_" + task.replace("-", "_"))
    columns = ", ".join(
        f"json_extract(output, '$.' || {_text(json.dumps(key, ensure_ascii=False))}) AS {_quoted(key)}"
        for key in properties
    )
    db.execute(f"DROP VIEW IF EXISTS {name}")
    db.execute(
        f"CREATE VIEW {name} AS SELECT id AS result_id, source, created, {columns} "
        f"FROM results WHERE task = {_text(task)}"
    )


def _json(value: Any) -> str | None:
    return json.dumps(value, ensure_ascii=False) if value else None


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _words(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for inner in value.values():
            yield from _words(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _words(inner)
    elif value is not None:
        yield str(value)


def _stored(row: dict[str, Any]) -> StoredResult:
    return StoredResult(
        *(row["id"], row["job_id"], row["task"], row["task_hash"], row["source"], row["content"]),
        created=row["created"],
        result=Result(
            output=json.loads(row["output"]),
            coverage=Coverage(
                *(row["seen"], row["total"], row["unit"], row["tokens"] or 0),
                missing=tuple(json.loads(row["missing"] or "[]")),
            ),
            model=row["model"],
            kv_cache=row["kv_cache"],
            fake=bool(row["fake"]),
            tokens_in=row["tokens_in"],
            tokens_cached=row["tokens_cached"],
            tokens_out=row["tokens_out"],
            seconds=row["seconds"],
            engine_seconds=row["engine_seconds"] or 0.0,  # null in rows of before it was measured
            probabilities=json.loads(row["probabilities"] or "{}"),
            why=json.loads(row["why"] or "{}"),
            places=json.loads(row["places"] or "{}"),
        ),
    )
