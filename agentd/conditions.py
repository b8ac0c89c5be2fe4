"""When work may be done: what a `when:` of the config asks of the machine, and what is missing from that now.

Pure. A fact that this machine cannot tell never holds work back for ever: `judge` takes it as fulfilled. How the
facts are read, and which jobs wait, is not known here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated

from pydantic import BeforeValidator, Field, PlainSerializer, StrictBool

from agentd.config import Duration, Section, Size
from agentd.hours import Hours, parse_hours
from agentd.records import Priority


def parse_parts(value: object) -> tuple[Hours, ...]:
    """The hours in `22:00-06:00`, or in a list of such; raises `ValueError` for anything else."""
    texts = value if isinstance(value, (list, tuple)) else [value]
    return tuple(text if isinstance(text, Hours) else parse_hours(text) for text in texts)


_HoursList = Annotated[
    tuple[Hours, ...],
    BeforeValidator(parse_parts, json_schema_input_type=str | list[str]),
    PlainSerializer(lambda hours: [str(part) for part in hours], return_type=list[str]),
]


class When(Section):
    """What must hold before work is begun; every key that is given has to. Work under way is finished."""

    on_ac: StrictBool = Field(
        False, description="Only on mains power. A machine without a battery always has that."
    )
    battery_above: int | None = Field(
        None,
        ge=0,
        lt=100,
        description="Only while the battery has more than so many percent, charging or not. Holds without one.",
    )
    idle_for: Duration | None = Field(
        None,
        description="Only when nobody has touched this machine for so long. Holds where nobody is logged in, and "
        "on a desktop that does not tell.",
    )
    load_below: float | None = Field(
        None,
        gt=0,
        description="Only while the others make a lower load than this: the average over a minute of the whole "
        "machine, as `uptime` says it, without what agentd itself uses.",
    )
    gpu_free: StrictBool | Size = Field(
        False,
        description="Only while no other process computes on a GPU (true), or while a GPU has so much free "
        "memory, such as 8GiB. Holds where no NVIDIA GPU can be asked.",
    )
    hours: _HoursList = Field(
        (),
        description="Only in these parts of the day, by this machine's clock: `22:00-06:00`, or a list of such.",
    )
    network: StrictBool = Field(False, description="Only while there is a way to other networks.")

    @property
    def asks(self) -> frozenset[str]:
        """The keys that ask something of the machine."""
        defaults = type(self).model_fields
        return frozenset(name for name in defaults if getattr(self, name) != defaults[name].default)


class WhenOfClasses(Section):
    """What must hold for whole classes of work. Nobody holds back a person who waits for an answer."""

    triggered: When = Field(
        When.model_construct(), description="For what happens while agentd runs: new files, findings, schedules."
    )
    backfill: When = Field(
        When.model_construct(),
        description="For what was there before: files of a first look at a folder, and `agentd backfill`.",
    )

    def by_priority(self) -> dict[Priority, When]:
        """What must hold for each class that has to wait for something."""
        classes = {Priority.TRIGGERED: self.triggered, Priority.BACKFILL: self.backfill}
        return {priority: when for priority, when in classes.items() if when.asks}


@dataclass(frozen=True, slots=True)
class Machine:
    """What is known of the machine at one moment; None for what it cannot tell, or was not asked."""

    on_ac: bool | None = None
    battery: float | None = None  # percent
    idle_seconds: float | None = None  # since somebody touched it; infinite where nobody is logged in
    load: float | None = None  # of the others, over the last minute
    gpu_users: Sequence[str] | None = None  # other programs that compute on a GPU: "blender (pid 12)"
    gpu_free: int | None = None  # bytes, on the GPU that has most
    network: bool | None = None


@dataclass(frozen=True, slots=True)
class Closed:
    """What may not be begun now, and why in words: "waits for mains power"."""

    origins: Mapping[str, str] = field(default_factory=dict)  # of jobs; see `records.Event`
    priorities: Mapping[Priority, str] = field(default_factory=dict)

    def to_wire(self) -> dict[str, dict[str, str]]:
        """As JSON can hold it."""
        priorities = {priority.name.lower(): reason for priority, reason in self.priorities.items()}
        return {"origins": dict(self.origins), "priorities": priorities}

    @classmethod
    def from_wire(cls, wire: Mapping[str, Mapping[str, str]]) -> "Closed":
        """Rebuild what `to_wire` made."""
        return cls(wire["origins"], {Priority[name.upper()]: why for name, why in wire["priorities"].items()})

    def __bool__(self) -> bool:
        return bool(self.origins or self.priorities)

    def why(self, origin: str | None, priority: Priority) -> str | None:
        """Why a job waits; None for one that may be begun. What a person waits for always may."""
        if priority is Priority.INTERACTIVE:
            return None
        return self.origins.get(origin or "") or self.priorities.get(priority)


def judge(when: When, machine: Machine, now: datetime) -> str | None:
    """What work waits for, as a person reads it, or None where it may begin; `now` is as the clock shows it."""
    missing = [
        _mains(when, machine),
        _battery(when, machine),
        _idle(when, machine),
        _load(when, machine),
        _gpu(when, machine),
        _hours(when, now),
        _network(when, machine),
    ]
    told = [reason for reason in missing if reason]
    return f"waits {' and '.join(told)}" if told else None


def _mains(when: When, machine: Machine) -> str | None:
    return "for mains power" if when.on_ac and machine.on_ac is False else None


def _battery(when: When, machine: Machine) -> str | None:
    least, has = when.battery_above, machine.battery
    if least is None or has is None or has > least:
        return None
    return f"for more than {least} % of battery (it has {has:.0f} %)"


def _idle(when: When, machine: Machine) -> str | None:
    if when.idle_for is None or machine.idle_seconds is None or machine.idle_seconds >= when.idle_for:
        return None
    return f"until nobody has used this machine for {_duration(when.idle_for)}"


def _load(when: When, machine: Machine) -> str | None:
    if when.load_below is None or machine.load is None or machine.load < when.load_below:
        return None
    return f"for a load below {when.load_below:g} (others make {machine.load:.1f})"


def _gpu(when: When, machine: Machine) -> str | None:
    if when.gpu_free is True:
        return f"for the GPU, which {' and '.join(machine.gpu_users)} uses" if machine.gpu_users else None
    if when.gpu_free is False or machine.gpu_free is None or machine.gpu_free >= when.gpu_free:
        return None
    return f"for {when.gpu_free / 1024**3:g} GiB of free GPU memory (there is {machine.gpu_free / 1024**3:.1f})"


def _hours(when: When, now: datetime) -> str | None:
    if not when.hours or any(now.time() in part for part in when.hours):
        return None
    coming = min(when.hours, key=lambda part: part.minutes_until(now))
    return f"until {coming.begin:%H:%M}"


def _network(when: When, machine: Machine) -> str | None:
    return "for the network" if when.network and machine.network is False else None


def _duration(seconds: float) -> str:
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g} {unit}"
    return f"{seconds:g} s"
