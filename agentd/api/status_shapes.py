"""The JSON of `agentd status`, `agentd model …` and `agentd doctor`: how a daemon is, and what its models do.

The same rules as in `api.shapes`: keys may be added and never change their meaning.
"""

from typing import TypedDict

from agentd.api.schedule_shapes import ScheduleShape
from agentd.api.shapes import BackfillShape, JobShape, WaitingShape


class DeviceMemoryShape(TypedDict):
    """What a loaded model takes of one device, in bytes, as llama.cpp reported it."""

    device: str  # CPU, CUDA0, Metal …
    weights: int
    kv_cache: int
    compute: int


class LoadShape(TypedDict):
    """What an engine is doing, as of the last second in which it worked."""

    running: int  # requests in the batch
    paused: int  # of those, how many stand aside for a more urgent one
    waiting: int  # requests that do not fit yet
    threads: int
    cells_used: int  # tokens in the KV cache
    prefixes: int  # beginnings of prompts that are kept, of how many tasks
    evicted: int  # of those, how many had to go since the start
    tokens_a_second: float  # evaluated, over the last steps
    step_seconds: float  # the longest of the last steps
    busy_seconds: float  # of work since the start
    decode_seconds: float  # of those, inside llama.cpp


class ModelShape(TypedDict):
    """One model of `agentd status --json`."""

    path: str
    use: str  # text or embeddings
    kv_cache: str
    context: int | None  # tokens that one request may take; null while it is not loaded
    cells: int | None  # tokens that the KV cache holds, over all requests; null while it is not loaded
    parallel: int | None  # requests that are worked on at the same time; null while it is not loaded
    gpu_layers: int | None  # really offloaded; null while it is not loaded
    layers: int | None  # null while it is not loaded
    memory: list[DeviceMemoryShape]  # empty while it is not loaded
    weights: str  # which weights run, and why, where it is not the file as it is
    notes: list[str]  # what had to be made smaller to fit, and why
    load: LoadShape | None  # null while it is not loaded
    loaded: bool
    state: str  # loading, loaded, failed or unloaded
    held: bool  # a person unloaded it: its jobs wait until a person needs it
    gave_way_to: str | None  # programs that need the GPU, where it left memory to them
    description: str | None
    error: str | None  # why it is not loaded
    fake: bool
    vector: int | None  # numbers of an embedding; null while it is not loaded, and for a model that writes text
    child_pid: int | None
    rss: int | None  # resident bytes of that process
    restarts: int  # times its process was replaced


class TuneRowShape(TypedDict):
    """One setting that was measured."""

    threads: int
    batch: int  # tokens a step, at most
    parallel: int  # requests at the same time
    kv_cache: str  # types of keys and values
    weights: str  # type of a converted copy; empty for the file as it is
    prompt_rate: float  # tokens a second in short samples; 0 where it was not measured
    answer_rate: float  # tokens a second over all requests, in short samples
    estimates: list[float]  # jobs a minute, from each short sample
    runs: list[float]  # jobs a minute, from each run of whole jobs
    perplexity: float | None  # as a ratio to the file's with a cache of f16; null where it was not measured
    agreement: list[int] | None  # choices equal to the file's with a cache of f16, of how many
    refused: str  # why it is never taken; empty where it may be
    default: bool  # what runs where nothing was measured
    chosen: bool


class TuneShape(TypedDict):
    """`agentd model tune --json`."""

    model: str
    path: str
    machine: str
    build: str  # of llama.cpp
    measured: str  # UTC, ISO 8601
    gain: float  # jobs a minute, as a multiple of those with the defaults
    jobs: int  # whole ones that each run did
    others: float  # cores' worth of CPU that other processes used meanwhile
    rows: list[TuneRowShape]  # in the order in which they were measured


class JobCountsShape(TypedDict):
    """How many jobs there are in each state."""

    queued: int
    running: int
    done: int
    failed: int
    quarantined: int
    cancelled: int


class LineShape(TypedDict):
    """The jobs of one priority that have not ended."""

    priority: str  # interactive, triggered, backfill or paused
    queued: int
    running: int
    eta_seconds: float | None  # until its last job is done, more urgent ones before it; null if unknown


class DutyShape(TypedDict):
    """One long-running part of the daemon."""

    state: str  # running, ended (by itself), failing (started again and again) or stuck (no sign of life)
    restarts: int
    error: str | None  # why it was last started again


class ProblemShape(TypedDict):
    """Something of the daemon's that a person has to look at."""

    key: str  # the same for as long as the trouble lasts
    told: str  # what is wrong
    hint: str  # the next command to type


class WatchShape(TypedDict):
    """One watched folder."""

    path: str
    task: str
    scanned: bool  # the first scan is through
    problem: str | None


class LogShape(TypedDict):
    """One log that is followed."""

    source: str  # its path or glob, or `journal`
    task: str | None  # that explains findings
    lines: int  # read so far
    problems: list[str]  # why some of it cannot be read now


class StatusShape(TypedDict):
    """`agentd status --json`."""

    pid: int | None  # null where no daemon runs
    started: str | None  # UTC, ISO 8601
    rss: int | None  # resident bytes of the daemon itself
    ready: bool  # database open, folders scanned, models loaded
    version: str
    models: dict[str, ModelShape]
    jobs: JobCountsShape
    waiting: list[WaitingShape] | None  # jobs that wait for a condition; null without a daemon
    eta_seconds: float | None  # of work until every queue is empty, from measured durations; null if unknown
    queue: list[LineShape]  # by priority, the most urgent first
    last_errors: list[JobShape]  # the jobs that were given up last, newest first
    long: list[JobShape]  # running jobs on documents that are read part by part
    watches: list[WatchShape]
    logs: list[LogShape]
    schedules: list[ScheduleShape]
    backfills: list[BackfillShape]  # those that have not ended
    changes: dict[str, int]  # how many there are in each state that any is in
    duties: dict[str, DutyShape]
    problems: list[ProblemShape]  # why the daemon is unwell; empty where it is well
    notices: list[str]  # what a person should know


class DiagnosisShape(TypedDict):
    """One thing that `agentd doctor` looked at."""

    group: str  # config, folders, database, models, daemon or machine
    check: str  # which look it comes from
    level: str  # ok, warning or error
    about: str  # what was looked at
    told: str  # how it is
    next: str | None  # the next command to type; null where there is nothing to do


class DoctorShape(TypedDict):
    """`agentd doctor --json`."""

    errors: int  # how many there are; with any, the exit code is 1
    warnings: int
    diagnoses: list[DiagnosisShape]
