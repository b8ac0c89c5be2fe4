"""The JSON that people and scripts get, from commands with `--json` and from the socket alike.

These shapes are an interface: keys may be added and never change their meaning. `docs/json.md` is generated
from here.
"""

from collections.abc import Sequence
from typing import Any, NotRequired, TypedDict, cast

from agentd.conditions import Closed
from agentd.records import Change, Job, JobState
from agentd.store.backfills import Backfill
from agentd.store.candidates import OPEN, Waiting
from agentd.store.outlook import Place
from agentd.store.results import StoredResult


class JobShape(TypedDict):
    """One job: an element of `agentd jobs list --json`, and the whole of `agentd jobs show ID --json`."""

    id: int
    task: str
    source: str  # absolute path, `file://` URI where the name is not UTF-8, `stdin:` or `FOLDER//` and a hash
    state: str  # queued, running, done, failed, quarantined or cancelled
    attempts: int  # times it was started
    error: str | None  # why its last try failed
    reason: str | None  # the code of that error
    hint: str | None  # the next command to type
    model: str  # the config's name of the model
    occasion: str  # empty for a file that was watched; what was asked for otherwise
    priority: str  # interactive, triggered, backfill or paused
    crashes: int  # times the engine died under it
    created: str  # UTC, ISO 8601
    started: str | None
    finished: str | None
    position: int | None  # in the queue of its model, from 1; null unless it is queued
    eta_seconds: float | None  # of work until a queued job is done; null before the first result of its model
    files: list[str]  # that are its input, where these are several of a folder
    progress: str | None  # how far a running job on a long document is: "12/40 parts"
    waits_for: str | None  # the condition of a queued job: "waits until 22:00"; null if none, or without a daemon


class CoverageShape(TypedDict):
    """How much of the input the model really saw."""

    seen: int
    total: int
    unit: str  # lines, pages, slides, sheets, rows …
    tokens: int  # of a document that was read in parts; 0 for one that was read whole
    missing: list[str]  # what was not seen, and why


class TokensShape(TypedDict):
    """Tokens of one result."""

    input: int  # length of the prompt
    cached: int  # of these, how many were still in the KV cache
    output: int


class WhyShape(TypedDict):
    """What spoke for a value that was chosen by evidence, or for one of the next best, in nats."""

    value: str
    chosen: bool
    nats: float  # all of it together
    words: dict[str, Any]  # nats, and which words of the tag were found
    notes: dict[str, Any]  # nats, how many notes have the tag, and those of them that are most alike
    embeddings: NotRequired[dict[str, Any]]  # where a model makes them: nats, notes compared, the nearest
    model: dict[str, Any]  # nats


class ResultShape(TypedDict):
    """One result: an element of `agentd results list --json` and `agentd run --json`."""

    id: int
    job_id: int
    task: str
    source: str
    output: dict[str, Any]  # valid by the task's schema
    model: str  # file name and the start of its sha256
    coverage: CoverageShape
    created: str  # UTC, ISO 8601
    stale: bool  # the task or its model has changed since
    fake: bool  # placeholder values of `path: fake`
    kv_cache: str  # types of keys and values
    tokens: TokensShape
    seconds: float  # from the first step of the answer to its last
    engine_seconds: float  # its share of the engine's steps; 0 where nobody measured it
    probabilities: dict[str, dict[str, float]]  # of each choice, by property that was chosen by score
    why: dict[str, list[WhyShape]]  # by property that was chosen by evidence
    places: dict[str, str]  # by path in the output, such as `key_points/0`, where the quote stands: "page 3"


class ChangeShape(TypedDict):
    """One change: an element of `agentd changes list --json`, and with `diff` what `agentd changes show` tells."""

    id: int
    result_id: int
    task: str
    kind: str  # frontmatter, sidecar, move, copy, rename, append, webhook, notify or command
    state: str  # planned, applying, applied, undoing, undone, refused, superseded or failed
    auto: bool  # made without being asked
    path: str  # of the file that it is about
    target: str | None  # where a file went, or would go
    details: dict[str, Any]  # what the kind needs, such as the keys to set
    error: str | None  # why it could not be made, or taken back
    reason: str | None  # the code of that error
    hint: str | None  # the next command to type
    created: str  # UTC, ISO 8601
    applied: str | None
    undone: str | None


class BackfillShape(TypedDict):
    """One backfill: an element of `agentd backfill list --json`, the whole of `agentd backfill show ID --json`."""

    id: int
    task: str
    paths: list[str]  # files and folders, as they were given
    state: str  # listing, running, paused, done, cancelled or failed
    total: int  # jobs; it grows while files are found
    queued: int
    running: int
    done: int
    failed: int  # quarantined ones included
    cancelled: int
    known: int  # files that needed no job: done as they are, or queued by others
    left_out: int  # files that the task does not read
    unreadable: int  # folders that could not be listed
    eta_seconds: float | None  # of work until its last queued job is done, with all that goes before it
    error: str | None  # why its files could not be found
    hint: str | None  # the next command to type
    created: str  # UTC, ISO 8601


class CitationShape(TypedDict):
    """A quote that stands in its source, word for word."""

    source: str
    quote: str
    line: int  # of the text that was read, on which the quote begins, from 1
    result_id: int
    place: str  # how people find it: "line 12", "page 3"


class AnswerShape(TypedDict):
    """`agentd ask --json`."""

    answer: str
    found: bool  # false: nothing that was read supports an answer
    citations: list[CitationShape]


class ErrorShape(TypedDict):
    """An error, wherever JSON is asked for: on the socket, and in the `error` events of a stream."""

    code: str
    message: str
    hint: str  # the next command to type


class WaitingShape(TypedDict):
    """Queued jobs that wait for the same condition."""

    origin: str | None  # the watch, log or schedule that they come from; null where their whole class waits
    priority: str | None  # their class: triggered or backfill; null where only what comes from there waits
    jobs: int
    waits_for: str  # "waits for mains power"


def job_shape(job: Job, place: Place | None = None, files: Sequence[str] = (), closed: Closed = OPEN) -> JobShape:
    """The JSON of a job, with its place and what it waits for where it is queued, and its files if several."""
    return {
        "id": job.id,
        "task": job.task,
        "source": job.source,
        "state": job.state.value,
        "attempts": job.attempts,
        "error": job.error,
        "reason": job.reason,
        "hint": job.hint,
        "model": job.model,
        "occasion": job.occasion,
        "priority": job.priority.name.lower(),
        "crashes": job.crashes,
        "created": job.created,
        "started": job.started,
        "finished": job.finished,
        "position": place.position if place else None,
        "eta_seconds": round(place.eta_seconds, 1) if place and place.eta_seconds is not None else None,
        "files": list(files),
        "progress": job.progress if job.state is JobState.RUNNING else None,
        "waits_for": closed.why(job.origin, job.priority) if job.state is JobState.QUEUED else None,
    }


def waiting_shape(waiting: Waiting) -> WaitingShape:
    """The JSON of jobs that wait."""
    return {
        "origin": waiting.origin,
        "priority": None if waiting.priority is None else waiting.priority.name.lower(),
        "jobs": waiting.jobs,
        "waits_for": waiting.reason,
    }


def backfill_shape(backfill: Backfill, eta_seconds: float | None) -> BackfillShape:
    """The JSON of a backfill."""
    jobs = backfill.jobs
    return {
        "id": backfill.id,
        "task": backfill.task,
        "paths": list(backfill.paths),
        "state": backfill.state,
        "total": backfill.total,
        "queued": jobs[JobState.QUEUED],
        "running": jobs[JobState.RUNNING],
        "done": jobs[JobState.DONE],
        "failed": jobs[JobState.FAILED] + jobs[JobState.QUARANTINED],
        "cancelled": jobs[JobState.CANCELLED],
        "known": backfill.known,
        "left_out": backfill.left_out,
        "unreadable": backfill.unreadable,
        "eta_seconds": None if eta_seconds is None else round(eta_seconds, 1),
        "error": backfill.error,
        "hint": backfill.hint,
        "created": backfill.created,
    }


def change_shape(change: Change) -> ChangeShape:
    """The JSON of a change."""
    return {
        "id": change.id,
        "result_id": change.result_id,
        "task": change.task,
        "kind": change.kind,
        "state": change.state.value,
        "auto": change.auto,
        "path": change.path,
        "target": change.target or change.details.get("to"),
        "details": change.details,
        "error": change.error,
        "reason": change.reason,
        "hint": change.hint,
        "created": change.created,
        "applied": change.applied,
        "undone": change.undone,
    }


def result_shape(stored: StoredResult, *, stale: bool) -> ResultShape:
    """The JSON of a result."""
    result = stored.result
    coverage = result.coverage
    return {
        "id": stored.id,
        "job_id": stored.job_id,
        "task": stored.task,
        "source": stored.source,
        "output": result.output,
        "model": result.model,
        "coverage": {
            "seen": coverage.seen,
            "total": coverage.total,
            "unit": coverage.unit,
            "tokens": coverage.tokens,
            "missing": list(coverage.missing),
        },
        "created": stored.created,
        "stale": stale,
        "fake": result.fake,
        "kv_cache": result.kv_cache,
        "tokens": {"input": result.tokens_in, "cached": result.tokens_cached, "output": result.tokens_out},
        "seconds": round(result.seconds, 3),
        "engine_seconds": round(result.engine_seconds, 3),
        "probabilities": result.probabilities,
        "why": cast(dict[str, list[WhyShape]], result.why),
        "places": result.places,
    }
