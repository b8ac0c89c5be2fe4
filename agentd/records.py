"""The records that travel through the house: what happened, what is to do, what came of it.

All are frozen and hold plain values only, so that any room may keep one. Times are UTC strings in ISO 8601
with milliseconds, which sort as text. This module knows neither SQLite nor the engine.
"""

import bisect
import os
import urllib.parse
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import IntEnum, StrEnum
from pathlib import Path
from typing import Any

from agentd.errors import AgentdError

_STDIN = "stdin"
_LOG = "log:"
_SCHEDULE = "schedule:"
_URI = "file://"
_BUNDLE = "//"  # no path of a file has two in a row


class JobState(StrEnum):
    """Where a job stands. The last four are final: nothing moves a job on from there by itself."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    QUARANTINED = "quarantined"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        """Whether the job has ended."""
        return self not in (JobState.QUEUED, JobState.RUNNING)


class Priority(IntEnum):
    """Who goes first, lowest number first."""

    INTERACTIVE = 0  # a person waits
    TRIGGERED = 1  # something happened just now
    BACKFILL = 2  # it was there before
    PAUSED = 3  # a person put it aside: nobody claims it


@dataclass(frozen=True, slots=True)
class Event:
    """What a trigger hands on: one input that one task should see."""

    task: str
    source: str  # see `source_of` and `stdin_source`
    content: str  # sha256 of the bytes, or `why:mark` where they cannot be read
    occasion: str = ""  # empty for a file; of a schedule, its time; what was asked for, for an explicit run
    priority: Priority = Priority.TRIGGERED
    refusal: AgentdError | None = None  # known bad before it is read: recorded as a failed job
    origin: str = ""  # the watch, log or schedule that noticed it; empty where a person asked


@dataclass(frozen=True, slots=True)
class Job:
    """One run of one task on one input on one occasion."""

    id: int
    task: str
    task_hash: str
    model: str  # the config's name of the model that does it
    source: str
    content: str
    occasion: str
    priority: Priority
    state: JobState
    attempts: int  # times it was started; a death of the daemon does not count
    crashes: int  # times the engine died under it
    reason: str | None  # the code of its last error
    error: str | None  # the message of its last error
    hint: str | None  # the next command to type
    created: str
    not_before: str  # when it may be tried (again)
    started: str | None
    finished: str | None
    progress: str | None = None  # how far a long document is, while it runs: "12/40 parts"
    origin: str | None = None  # the watch, log or schedule that it comes from; None where a person asked


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much of the input the model really saw."""

    seen: int
    total: int
    unit: str = "lines"
    tokens: int = 0  # of the document, where it was read in parts
    missing: tuple[str, ...] = ()  # what was not seen, and why

    def __str__(self) -> str:
        tokens = f", {self.tokens:,} tokens" if self.tokens else ""
        return f"{self.seen:,}/{self.total:,} {self.unit}{tokens}"


@dataclass(frozen=True, slots=True)
class Result:
    """What a finished job produced, before the store gives it an id."""

    output: dict[str, Any]
    coverage: Coverage
    model: str  # file name and the start of its sha256
    kv_cache: str  # "q8_0/q8_0"
    fake: bool
    tokens_in: int
    tokens_cached: int  # of tokens_in, how many were still in the KV cache
    tokens_out: int
    seconds: float  # from the first step of the answer to its last
    engine_seconds: float = 0.0  # its share of the engine's steps; 0 where nobody measured it
    # By property that was chosen by score, the probability of each choice.
    probabilities: dict[str, dict[str, float]] = field(default_factory=dict)
    # By property that was chosen by evidence, what spoke for its values and for the next best.
    why: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    # By vocabulary, words that the document would need and the vocabulary does not have.
    proposals: dict[str, list[str]] = field(default_factory=dict)
    # By path in the output, such as `key_points/0`, where a quoted sentence stands in the document.
    places: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a document that fits into an excerpt; `line` is its first line, from 1."""

    line: int
    text: str


@dataclass(frozen=True, slots=True)
class Place:
    """A part of a document that people can find again: from line `line` of its text (from 1) to the next place."""

    line: int
    name: str  # "page 3", "slide 2", "function main"
    counts: str = ""  # what one line inside it is, where that can be found again too: "row", "line"
    first: int = 1  # the number of its first line, in what it counts


@dataclass(frozen=True, slots=True)
class Document:
    """A file that became text with places.

    Where there are no places, line N of `text` is line N + `first_line` - 1 of the file.
    """

    source: str
    content: str
    text: str
    kind: str = "text"  # one of `readers.kinds`
    first_line: int = 1
    front_matter: str = ""
    places: tuple[Place, ...] = field(default=(), repr=False)
    unit: str = "lines"  # what its length is counted in, such as pages
    units: int | None = None  # how many of these it has; None for as many as lines
    starts: tuple[int, ...] = field(default=(), repr=False)  # lines on which units begin, where a unit is no line
    unread: tuple[str, ...] = ()  # which of its units could not be read or only in part, and why: each once
    passages: tuple[Passage, ...] = field(default=(), repr=False)

    @property
    def lines(self) -> int:
        """How many lines the text has."""
        return self.text.count("\n") + (self.text[-1:] not in ("", "\n"))

    @property
    def length(self) -> int:
        """How many units it has, those that could not be read included."""
        return self.lines if self.units is None else self.units

    def units_on(self, first: int, last: int) -> range:
        """The units that stand on these lines of the text, also those of which only a part does."""
        if self.starts:
            at = [max(bisect.bisect_right(self.starts, line) - 1, 0) for line in (first, last)]
            return range(at[0], at[1] + 1)
        if self.length == self.lines:
            return range(first - 1, last)
        return range(self.length)  # a summary: each of its lines may speak of all of them

    def where(self, line: int) -> str:
        """How people find line `line` of the text: "line 12", "page 3", "sheet Costs, row 4"."""
        index = bisect.bisect_right(self.places, line, key=lambda place: place.line) - 1
        if index < 0:
            return f"line {line + self.first_line - 1}"
        place = self.places[index]
        inside = f"{place.counts} {line - place.line + place.first}" if place.counts else ""
        return ", ".join(part for part in (place.name, inside) if part)


class ChangeState(StrEnum):
    """Where a change stands. `applying` and `undoing` are seen only while it happens, or after a death in it."""

    PLANNED = "planned"
    APPLYING = "applying"
    APPLIED = "applied"
    UNDOING = "undoing"
    UNDONE = "undone"
    REFUSED = "refused"  # by a person
    SUPERSEDED = "superseded"  # the file or the result is not what it was planned for
    FAILED = "failed"  # tried, and not possible


@dataclass(frozen=True, slots=True)
class Plan:
    """One effect that a result would have, before the store gives it an id."""

    kind: str  # one of `actions.KINDS`
    path: str  # of the file that it is about; see `source_of`
    details: dict[str, Any]  # what the kind needs
    auto: bool = False  # to be applied without being asked


@dataclass(frozen=True, slots=True)
class Change:
    """One effect on the world: planned, applied, undoable."""

    id: int
    result_id: int
    task: str
    source: str  # the job's input
    kind: str
    path: str  # of the file that it is about; see `source_of`
    details: dict[str, Any]
    state: ChangeState
    auto: bool
    content: str  # sha256 of the input that it was planned for
    target: str | None  # where a file went, once that is known
    before: str | None  # sha256 of what was there; None for nothing
    after: str | None  # sha256 of what is there now; None for nothing
    mtime_ns: int | None  # of the file before
    attempts: int
    not_before: str
    reason: str | None  # the code of its last error
    error: str | None
    hint: str | None
    created: str
    applied: str | None
    undone: str | None


@dataclass(frozen=True, slots=True)
class Mark:
    """Where reading of one file stands; a file is known again by device, inode and how it begins."""

    path: str  # its name when it was read; see `source_of`
    device: int
    inode: int
    offset: int  # bytes that were taken; of the uncompressed text in a compressed file
    crc: int  # zlib.crc32 of the first min(1024, offset) bytes


def timestamp(moment: datetime | None = None) -> str:
    """`moment` (by default, now) as the store writes it: `2026-05-04T03:02:01.000Z`."""
    moment = moment or datetime.now(UTC)
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def was_read(content: str) -> bool:
    """Whether this is a sha256, and not the mark of a file that could not be read."""
    return ":" not in content


def stdin_source(content: str) -> str:
    """The source of a text that came through standard input: each text is one of its own."""
    return f"{_STDIN}:{content[:12]}"


def log_source(finding_id: int) -> str:
    """The source of what a model is shown of a finding in a log."""
    return f"{_LOG}{finding_id}"


def is_stored(source: str) -> bool:
    """Whether a source is a text that stands in the store alone; every path is absolute or a file URI."""
    return source.startswith((_STDIN, _LOG, _SCHEDULE))


def schedule_source(name: str, moment: str) -> str:
    """The source of what a schedule put together for its task at some moment."""
    return f"{_SCHEDULE}{name} {moment}"


def is_scheduled(source: str) -> bool:
    """Whether a source is what a schedule put together."""
    return source.startswith(_SCHEDULE)


def bundle_source(folder: Path, content: str) -> str:
    """The source of several files of a folder that are one input; each bundle is one of its own."""
    return f"{source_of(folder)}{_BUNDLE}{content[:12]}"


def is_bundle(source: str) -> bool:
    """Whether a source stands for several files of a folder."""
    return _BUNDLE in source.removeprefix(_URI)


def folder_of(source: str) -> Path:
    """The folder of a bundle's files."""
    return path_of(source.rpartition(_BUNDLE)[0])


def is_file(source: str) -> bool:
    """Whether a source is one file, which can be looked at again and changed."""
    return not is_stored(source) and not is_bundle(source)


def source_of(path: Path) -> str:
    """A path as text that SQLite and JSON can hold: itself, or a file URI where its name is not UTF-8."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return _URI + urllib.parse.quote_from_bytes(os.fsencode(path))
    return str(path)


def path_of(source: str) -> Path:
    """The path that `source_of` was given."""
    if source.startswith(_URI):
        return Path(os.fsdecode(urllib.parse.unquote_to_bytes(source.removeprefix(_URI))))
    return Path(source)
