"""The `watch` section of the config: which folders, and what is done with what lands there."""

import os
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from agentd.conditions import When
from agentd.config import Duration, Section, Size, UserPath


class WatchSettings(Section):
    """One watched folder and the task its files are given to."""

    path: UserPath = Field(description="The folder. Symbolic links inside it are not followed.")
    task: str = Field(description="The task that every new or changed file is given to.")
    include: tuple[str, ...] = Field(
        ("*.md", "*.markdown", "*.txt"), description="Files to take, as .gitignore patterns."
    )
    exclude: tuple[str, ...] = Field(
        (),
        description="Files and folders to leave out, as .gitignore patterns. Hidden ones and the temporary "
        "files of editors are always left out.",
    )
    recursive: bool = Field(True, description="Whether folders inside it count.")
    existing: Literal["process", "skip"] = Field(
        "process", description="What to do with files that are there at the very first start."
    )
    apply: Literal["review", "auto"] = Field(
        "review",
        description="What to do with changes that results would make: keep them for `agentd changes apply`, or "
        "make them at once; both can be undone.",
    )
    per: Literal["file", "folder"] = Field(
        "file",
        description="One job for every file, or one for all files that came or changed together.",
    )
    mode: Literal["single", "restart", "queued", "parallel"] = Field(
        "queued",
        description="With `per: folder`, what becomes of files that come while an earlier job is not done: "
        "a job of their own behind it (queued) or beside it (parallel), one for all of them once it is done "
        "(single), or one together with its files in its place (restart).",
    )
    max_size: Size = Field(20 * 1024**2, description="Larger files are recorded as failed, not read.")
    settle: Duration = Field(2.0, description="How long a file must stay unchanged before it is taken.")
    scan: Duration = Field(
        3600.0,
        description="How often the whole folder is compared with what is known, events or not.",
        json_schema_extra={"default": "1h"},
    )
    poll: Literal["auto"] | Duration = Field(
        "auto",
        description="Look at the whole folder so often and trust no events. auto: every 30s on network file "
        "systems, which tell of no change that another machine made, and not at all elsewhere.",
    )
    when: When = Field(When.model_construct(), description="What must hold before its jobs are begun.")

    @property
    def origin(self) -> str:
        """What its jobs say of where they come from."""
        return f"watch {self.path} {self.task}"

    def resolved(self) -> Self:
        """The same with its real path: a folder may be named through a link; what lies below it may not."""
        return self.model_copy(update={"path": Path(os.path.realpath(self.path))})

    @field_validator("scan", "poll")
    @classmethod
    def _not_all_the_time(cls, seconds: float | str) -> float | str:
        if isinstance(seconds, float) and seconds < 0.1:
            raise ValueError("this is shorter than 100ms")
        return seconds

    @model_validator(mode="after")
    def _mode_of_folders(self) -> Self:
        if self.mode != "queued" and self.per != "folder":
            raise ValueError(f"`mode: {self.mode}` is about jobs for many files: it goes with `per: folder`")
        return self

    @field_validator("include", "exclude")
    @classmethod
    def _not_blank(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        if any(not pattern.strip() for pattern in patterns):
            raise ValueError("a pattern is empty")
        return patterns
