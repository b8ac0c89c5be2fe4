"""The `notify` section of the config: whom to tell of what, where, how often, and when not.

Where a place is, the `actions` section says: addresses and programs stand there once, for results and for notices.
Whether a name of a place leads to one of them is checked where both sections are known.
"""

import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PlainSerializer, field_validator, model_validator

from agentd.config import Duration, Section
from agentd.hours import Hours, parse_hours

DESKTOP = "desktop"  # the place that is always there

About = Literal["finding", "quarantined", "failed", "digest", "unwell"]
# The words of the logs' severities, mildest first.
FindingSeverity = Literal["info", "notice", "warning", "error", "critical"]

_RATE = re.compile(r"(\d{1,6})\s*per\s*(minute|hour|day)")
_SPANS = {"minute": 60.0, "hour": 3600.0, "day": 86400.0}
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")


@dataclass(frozen=True, slots=True)
class Rate:
    """So many in a span."""

    count: int
    span: str  # minute, hour or day

    @property
    def seconds(self) -> float:
        """How long the span is."""
        return _SPANS[self.span]

    def __str__(self) -> str:
        return f"{self.count} per {self.span}"


def parse_rate(value: object) -> Rate:
    """A rate such as `6 per hour`; raises `ValueError` for anything else."""
    match = _RATE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None or not int(match[1]):
        raise ValueError(f"{value!r} is not a rate: write it like 6 per hour")
    return Rate(int(match[1]), match[2])


def parse_quiet(value: object) -> Hours | None:
    """Hours such as `22:00-07:00`, or None for none; raises `ValueError` for anything else."""
    return None if value is None else parse_hours(value)


def _show_hours(hours: Hours | None) -> str | None:
    return None if hours is None else str(hours)


AtMost = Annotated[
    Rate, BeforeValidator(parse_rate, json_schema_input_type=str), PlainSerializer(str, return_type=str)
]
QuietHours = Annotated[
    Hours | None,
    BeforeValidator(parse_quiet, json_schema_input_type=str | None),
    PlainSerializer(_show_hours, return_type=str | None),
]


class NotifyRule(Section):
    """What is told, and where."""

    about: About = Field(
        description="finding (in a log), quarantined or failed (a job), digest (a result of a scheduled task), "
        "or unwell (the daemon itself)."
    )
    severity: FindingSeverity | None = Field(
        None, description="Of findings, only those of this severity or a worse one; error where none is given."
    )
    task: str | None = Field(None, description="Of jobs and digests, only those of this task; null for all.")
    to: tuple[str, ...] = Field(min_length=1, description="Names of places; desktop is always one.")

    @model_validator(mode="after")
    def _fits(self) -> "NotifyRule":
        if self.severity is not None and self.about != "finding":
            raise ValueError(f"only findings have a severity, and this rule is about {self.about}")
        if self.task is not None and self.about in ("finding", "unwell"):
            raise ValueError(f"only jobs and digests have a task, and this rule is about {self.about}")
        return self


class PlaceSettings(Section):
    """A place where somebody is told: a webhook or a command of the `actions` section."""

    webhook: str | None = Field(None, description="A name of actions.webhooks.")
    shape: Literal["standard", "ntfy", "slack"] = Field(
        "standard", description="What the webhook is sent: agentd's own JSON, or what ntfy or Slack expect."
    )
    command: str | None = Field(None, description="A name of actions.commands; it gets JSON on standard input.")

    @model_validator(mode="after")
    def _is_one(self) -> "PlaceSettings":
        if (self.webhook is None) == (self.command is None):
            raise ValueError("a place needs either `webhook` or `command`")
        if self.command is not None and self.shape != "standard":
            raise ValueError("only a webhook has a shape; a command gets agentd's own JSON")
        return self


class NotifySettings(Section):
    """Who is told of what. Nobody, by default."""

    rules: tuple[NotifyRule, ...] = Field((), description="What is told, and where; nothing by default.")
    to: dict[str, PlaceSettings] = Field({}, description="Places by name, beside desktop.")
    quiet_hours: QuietHours = Field(
        None, description="Hours in which everything is held back, to be told together afterwards; null for none."
    )
    at_most: AtMost = Field(
        Rate(6, "hour"), description="How many messages a place gets; what is more goes into the next one."
    )
    group: Duration = Field(30.0, description="What comes within this time is one message.")

    @field_validator("to")
    @classmethod
    def _plain_names(cls, places: dict[str, PlaceSettings]) -> dict[str, PlaceSettings]:
        for name in places:
            if not _NAME.fullmatch(name):
                raise ValueError(f"the name {name!r} may have a-z, 0-9, - and _ only, at most 32")
            if name == DESKTOP:
                raise ValueError(f"`{DESKTOP}` is always there: give this place another name")
        return places

    @model_validator(mode="after")
    def _known_places(self) -> "NotifySettings":
        for rule in self.rules:
            for name in rule.to:
                if name not in self.places:
                    raise ValueError(f"there is no place `{name}`: there is {', '.join(self.places)}")
        return self

    @property
    def places(self) -> list[str]:
        """The names of all places."""
        return [DESKTOP, *self.to]

    def missing(self, webhooks: dict[str, Any], commands: dict[str, Any]) -> str | None:
        """What a place leads to that the `actions` section does not have; None where all is there."""
        for name, place in self.to.items():
            if place.webhook is not None and place.webhook not in webhooks:
                return f"place `{name}`: actions.webhooks has no `{place.webhook}`"
            if place.command is not None and place.command not in commands:
                return f"place `{name}`: actions.commands has no `{place.command}`"
        return None
