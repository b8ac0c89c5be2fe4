"""How long the queue will take, and where a job stands in it, from what results took lately.

Jobs share the steps of the engine, so it is their shares of those that add up, not how long each was under way.
Everything is told as from now, or from when a daemon is started.
"""

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from sqlite_utils import Database

from agentd.records import Priority

LATELY = 25  # results of a task that tell how long its next will take
NEIGHBOURS = 200  # results of all tasks that tell it for a task that has none yet


_PAUSED = int(Priority.PAUSED)  # jobs that are no work until they are resumed


@dataclass(frozen=True, slots=True)
class Place:
    """Where a queued job stands."""

    position: int  # in the queue of its model, from 1
    eta_seconds: float | None  # until it is done; None before the first result of its model


def find_places(db: Database, job_ids: Sequence[int]) -> dict[int, Place]:
    """The places of those of these jobs that are queued, by id."""
    wanted = json.dumps(list(job_ids))
    models = [
        row["model"]
        for row in db.query(
            "SELECT DISTINCT model FROM jobs WHERE state = 'queued' AND id IN (SELECT value FROM json_each(?))",
            [wanted],
        )
    ]
    found: dict[int, Place] = {}
    for model in models:
        left = _jobs_left(db, model)
        usual = {task: seconds_each(db, task, model) for task in left}
        # Those in hand are counted whole: how far each is, only the engine knows.
        running = sum(count * (usual[task] or 0.0) for task, (_, count) in left.items())
        rows = db.query(
            "SELECT * FROM (SELECT jobs.id, row_number() OVER line AS position, "
            "sum(usual.value) OVER line AS seconds "
            "FROM jobs LEFT JOIN json_each(:usual) AS usual ON usual.key = task "
            f"WHERE state = 'queued' AND priority < {_PAUSED} AND model = :model "
            "WINDOW line AS (ORDER BY priority, jobs.id)) "
            "WHERE id IN (SELECT value FROM json_each(:wanted))",
            {"usual": json.dumps(usual), "model": model, "wanted": wanted},
        )
        for row in rows:
            seconds = None if row["seconds"] is None else running + row["seconds"]
            found[row["id"]] = Place(row["position"], seconds)
    return found


@dataclass(frozen=True, slots=True)
class Line:
    """What waits and runs of one priority."""

    queued: int
    running: int
    eta_seconds: float | None  # until its last job is done, more urgent ones before it; None where that is unknown


def find_lines(db: Database) -> dict[Priority, Line]:
    """The queue by priority, the most urgent first; every priority is there."""
    rows = list(
        db.query(
            "SELECT model, task, priority, sum(state = 'queued') AS queued, sum(state = 'running') AS running "
            "FROM jobs WHERE state IN ('queued', 'running') GROUP BY model, task, priority"
        )
    )
    usual = {pair: seconds_each(db, *pair) for pair in {(row["task"], row["model"]) for row in rows}}
    before: dict[str, float | None] = {}  # by model, how long what is more urgent takes
    lines = {}
    for priority in Priority:
        mine = [row for row in rows if row["priority"] == int(priority)]
        for row in mine if priority is not Priority.PAUSED else ():
            each, so_far = usual[row["task"], row["model"]], before.get(row["model"], 0.0)
            left = None if each is None or so_far is None else so_far + (row["queued"] + row["running"]) * each
            before[row["model"]] = left
        ends = [before[row["model"]] for row in mine] if priority is not Priority.PAUSED else [None]
        known = [end for end in ends if end is not None]
        lines[priority] = Line(
            queued=sum(row["queued"] for row in mine),
            running=sum(row["running"] for row in mine),
            eta_seconds=max(known, default=0.0) if len(known) == len(ends) else None,
        )
    return lines


def seconds_left(db: Database) -> float | None:
    """Until every queue is empty, models working side by side; None where a model with jobs has no result yet."""
    longest = 0.0
    for row in list(db.query("SELECT DISTINCT model FROM jobs WHERE state IN ('queued', 'running')")):
        total = 0.0
        for task, (queued, running) in _jobs_left(db, row["model"]).items():
            usual = seconds_each(db, task, row["model"])
            if usual is None:
                return None
            total += (queued + running) * usual
        longest = max(longest, total)
    return longest


def seconds_each(db: Database, task: str, model: str) -> float | None:
    """What a job of this task on this model of the config usually takes: the median of the last results.

    For a task that has none yet, that of its neighbours on the same model; None before the first.
    """
    # A result from before shares were measured says how long it was under way, which is the next best.
    sample = (
        "SELECT coalesce(nullif(engine_seconds, 0), seconds) AS seconds FROM "
        "(SELECT * FROM results {} ORDER BY id DESC LIMIT ?) AS last JOIN jobs ON jobs.id = last.job_id "
        "WHERE jobs.model = ?"
    )
    for which, values in (
        ("WHERE task = ?", [task, LATELY, model]),
        ("", [NEIGHBOURS, model]),
    ):
        seconds = [float(row["seconds"]) for row in db.query(sample.format(which), values)]
        if seconds:
            return statistics.median(seconds)
    return None


def _jobs_left(db: Database, model: str) -> dict[str, tuple[int, int]]:
    """By task, how many jobs of a model are queued and how many are in hand."""
    rows = db.query(
        "SELECT task, sum(state = 'queued') AS queued, sum(state = 'running') AS running FROM jobs "
        f"WHERE state IN ('queued', 'running') AND priority < {_PAUSED} AND model = ? GROUP BY task",
        [model],
    )
    return {row["task"]: (row["queued"], row["running"]) for row in rows}
