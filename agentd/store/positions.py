"""Where the folder triggers stand: what each file looked like when it was last taken.

`take` commits a look at the disk together with the jobs it causes. The same content under the same path is one
job; content that comes back after another is a new one; a file that moved takes its history along; a job that
missed its content (the file was away, or another one, just then) is queued again. What a folder is and when a
file is ready, the trigger knows.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlite_utils import Database

from agentd.errors import Superseded, Vanished
from agentd.records import Event, JobState, timestamp
from agentd.store import changes, queue


@dataclass(frozen=True, slots=True)
class Stamp:
    """What a file looks like from outside; equal stamps are taken for equal contents."""

    inode: int
    size: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class Position:
    """A file as it was last taken."""

    stamp: Stamp
    content: str
    gone: bool = False


@dataclass(frozen=True, slots=True)
class Taken:
    """A file that is ready now, and whether it should become a job."""

    event: Event
    stamp: Stamp
    wanted: bool = True


# What binds an event to the task as it is now: (task hash, model name).
Binding = Callable[[str], tuple[str, str]]


def load(db: Database, task: str, root: str) -> dict[str, Position]:
    """The positions of a task below a folder, by source."""
    rows = db.query(
        "SELECT source, inode, size, mtime_ns, content, gone FROM positions WHERE task = ? "
        "AND (substr(source, 1, length(?)) = ? OR source LIKE 'file://%')",
        [task, root, root],
    )
    return {
        row["source"]: Position(
            Stamp(row["inode"], row["size"], row["mtime_ns"]),
            row["content"],
            row["gone"] is not None,
        )
        for row in rows
    }


def was_scanned(db: Database, task: str, root: str) -> bool:
    """Whether this folder was ever scanned to its end for this task."""
    return any(True for _ in db.query("SELECT 1 FROM watches WHERE task = ? AND root = ?", [task, root]))


def note_scanned(db: Database, task: str, root: str, now: datetime) -> None:
    """From now on this folder is not new to this task."""
    db.execute(
        "INSERT INTO watches (task, root, first_scan) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
        [task, root, timestamp(now)],
    )


def take(db: Database, files: Sequence[Taken], bind: Binding, now: datetime) -> list[int]:
    """Note these files as taken and queue the jobs they cause; return the jobs' ids."""
    added = []
    for file in files:
        job = _take_one(db, file, bind, now)
        if job is not None:
            added.append(job)
    return added


def mark_gone(db: Database, task: str, sources: Sequence[str], now: datetime) -> None:
    """Note that files are missing; their history stays for a later return or rename."""
    for source in sources:
        db.execute(
            "UPDATE positions SET gone = ? WHERE task = ? AND source = ? AND gone IS NULL",
            [timestamp(now), task, source],
        )


def take_news(db: Database, file: Taken) -> bool:
    """Note a file as taken; whether it has content that should become a job, be it with others or alone."""
    before = _note(db, file)
    return _is_wanted(db, file) and before != file.event.content


def _take_one(db: Database, file: Taken, bind: Binding, now: datetime) -> int | None:
    event = file.event
    task_hash, model = bind(event.task)
    before = _note(db, file)
    if not _is_wanted(db, file):
        return None
    if changes.has_sidecar_at(db, event.source):
        return None
    if missed := _missed_job(db, event):
        return queue.retry_job(db, missed, now).id
    if before == event.content:
        return None  # only touched or moved; a task that changed makes the result stale, not the file new
    same = list(
        db.query(
            "SELECT id, state FROM jobs WHERE task = ? AND task_hash = ? AND source = ? AND content = ?",
            [event.task, task_hash, event.source, event.content],
        )
    )
    for row in same:
        queue.hurry(db, row["id"], event.priority)
    if same and (before is None or any(not JobState(row["state"]).final for row in same)):
        return None
    occasion = f"return {_times_done(db, event)}" if same else event.occasion
    return queue.add(db, replace(event, occasion=occasion), task_hash, model, now)


def _times_done(db: Database, event: Event) -> int:
    """How many jobs this content has had here, whatever the task was then: a number that never comes twice."""
    rows = db.query(
        "SELECT count(*) AS n FROM jobs INDEXED BY jobs_by_source WHERE task = ? AND source = ? AND content = ?",
        [event.task, event.source, event.content],
    )
    return int(next(iter(rows))["n"])


def _missed_job(db: Database, event: Event) -> int | None:
    """The newest job of this content, if all that went wrong is that the file was not so when it was read."""
    rows = db.query(
        "SELECT id, state, reason FROM jobs INDEXED BY jobs_by_source "
        "WHERE task = ? AND source = ? AND content = ? ORDER BY id DESC LIMIT 1",
        [event.task, event.source, event.content],
    )
    for row in rows:
        if JobState(row["state"]).final and row["reason"] in (Vanished.code, Superseded.code):
            return int(row["id"])
    return None


def _content_at(db: Database, task: str, source: str) -> str | None:
    rows = list(db.query("SELECT content FROM positions WHERE task = ? AND source = ?", [task, source]))
    return str(rows[0]["content"]) if rows else None


def _is_wanted(db: Database, file: Taken) -> bool:
    return file.wanted and not changes.is_own(db, file.event.source, file.event.content)


def _note(db: Database, file: Taken) -> str | None:
    """Note how a file looks, and return what it, or a missing file that it is now, had been taken with."""
    event, stamp = file.event, file.stamp
    before = _content_at(db, event.task, event.source)
    if before is None and _follow_rename(db, event):
        before = event.content
    db.execute(
        "INSERT INTO positions (task, source, inode, size, mtime_ns, content) VALUES (?, ?, ?, ?, ?, ?) "
        "ON CONFLICT DO UPDATE SET inode = excluded.inode, size = excluded.size, "
        "mtime_ns = excluded.mtime_ns, content = excluded.content, gone = NULL",
        [
            *(event.task, event.source),
            *(stamp.inode, stamp.size, stamp.mtime_ns, event.content),
        ],
    )
    return before


def _follow_rename(db: Database, event: Event) -> bool:
    """Give a new path the history of a missing file with the same content; False where there is none.

    Content and not the inode is what counts: an inode is given away again as soon as a file is deleted.
    """
    rows = list(
        db.query(
            # Without statistics SQLite would rather walk every position of the task.
            "SELECT source FROM positions INDEXED BY positions_by_content "
            "WHERE task = ? AND content = ? AND gone IS NOT NULL ORDER BY gone DESC LIMIT 1",
            [event.task, event.content],
        )
    )
    if not rows:
        return False
    old = rows[0]["source"]
    db.execute("DELETE FROM positions WHERE task = ? AND source = ?", [event.task, old])
    db.execute(
        "UPDATE OR IGNORE bundles SET source = ? WHERE source = ? AND sha256 = ?",
        [event.source, old, event.content],
    )
    # A path that had this content before keeps its own jobs: those rows stay where they are.
    db.execute(
        "UPDATE OR IGNORE jobs SET source = ? WHERE task = ? AND source = ?", [event.source, event.task, old]
    )
    db.execute(
        "UPDATE results SET source = ? WHERE task = ? AND source = ? "
        "AND job_id IN (SELECT id FROM jobs WHERE source = ?)",
        [event.source, event.task, old, event.source],
    )
    changes.follow(db, old, event.source)
    return True
