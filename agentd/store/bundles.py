"""Bundles: several files of a folder that are one input of one job.

Which files are taken together, the trigger knows; how they become one text, the readers know.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from sqlite_utils import Database

from agentd.errors import NotFound
from agentd.records import Event, Priority, bundle_source, timestamp
from agentd.store import positions, queue
from agentd.store.positions import Binding, Taken

Mode = Literal["single", "restart", "queued", "parallel"]

MOST_FILES = 1000  # of one job


@dataclass(frozen=True, slots=True)
class Member:
    """One file of a bundle."""

    source: str
    content: str  # sha256


@dataclass(frozen=True, slots=True)
class Bundled:
    """What became of files that were taken together."""

    added: list[int]
    cancelled: list[int]  # jobs that the new ones replace


def take(db: Database, files: Sequence[Taken], folder: Path, mode: Mode, bind: Binding, now: datetime) -> Bundled:
    """Note these files as taken and queue one job for all that are news; refused ones fail by themselves.

    With `restart`, the jobs of the folder that have not ended are cancelled, and their files come along.
    """
    event = files[0].event
    task_hash, model = bind(event.task)
    news = [file.event for file in files if _is_news(db, file)]
    added = [queue.add(db, one, task_hash, model, now) for one in news if one.refusal]
    members = {one.source: Member(one.source, one.content) for one in news if not one.refusal}
    cancelled: list[int] = []
    if members and mode == "restart":
        cancelled = _unfinished(db, event.task, folder)
        for job_id in cancelled:
            members = {member.source: member for member in _let_go(db, job_id, now)} | members
    ordered = sorted(members.values(), key=lambda member: member.source)
    for start in range(0, len(ordered), MOST_FILES):
        content = keep(db, ordered[start : start + MOST_FILES])
        bundle = _event(event, folder, content, min(one.priority for one in news), now)
        lane = None if mode == "parallel" else queue.lane_of(event.task, bundle.source)
        added.append(queue.add(db, bundle, task_hash, model, now, lane=lane))
    return Bundled([job for job in added if job is not None], cancelled)


def is_busy(db: Database, task: str, folder: Path) -> bool:
    """Whether a job of this folder is queued or running."""
    return bool(_unfinished(db, task, folder))


def keep(db: Database, members: Sequence[Member]) -> str:
    """Store which files these are, and return what stands for all of them: a hash of their paths and contents."""
    basis = json.dumps([[member.source, member.content] for member in members])
    content = hashlib.sha256(basis.encode()).hexdigest()
    for member in members:
        db.execute(
            "INSERT INTO bundles (content, source, sha256, missed) VALUES (?, ?, ?, 0) ON CONFLICT DO NOTHING",
            [content, member.source, member.content],
        )
    return content


def load(db: Database, content: str) -> list[Member]:
    """The files of a bundle, by path; raises `NotFound`."""
    rows = db.query("SELECT source, sha256 FROM bundles WHERE content = ? ORDER BY source", [content])
    found = [Member(row["source"], row["sha256"]) for row in rows]
    if not found:
        raise NotFound("the files of this job are not known any more", hint="agentd jobs list")
    return found


def note_missed(db: Database, content: str, sources: Sequence[str]) -> None:
    """Note which files of a bundle were not there as they had been taken: as they were, they are news again."""
    db.execute(
        "UPDATE bundles SET missed = source IN (SELECT value FROM json_each(?)) WHERE content = ?",
        [json.dumps(list(sources)), content],
    )


def _is_news(db: Database, file: Taken) -> bool:
    is_news = positions.take_news(db, file)
    event = file.event
    missed = db.execute(
        "UPDATE bundles SET missed = 0 WHERE source = ? AND sha256 = ? AND missed", [event.source, event.content]
    )
    return is_news or (file.wanted and missed.rowcount > 0)


def _event(first: Event, folder: Path, content: str, priority: Priority, now: datetime) -> Event:
    occasion = f"files of {timestamp(now)}"
    source = bundle_source(folder, content)
    return Event(first.task, source, content, occasion, priority, origin=first.origin)


def _unfinished(db: Database, task: str, folder: Path) -> list[int]:
    lane = queue.lane_of(task, bundle_source(folder, ""))
    rows = db.query("SELECT id FROM jobs WHERE lane = ? AND state IN ('queued', 'running') ORDER BY id", [lane])
    return [row["id"] for row in rows]


def _let_go(db: Database, job_id: int, now: datetime) -> list[Member]:
    """Cancel the job of a bundle, and return its files."""
    content = queue.cancel(db, job_id, now).content
    members = load(db, content)
    db.execute(
        "DELETE FROM bundles WHERE content = ?1 "
        "AND NOT EXISTS (SELECT 1 FROM jobs WHERE content = ?1 AND id != ?2)",
        [content, job_id],
    )
    return members
