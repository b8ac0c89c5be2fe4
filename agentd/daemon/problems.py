"""When the daemon is unwell: one definition, for `agentd status`, for who is told, and for the watchdog.

Pure: what the parts say of themselves in, problems out. Each has a key that stays the same for as long as the
trouble does, so that it can be told once. That a job failed is no problem of the daemon's.
"""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from agentd.daemon.disks import Disk
from agentd.daemon.duty import TROUBLE_FAILURES, TROUBLE_SECONDS, Duty
from agentd.errors import AgentdError, StoreError


@dataclass(frozen=True, slots=True)
class Problem:
    """Something of the daemon's that a person has to look at."""

    key: str  # its kind and which one, the same for as long as it lasts: "duty heartbeat", "database"
    told: str  # what is wrong
    hint: str  # the next command to type


@dataclass(frozen=True, slots=True)
class Vitals:
    """What the parts of a running daemon say of themselves."""

    duties: Sequence[Duty] = ()
    models: Mapping[str, AgentdError | None] = field(default_factory=dict)  # by name, why it is not there
    store: StoreError | None = None  # why the last write failed
    backup: StoreError | None = None  # why there is no backup of today
    disks: Sequence[Disk] = ()
    watches: Mapping[str, str | None] = field(default_factory=dict)  # by folder and task, what is wrong
    schedules: Mapping[str, str | None] = field(default_factory=dict)  # by name, why its task cannot be run
    logs: Mapping[str, Sequence[AgentdError]] = field(default_factory=dict)  # by source, what cannot be read


def find_problems(vitals: Vitals, now: float) -> list[Problem]:
    """Everything that is wrong, what weighs most first; `now` is by `time.monotonic`."""
    return [
        *_database(vitals.store),
        *_backup(vitals.backup),
        *_disks(vitals.disks),
        *_duties(vitals.duties, now),
        *_models(vitals.models),
        *_watches(vitals.watches),
        *_schedules(vitals.schedules),
        *_logs(vitals.logs),
    ]


def _database(broken: StoreError | None) -> Iterator[Problem]:
    if broken:
        yield Problem("database", f"what was last to be written could not be: {broken.message}", broken.hint)


def _backup(missing: StoreError | None) -> Iterator[Problem]:
    if missing:
        yield Problem("backup", missing.message, missing.hint)


def _disks(disks: Sequence[Disk]) -> Iterator[Problem]:
    for disk in disks:
        if disk.low:
            yield Problem(f"disk {disk.path}", disk.told(), f"df -h {shlex.quote(str(disk.path))}")


def _duties(duties: Sequence[Duty], now: float) -> Iterator[Problem]:
    for duty in duties:
        told = None
        if duty.stuck:
            told = f"{duty.name} has given no sign of life for {duty.silence:.0f} s"
        elif duty.in_trouble(now):
            often = f"{TROUBLE_FAILURES} times in {TROUBLE_SECONDS / 60:.0f} minutes"
            told = f"{duty.name} had to be started again {often}: {duty.error}"
        if told:
            yield Problem(f"duty {duty.name}", told, "agentd restart")


def _models(models: Mapping[str, AgentdError | None]) -> Iterator[Problem]:
    for name, error in models.items():
        if error:
            yield Problem(f"model {name}", f"model {name} failed: {error.message}", error.hint)


def _watches(watches: Mapping[str, str | None]) -> Iterator[Problem]:
    for which, problem in watches.items():
        if problem:
            yield Problem(f"watch {which}", problem, "agentd doctor")


def _schedules(schedules: Mapping[str, str | None]) -> Iterator[Problem]:
    for name, problem in schedules.items():
        if problem:
            yield Problem(f"schedule {name}", f"schedule {name} waits when it is due: {problem}", "agentd doctor")


def _logs(logs: Mapping[str, Sequence[AgentdError]]) -> Iterator[Problem]:
    for source, problems in logs.items():
        if problems:
            more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
            yield Problem(f"log {source}", f"{source}: {problems[0].message}{more}", problems[0].hint)
