"""Bundles: several files of a folder that are one input of one job.

Which files are taken together, the trigger knows; how they become one text, the readers know.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from sqlite_utils import Database

from agentd.errors import NotFound
from agentd.records import Event, timestamp
from agentd.store import positions, queue
from agentd.store.positions import Binding, Taken

Mode = Literal["single", "restart", "queued", "parallel"]


@dataclass(frozen=True, slots=True)
class Member:
    """One file of a bundle."""

    source: str
    content: str  # sha256


@dataclass(frozen=True, slots=True)
class Bundled:
    """What became of files that were taken together."""

    added: list[int]
    cancelled: list[int]  # jobs that the new one replaces


def lane_of(task: str, source: str) -> str:
    """The lane in which the bundles of a folder are done for a task."""
    return f"{task} {source}"


def take(db: Database, files: Sequence[Taken], source: str, mode: Mode, bind: Binding, now: datetime) -> Bundled:
    """Note these files as taken and queue one job for all that are news; refused ones fail by themselves.

    With `restart`, the jobs of the folder that have not ended are cancelled, and their files come along.
    """
    event = files[0].event
    task_hash, model = bind(event.task)
    news = [file.event for file in files if positions.take_news(db, file)]
    added = [queue.add(db, one, task_hash, model, now) for one in news if one.refusal]
    members = {one.source: Member(one.source, one.content) for one in news if not one.refusal}
    if not members:
        return Bundled([job for job in added if job is not None], [])
    lane = lane_of(event.task, source)
    cancelled = _unfinished(db, lane) if mode == "restart" else []
    for job_id in cancelled:
        earlier = load(db, queue.get(db, job_id).content)
        members = {member.source: member for member in earlier} | members
        queue.cancel(db, job_id, now)
    ordered = sorted(members.values(), key=lambda member: member.source)
    content = _keep(db, ordered)
    together = replace(event, source=source, content=content, occasion=f"files of {timestamp(now)}", refusal=None)
    added.append(
        queue.add(
            db, _most_urgent(together, news), task_hash, model, now, lane=None if mode == "parallel" else lane
        )
    )
    return Bundled([job for job in added if job is not None], cancelled)


def is_busy(db: Database, task: str, source: str) -> bool:
    """Whether a job of this folder is queued or running."""
    return bool(_unfinished(db, lane_of(task, source)))


def load(db: Database, content: str) -> list[Member]:
    """The files of a bundle, by path; raises `NotFound`."""
    rows = db.query("SELECT source, sha256 FROM bundles WHERE content = ? ORDER BY source", [content])
    found = [Member(row["source"], row["sha256"]) for row in rows]
    if not found:
        raise NotFound("the files of this job are not known any more", hint="agentd jobs list")
    return found


def _unfinished(db: Database, lane: str) -> list[int]:
    rows = db.query("SELECT id FROM jobs WHERE lane = ? AND state IN ('queued', 'running') ORDER BY id", [lane])
    return [row["id"] for row in rows]


def _keep(db: Database, members: Sequence[Member]) -> str:
    """Store which files these are, and return what stands for all of them: a hash of their paths and contents."""
    basis = json.dumps([[member.source, member.content] for member in members])
    content = hashlib.sha256(basis.encode()).hexdigest()
    for member in members:
        db.execute(
            "INSERT INTO bundles (content, source, sha256) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
            [content, member.source, member.content],
        )
    return content


def _most_urgent(event: Event, news: Sequence[Event]) -> Event:
    return replace(event, priority=min(one.priority for one in news))
