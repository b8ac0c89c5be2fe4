"""The `logs` section of the config: which logs are followed, and how each is read."""

import codecs
import zoneinfo
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from agentd.conditions import When
from agentd.config import Duration, Section, UserPath
from agentd.errors import ConfigError
from agentd.logs.entries import rule
from agentd.logs.headers import recognise
from agentd.logs.journal_entry import SOURCE
from agentd.logs.news import NewsSettings

JOURNAL_START = 24 * 3600.0
TASK = "log-triage"  # explains findings, unless the config names another


class JournalSettings(Section):
    """Which entries of the systemd journal are read."""

    units: tuple[str, ...] = Field((), description="Only entries of these units; `.service` may be left out.")
    identifiers: tuple[str, ...] = Field((), description="Only entries with these identifiers, such as `sudo`.")
    priority: int | None = Field(
        None, ge=0, le=7, description="Only entries of this priority or a worse one: 0 emergency to 7 debug."
    )


class LogSettings(Section):
    """One log that is followed: files by path or glob, or the journal."""

    path: UserPath | None = Field(
        None, description="A file or a glob. What a file was renamed to, or compressed to, is known again."
    )
    journald: JournalSettings | None = Field(None, description="The systemd journal, `{}` for all of it.")
    task: str | None = Field(TASK, description="The task that explains findings; null for none.")
    start: Literal["end", "beginning"] | Duration | None = Field(
        None,
        description="Where to begin with what is there at the very first start: end, beginning, or files that "
        "were written to, and entries, of so long ago. By default end, and 24h for the journal.",
    )
    encoding: str = Field("utf-8", description="How the files are written.")
    entries: str = Field(
        "auto",
        description="Which lines are one entry: auto, none (every line), indent, python, java, or start: REGEX "
        "for how an entry begins.",
    )
    format: str | None = Field(
        None,
        description="A regex for the header of a line that is not recognised, with the groups message and any "
        "of time, host, process, pid and level.",
    )
    timezone: str | None = Field(
        None,
        description="The zone of times that do not say theirs, such as Europe/Berlin; by default this machine's.",
    )
    calls_per_hour: int = Field(
        20, ge=0, description="So often in an hour a model is asked about findings, at most."
    )
    news: NewsSettings = Field(
        NewsSettings.model_construct(), description="When something counts as news. The defaults need no tuning."
    )
    when: When = Field(
        When.model_construct(), description="What must hold before a model is asked; the log is read in any case."
    )

    @property
    def source(self) -> str:
        """What tells this log from the others."""
        if self.path is not None:
            return str(self.path)
        names = (*self.journald.units, *self.journald.identifiers) if self.journald else ()
        return f"{SOURCE} {' '.join(names)}".strip()

    @property
    def origin(self) -> str:
        """What its jobs say of where they come from."""
        return f"log {self.source}"

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, encoding: str) -> str:
        try:
            codecs.lookup(encoding)
        except LookupError:
            raise ValueError(f"there is no encoding {encoding!r}") from None
        return encoding

    @field_validator("entries")
    @classmethod
    def _known_rule(cls, entries: str) -> str:
        try:
            rule(entries)
        except ConfigError as wrong:
            raise ValueError(wrong.message) from None
        return entries

    @field_validator("format")
    @classmethod
    def _usable_format(cls, regex: str | None) -> str | None:
        try:
            if regex is not None:
                recognise([], regex)
        except ConfigError as wrong:
            raise ValueError(wrong.message) from None
        return regex

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, zone: str | None) -> str | None:
        try:
            if zone is not None:
                zoneinfo.ZoneInfo(zone)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError):
            raise ValueError(f"there is no time zone {zone!r}: write it like Europe/Berlin") from None
        return zone

    @model_validator(mode="after")
    def _files_or_the_journal(self) -> Self:
        if (self.path is None) == (self.journald is None):
            raise ValueError("a log needs either `path` or `journald`")
        if self.journald is not None and self.start == "beginning":
            raise ValueError("the journal has no beginning to start at: write how far back, such as 30d")
        return self
