"""The `schedule` section of the config: which tasks run by the clock, and on what.

When that is, `triggers.schedule` knows, which is imported only once there is a schedule.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import BeforeValidator, Field, field_validator, model_validator

from agentd.conditions import When
from agentd.config import Duration, Section, UserPath
from agentd.triggers.settings import WatchSettings

if TYPE_CHECKING:
    from agentd.triggers.schedule import Times, Timetable

Material = Literal["results", "findings"]

_DAILY = re.compile(r"(\d{1,2}) (\d{1,2}) \* \* \*")
_LEAST_PAUSE = 60.0  # seconds


def _at_text(value: object) -> object:
    """What YAML makes of a time without quotes, as it was written: 18:00 is a number to it."""
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    return f"{value // 60}:{value % 60:02}" if type(value) is int else value


class FolderInput(Section):
    """The files of a folder, all together, as they are when the task runs."""

    folder: UserPath = Field(description="The folder. Nothing in it is changed.")
    include: tuple[str, ...] = Field(
        ("*.md", "*.markdown", "*.txt"), min_length=1, description="Files to take, as .gitignore patterns."
    )

    def selection(self, task: str) -> WatchSettings:
        """Which files these are, as a watch of them would say."""
        return WatchSettings.model_construct(path=self.folder, task=task, include=self.include).resolved()


class ScheduleSettings(Section):
    """One task that runs by the clock. Needs one of `cron`, `every` and `at`."""

    task: str = Field(description="The task.")
    name: str | None = Field(
        None,
        pattern=r"^[a-z0-9][a-z0-9-]{0,63}$",
        description="What the schedule is called; by default as its task.",
    )
    cron: str | None = Field(
        None,
        description="Minute, hour, day of the month, month and day of the week, as cron reads them, or @daily and "
        "the like. A time that the clock leaves out in spring comes as much later; one that it shows twice in "
        "autumn counts once.",
    )
    every: Duration | None = Field(
        None, description="So much time after the last time, whatever the clock says; at least 1m."
    )
    at: Annotated[str | None, BeforeValidator(_at_text)] = Field(
        None, description='"18:00" for every day, or "2026-12-24 18:00" for once.'
    )
    timezone: str | None = Field(
        None, description="The zone of these times, such as Europe/Berlin; by default this machine's."
    )
    jitter: Duration = Field(
        0.0,
        description="Up to so much later, by chance and never past the next time.",
        json_schema_extra={"default": "0s"},
    )
    catch_up: Literal["once", "none"] = Field(
        "once",
        description="What to do after times that were missed, as the machine slept or agentd did not run: one run "
        "for all of them, or none.",
    )
    input: Literal["results", "findings", "nothing"] | tuple[Material, ...] | FolderInput = Field(
        ("results", "findings"),
        description="What the task gets: results, findings or both since its last run; the files of a "
        "{folder: PATH, include: [PATTERN]}; or nothing but date and time. A run that would get nothing new is "
        "left out.",
    )
    mode: Literal["single", "restart", "queued", "parallel"] = Field(
        "queued",
        description="What to do while an earlier run is not done: wait behind it (queued), run beside it "
        "(parallel), leave this time out (single), or cancel the earlier one and take over its input (restart).",
    )
    apply: Literal["review", "auto"] = Field(
        "review",
        description="What to do with changes that results would make: keep them for `agentd changes apply`, or "
        "make them at once; both can be undone.",
    )
    when: When = Field(When.model_construct(), description="What must hold before its jobs are begun.")

    @property
    def title(self) -> str:
        """What it is called."""
        return self.name or self.task

    @property
    def origin(self) -> str:
        """What its jobs say of where they come from."""
        return f"schedule {self.title}"

    @property
    def materials(self) -> tuple[str, ...]:
        """What is put together for the task; none of it for a folder, and for nothing."""
        if isinstance(self.input, str):
            return () if self.input == "nothing" else (self.input,)
        return self.input if isinstance(self.input, tuple) else ()

    @property
    def zone(self) -> ZoneInfo | None:
        """The zone of its times; None for this machine's."""
        return ZoneInfo(self.timezone) if self.timezone else None

    @property
    def words(self) -> str:
        """Its times in words; another text stands for other times."""
        zone = f" ({self.timezone})" if self.timezone else ""
        if self.every is not None:
            return f"every {_pause(self.every)}"
        if self.at is not None:
            return f"{'once on' if '-' in self.at else 'every day at'} {self.at}{zone}"
        if daily := _DAILY.fullmatch(self.cron or ""):
            return f"every day at {int(daily[2]):02}:{int(daily[1]):02}{zone}"
        return f"cron {self.cron}{zone}"

    def timetable(self) -> Timetable:
        """When it is due."""
        from agentd.triggers.schedule import Timetable

        return Timetable(self.title, self._times(), self.zone, timedelta(seconds=self.jitter))

    def _times(self) -> Times:
        from agentd.triggers.schedule import Every, read_at, read_cron

        if self.every is not None:
            return Every(timedelta(seconds=self.every))
        return read_cron(self.cron, self.zone) if self.cron is not None else read_at(self.at or "", self.zone)

    @field_validator("cron")
    @classmethod
    def _is_cron(cls, cron: str | None) -> str | None:
        from agentd.triggers.schedule import read_cron

        if cron is not None:
            read_cron(cron, None)
        return cron

    @field_validator("at")
    @classmethod
    def _is_time(cls, at: str | None) -> str | None:
        from agentd.triggers.schedule import read_at

        if at is not None:
            read_at(at, None)
        return at

    @field_validator("every")
    @classmethod
    def _not_all_the_time(cls, every: float | None) -> float | None:
        if every is not None and every < _LEAST_PAUSE:
            raise ValueError("this is shorter than 1m")
        return every

    @field_validator("timezone")
    @classmethod
    def _is_zone(cls, timezone: str | None) -> str | None:
        if timezone is not None:
            try:
                ZoneInfo(timezone)
            except (KeyError, ValueError, OSError):
                raise ValueError(
                    f"{timezone!r} is no time zone that is known here, such as Europe/Berlin"
                ) from None
        return timezone

    @field_validator("input")
    @classmethod
    def _something(cls, given: object) -> object:
        if given == ():
            raise ValueError("an empty list is no input: write `nothing`")
        return given

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        given = [key for key in ("cron", "every", "at") if getattr(self, key) is not None]
        if len(given) != 1:
            told = f"has {' and '.join(given)}" if given else "has no time"
            raise ValueError(
                f'the schedule `{self.title}` {told}: give one of cron: "0 7 * * *", every: 6h, at: "18:00"'
            )
        return self


def _pause(seconds: float) -> str:
    """A pause as it could have been written."""
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds % length == 0:
            return f"{seconds / length:g}{unit}"
    return f"{seconds:g}s"
