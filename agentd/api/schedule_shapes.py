"""The JSON of `agentd schedule … --json`: schedules, and when they come next.

The same rules as in `api.shapes`: keys may be added and never change their meaning.
"""

from typing import TypedDict


class ScheduleShape(TypedDict):
    """One schedule: an element of `agentd schedule list --json`."""

    name: str
    task: str
    when: str  # its times in words
    timezone: str | None  # of these; null for this machine's
    fired: str | None  # when its last job was made: UTC, ISO 8601
    next: str | None  # when it comes next: UTC, ISO 8601; null where it does not any more
    overdue: bool  # a time was missed, and is caught up when the daemon runs
    job: int | None  # the last one
    state: str  # queued or running, as its last job; else waiting, or over where no time comes any more
    note: str  # why its last time made no job, such as `nothing new`; empty where it did
    problem: str | None  # why its task cannot be used


class FiringShape(TypedDict):
    """One time to come: an element of `agentd schedule next --json`."""

    name: str  # of the schedule
    task: str
    time: str  # UTC, ISO 8601
    shown: str  # by the clock of the schedule's zone
    clock_change: float  # by how many hours the clock goes forward that day; 0 on most days
