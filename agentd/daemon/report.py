"""What `agentd status` tells where no daemon runs, and the parts that it shares with a running one.

Imported by a command that people type all day: nothing here loads the readers, the tasks or the engine.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import agentd
from agentd.api.schedule_shapes import ScheduleShape
from agentd.api.shapes import job_shape
from agentd.api.status_shapes import JobCountsShape, LineShape, ModelShape, StatusShape
from agentd.daemon.settings import Config
from agentd.engine.settings import ModelSettings
from agentd.records import Job, JobState, Priority, timestamp
from agentd.store.outlook import Line
from agentd.triggers.schedule_settings import ScheduleSettings

LAST_ERRORS = 5  # jobs that were given up, and are told


def report_stopped(
    config: Config,
    counts: dict[JobState, int],
    eta_seconds: float | None = None,
    lines: Mapping[Priority, Line] | None = None,
    errors: Sequence[Job] = (),
) -> StatusShape:
    """The status where no daemon runs; `eta_seconds` is the work that waits for one, where that is known."""
    return {
        "pid": None,
        "started": None,
        "rss": None,
        "ready": False,
        "version": agentd.__version__,
        "models": {name: model_shape(settings) for name, settings in config.models.items()},
        "jobs": count_shape(counts),
        "waiting": None,
        "eta_seconds": eta_seconds,
        "queue": line_shapes(lines or {}),
        "last_errors": [job_shape(job) for job in errors],
        "long": [],
        "watches": [
            {"path": str(watch.path), "task": watch.task, "scanned": False, "problem": None}
            for watch in config.watch
        ],
        "logs": [{"source": log.source, "task": log.task, "lines": 0, "problems": []} for log in config.logs],
        "schedules": [_schedule_shape(one) for one in config.schedule],
        "backfills": [],
        "changes": {},
        "duties": {},
        "problems": [],
        "notices": [],
    }


def _schedule_shape(schedule: ScheduleSettings) -> ScheduleShape:
    """The JSON of a schedule by its times alone: what was fired stands in the database."""
    timetable, moment = schedule.timetable(), datetime.now(UTC)
    coming = next(timetable.coming(moment, moment), None)
    return {
        "name": schedule.title,
        "task": schedule.task,
        "when": schedule.words,
        "timezone": schedule.timezone,
        "fired": None,
        "next": timestamp(timetable.firing(coming)) if coming else None,
        "overdue": False,
        "job": None,
        "state": "waiting" if coming else "over",
        "note": "",
        "problem": None,
    }


def count_shape(counts: dict[JobState, int]) -> JobCountsShape:
    """The JSON of job counts."""
    return {
        "queued": counts[JobState.QUEUED],
        "running": counts[JobState.RUNNING],
        "done": counts[JobState.DONE],
        "failed": counts[JobState.FAILED],
        "quarantined": counts[JobState.QUARANTINED],
        "cancelled": counts[JobState.CANCELLED],
    }


def line_shapes(lines: Mapping[Priority, Line]) -> list[LineShape]:
    """The JSON of the queue by priority."""
    return [
        {
            "priority": priority.name.lower(),
            "queued": line.queued,
            "running": line.running,
            "eta_seconds": None if line.eta_seconds is None else round(line.eta_seconds, 1),
        }
        for priority, line in lines.items()
    ]


def model_shape(settings: ModelSettings) -> ModelShape:
    """The JSON of a model that is not loaded."""
    return {
        "path": settings.path,
        "use": settings.use,
        "kv_cache": str(settings.kv_cache),
        "context": None,
        "cells": None,
        "parallel": None,
        "gpu_layers": None,
        "layers": None,
        "memory": [],
        "weights": "",
        "notes": [],
        "load": None,
        "loaded": False,
        "state": "unloaded",
        "held": False,
        "gave_way_to": None,
        "description": None,
        "error": None,
        "fake": False,
        "vector": None,
        "child_pid": None,
        "rss": None,
        "restarts": 0,
    }
