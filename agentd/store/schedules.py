"""Schedules: until when the times of each were dealt with, and what its last job was given.

A firing is one transaction: its time is noted, its input is put together and kept, its job is added. So it happens
once, whatever dies when. When a schedule is due, the trigger knows; what its input looks like, the daemon.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlite_utils import Database

from agentd.errors import NotFound
from agentd.records import Document, Event, Priority, timestamp
from agentd.store import bundles, queue, results
from agentd.store.bundles import Member, Mode
from agentd.store.documents import keep_document
from agentd.store.findings import StoredFinding
from agentd.store.results import StoredResult

NOTHING_NEW = "nothing new"
FIRST = timedelta(days=1)  # so far back the first run looks


@dataclass(frozen=True, slots=True)
class Marks:
    """How far results and findings were taken up."""

    result: int  # id of the newest one
    finding: str  # when the newest one was brought up to date


@dataclass(frozen=True, slots=True)
class Scheduled:
    """What is known of a schedule."""

    name: str
    timetable: str
    looked: str  # until when its times were dealt with
    fired: str | None
    job_id: int | None
    note: str
    began: Marks  # of the input of its last job
    ended: Marks


@dataclass(frozen=True, slots=True)
class Firing:
    """What is to happen, once its input is there."""

    name: str
    task: str
    task_hash: str
    model: str
    origin: str
    mode: Mode
    occasion: str  # its local date-time, or what a person asked for
    priority: Priority
    looked: tuple[str, str] | None  # until when times were dealt with, before and after; None for a person


@dataclass(frozen=True, slots=True)
class Bundle:
    """Files of a folder that are an input."""

    source: Callable[[str], str]  # from what stands for all of their contents
    members: Sequence[Member]


@dataclass(frozen=True, slots=True)
class Fired:
    """What came of a firing."""

    job_id: int | None
    note: str = ""  # why there is no job
    cancelled: tuple[int, ...] = ()  # jobs that the new one replaces


# Puts the input of a job together, from what is newer than the marks; None where there is nothing new.
Compose = Callable[[Database, Marks, str | None], Document | Bundle | None]


def load(db: Database) -> dict[str, Scheduled]:
    """All schedules that were met, by name."""
    return {row["name"]: _scheduled(row) for row in db.query("SELECT * FROM schedules ORDER BY name")}


def meet(db: Database, timetables: Mapping[str, str], now: datetime) -> None:
    """Take up new schedules and those with new times from now on, and forget those that are gone."""
    known, marks = load(db), newest(db, now - FIRST)
    for name in set(known) - set(timetables):
        db.execute("DELETE FROM schedules WHERE name = ?", [name])
    for name, timetable in timetables.items():
        if name not in known:
            db.execute(
                "INSERT INTO schedules (name, timetable, looked, note, result_from, finding_from, result_to, "
                "finding_to) VALUES (?1, ?2, ?3, '', ?4, ?5, ?4, ?5)",
                [name, timetable, timestamp(now), marks.result, marks.finding],
            )
        elif known[name].timetable != timetable:
            db.execute(
                "UPDATE schedules SET timetable = ?, looked = ? WHERE name = ?", [timetable, timestamp(now), name]
            )


def skip(db: Database, name: str, looked: tuple[str, str], note: str) -> bool:
    """Deal with times without a job; whether nobody else has, meanwhile."""
    before, after = looked
    cursor = db.execute(
        "UPDATE schedules SET looked = ?, note = ? WHERE name = ? AND looked = ?", [after, note, name, before]
    )
    return cursor.rowcount == 1


def fire(db: Database, firing: Firing, compose: Compose, now: datetime) -> Fired | None:
    """Make the job of a firing, or note why there is none; None where somebody else dealt with it meanwhile."""
    state = _get(db, firing.name)
    if firing.looked and not skip(db, firing.name, firing.looked, state.note):
        return None
    if firing.looked and _was_fired(db, firing):
        return Fired(None, f"its time {firing.occasion} was done before")
    lane = _lane(firing.name)
    busy = unfinished(db, firing.name)
    if busy and firing.mode == "single":
        return _no_job(db, firing, f"job {busy[0]} was not done yet")
    replaced = busy if firing.mode == "restart" else []
    # What a job was given that came to nothing is news still.
    began, ended = state.began if replaced or _was_in_vain(db, state.job_id) else state.ended, newest(db)
    found = compose(db, began, state.fired)
    if found is None:
        return _no_job(db, firing, NOTHING_NEW)
    for job_id in replaced:
        queue.cancel(db, job_id, now)
    source, content = _keep(db, found)
    event = Event(
        firing.task, source, content, f"{firing.name} {firing.occasion}", firing.priority, origin=firing.origin
    )
    added = queue.add(
        db, event, firing.task_hash, firing.model, now, lane=None if firing.mode == "parallel" else lane
    )
    if added is None:
        return _no_job(db, firing, f"its time {firing.occasion} was done before")
    db.execute(
        "UPDATE schedules SET fired = ?, job_id = ?, note = '', result_from = ?, finding_from = ?, result_to = ?, "
        "finding_to = ? WHERE name = ?",
        [timestamp(now), added, began.result, began.finding, ended.result, ended.finding, firing.name],
    )
    return Fired(added, cancelled=tuple(replaced))


def unfinished(db: Database, name: str) -> list[int]:
    """The jobs of a schedule that have not ended, in order."""
    rows = db.query(
        "SELECT id FROM jobs WHERE lane = ? AND state IN ('queued', 'running') ORDER BY id", [_lane(name)]
    )
    return [row["id"] for row in rows]


def newest(db: Database, until: datetime | None = None) -> Marks:
    """How far results and findings go now, or went at some moment."""
    stamp = timestamp(until) if until else "~"  # which sorts after every time
    sql = "SELECT (SELECT coalesce(max(id), 0) FROM results WHERE created <= ?1), "
    sql += "(SELECT coalesce(max(updated), '') FROM log_findings WHERE updated <= ?1)"
    return Marks(*db.execute(sql, [stamp]).fetchone())


def results_since(db: Database, marks: Marks, but: str, limit: int) -> tuple[int, list[StoredResult]]:
    """How many results are newer, those of a task left out, and the newest so many of them in order."""
    test, values = "id > ? AND task != ?", [marks.result, but]
    ((count,),) = db.execute(f"SELECT count(*) FROM results WHERE {test}", values).fetchall()
    rows = db.query(f"SELECT id FROM results WHERE {test} ORDER BY id DESC LIMIT ?", [*values, limit])
    return count, [results.get(db, row["id"]) for row in list(rows)][::-1]


def findings_since(db: Database, marks: Marks, limit: int) -> tuple[int, list[StoredFinding]]:
    """How many findings are new or grew, muted ones left out, and the worst so many of them."""
    test = "updated > ? AND muted IS NULL"
    ((count,),) = db.execute(f"SELECT count(*) FROM log_findings WHERE {test}", [marks.finding]).fetchall()
    rows = db.query(
        f"SELECT * FROM log_findings WHERE {test} ORDER BY score DESC, id LIMIT ?", [marks.finding, limit]
    )
    return count, [StoredFinding(**row) for row in rows]


def _keep(db: Database, found: Document | Bundle) -> tuple[str, str]:
    """Store an input; its source and its content."""
    if isinstance(found, Document):
        keep_document(db, found)
        return found.source, found.content
    content = bundles.keep(db, found.members)
    return found.source(content), content


def _no_job(db: Database, firing: Firing, note: str) -> Fired:
    db.execute("UPDATE schedules SET note = ? WHERE name = ?", [note, firing.name])
    return Fired(None, note)


def _was_fired(db: Database, firing: Firing) -> bool:
    """Whether the clock shows a time again that had its job, whatever that was given."""
    rows = db.execute(
        "SELECT 1 FROM jobs WHERE task = ? AND occasion = ? AND origin = ? LIMIT 1",
        [firing.task, f"{firing.name} {firing.occasion}", firing.origin],
    )
    return rows.fetchone() is not None


def _was_in_vain(db: Database, job_id: int | None) -> bool:
    """Whether a job ended without a result."""
    states = ("failed", "quarantined", "cancelled")
    rows = db.execute("SELECT 1 FROM jobs WHERE id = ? AND state IN (?, ?, ?)", [job_id, *states])
    return rows.fetchone() is not None


def _get(db: Database, name: str) -> Scheduled:
    for row in db.query("SELECT * FROM schedules WHERE name = ?", [name]):
        return _scheduled(row)
    raise NotFound(f"the schedule `{name}` is not known yet", hint="agentd schedule list")


def _lane(name: str) -> str:
    return f"schedule {name}"


def _scheduled(row: dict[str, Any]) -> Scheduled:
    return Scheduled(
        *(row["name"], row["timetable"], row["looked"], row["fired"], row["job_id"], row["note"]),
        began=Marks(row["result_from"], row["finding_from"]),
        ended=Marks(row["result_to"], row["finding_to"]),
    )
