"""Which settings of a model to measure on this machine, and which of those that were measured to take.

Pure. What the config leaves open and the model allows comes in, then rows that somebody measured; the next
settings to measure go out, and in the end the best. It is no full grid: one thing is changed at a time, from the
best so far. How a setting is measured and its answers are judged is not known here.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

from agentd.engine.architecture import Architecture, kv_types
from agentd.engine.choice import Choice
from agentd.engine.fit import MOST_PARALLEL, Plan
from agentd.engine.settings import ModelSettings

# In this order; the cache again, since faster weights leave it the larger part of the work.
STAGES = ("threads", "kv_cache", "weights", "kv_cache", "parallel", "batch")
KV_CACHES = (("f16", "f16"), ("f16", "q8_0"), ("q8_0", "q8_0"), ("q8_0", "q4_0"), ("q4_0", "q4_0"))
COPIES = ("q8_0", "q4_0")
PARALLEL = (1, 2, 4, 8, 16, 32, 64)
BATCHES = (128, 256, 512, 1024, 2048)
LEAST_GAIN = 0.03  # a smaller difference is none, however steady the machine is
UNKNOWN_NOISE = 0.05  # of what was measured only once
CLEAR_GAIN = 0.3  # beyond this, one measurement more would not change who is ahead
MOST_RUNS = 3
FINALISTS = 2  # beside the defaults
FINALIST_SHARE = 0.85  # of the best estimate, at least
# GGUF's numbers of file types that a copy would not change.
_FILE_TYPES = {"2": "q4_0", "7": "q8_0"}


@dataclass(frozen=True, slots=True)
class Setting:
    """One way to run a model."""

    threads: int
    batch: int  # tokens a step, at most
    parallel: int  # requests at the same time
    kv_cache: tuple[str, str]  # types of K and V
    weights: str = ""  # the type of a converted copy, or "" for the file as it is


@dataclass(frozen=True, slots=True)
class Space:
    """What may be tried. A thing that the config fixes has its one value."""

    default: Setting
    threads: tuple[int, ...]
    kv_cache: tuple[tuple[str, str], ...]
    weights: tuple[str, ...]
    parallel: tuple[int, ...]
    batch: tuple[int, ...]
    unfixed: Setting  # the default, as it would be if the config fixed nothing


@dataclass(frozen=True, slots=True)
class Workload:
    """The average job, in tokens."""

    own: float  # of its prompt, beside what it shares with others
    answer: float
    feed: float  # of the answer, a step: a token that was chosen, and those that the schema forces after it


@dataclass(slots=True, eq=False)
class Row:
    """A setting with all that was measured of it so far. Speeds are in jobs a minute."""

    setting: Setting
    estimates: list[float] = field(default_factory=list)  # from short samples of prompts and of answers
    runs: list[float] = field(default_factory=list)  # from whole jobs
    prompt_rate: float = 0.0  # tokens a second
    answer_rate: float = 0.0  # tokens a second, over all requests
    perplexity: float | None = None  # as a ratio to the reference's
    agreement: tuple[int, int] | None = None  # choices equal to the reference's, of how many
    refused: str = ""  # why it is never taken

    @property
    def estimate(self) -> float:
        """The speed that short samples show; 0 where there are none."""
        return median(self.estimates or [0.0])

    @property
    def speed(self) -> float:
        """The speed of whole jobs; 0 where there are none."""
        return median(self.runs or [0.0])


def search_space(
    settings: ModelSettings,
    plan: Plan,
    unfixed: Plan,
    architecture: Architecture,
    file_type: str,
    cores: tuple[int, int],
) -> Space:
    """What the config leaves open, and this model and machine allow.

    `plan` is what would run without a choice, `unfixed` what would if the config fixed nothing. `cores` are those
    that may be used and those that are no mere second thread of another. Converted copies pay on a CPU only.
    """
    usable, physical = cores
    on_cpu = plan.gpu_layers == 0
    all_on_gpu = plan.gpu_layers >= architecture.units
    repack = settings.repack
    default = _setting(plan, "" if repack in ("auto", "off") else repack)
    threads = {default.threads} | {min(n, usable) for n in (usable, physical, physical - 1, physical // 2) if n}
    copies = tuple(kind for kind in COPIES if kind != _FILE_TYPES.get(file_type))
    batches = {default.batch, *BATCHES}
    return Space(
        default=default,
        threads=tuple(sorted(threads)) if settings.threads == "auto" and not all_on_gpu else (default.threads,),
        kv_cache=_kv_caches(settings, architecture, default.kv_cache),
        weights=("", *copies) if repack == "auto" and on_cpu else (default.weights,),
        parallel=(
            tuple(sorted({default.parallel, *(n for n in PARALLEL if n <= MOST_PARALLEL)}))
            if settings.parallel == "auto"
            else (default.parallel,)
        ),
        batch=tuple(sorted(n for n in batches if n >= min(default.batch, plan.sequences))),
        unfixed=_setting(unfixed, ""),
    )


def variants(space: Space, stage: str, best: Setting) -> list[Setting]:
    """What to try of one thing: all types, or the numbers next to the best."""
    values: tuple[object, ...] = getattr(space, stage)
    if stage in ("threads", "parallel", "batch"):
        at = values.index(getattr(best, stage))
        values = values[max(at - 1, 0) : at + 2]
    # mypy cannot know which of the fields it is.
    return [dataclasses.replace(best, **{stage: value}) for value in values]  # type: ignore[arg-type]


def describe(setting: Setting, default: Setting) -> str:
    """What a setting has otherwise than the default."""
    told = {
        "threads": f"threads {setting.threads}",
        "kv_cache": f"KV cache {'/'.join(setting.kv_cache)}",
        "weights": f"weights {setting.weights or 'as they are'}",
        "parallel": f"{setting.parallel} requests at a time",
        "batch": f"batch {setting.batch}",
    }
    changed = [text for name, text in told.items() if getattr(setting, name) != getattr(default, name)]
    return ", ".join(changed) or "the defaults"


def jobs_a_minute(workload: Workload, prompt_rate: float, answer_rate: float) -> float:
    """The speed that follows from the rates at which prompts are read and answers are written, in tokens a second.

    What prompts share is computed once, so it counts for nothing.
    """
    return 60 / (workload.own / prompt_rate + workload.answer / answer_rate)


def noise(samples: Sequence[float]) -> float:
    """How much measurements of the same thing differ, as a share of it: half of the range.

    Few as they are, what seems to be one disturbed measurement may be the only right one.
    """
    if len(samples) < 2:
        return UNKNOWN_NOISE
    return (max(samples) - min(samples)) / 2 / median(samples)


def beats(samples: Sequence[float], others: Sequence[float]) -> bool:
    """Whether these speeds are greater by more than chance would make them."""
    gain = median(samples) / median(others) - 1
    return gain > max(LEAST_GAIN, noise(samples) + noise(others))


def is_clearly_behind(samples: Sequence[float], others: Sequence[float]) -> bool:
    """Whether measuring it again would be of no use: not as long as there is nothing to compare."""
    return bool(samples) and median(samples) * (1 + CLEAR_GAIN) < median(others)


def finalists(rows: Sequence[Row], default: Row, best: Row) -> list[Row]:
    """Whose speed is to be measured on whole jobs: the default, the best estimate, and what comes near it."""
    near = [
        row
        for row in sorted(rows, key=lambda row: row.estimate, reverse=True)
        if not row.refused and row.estimates and row.estimate >= FINALIST_SHARE * best.estimate
    ]
    chosen = [row for row in near if row not in (default, best)][: FINALISTS - 1]
    return [default, *([best] if best is not default else []), *chosen]


def next_runs(rows: Sequence[Row], default: Row) -> list[Row]:
    """Which finalists to run once more: none when it is clear who is ahead, or each had its runs.

    One that is clearly behind needs one run, the default two, those that are close to each other `MOST_RUNS`.
    """
    alive = [row for row in rows if not row.refused]
    fresh = [row for row in alive if not row.runs]
    if fresh or len(alive) == 1:
        return fresh
    best = max(alive, key=lambda row: row.speed)
    close = [row for row in alive if not is_clearly_behind(row.runs, best.runs)]
    wanted = MOST_RUNS if len(close) > 1 else 2
    needed = {default: 2} | dict.fromkeys(close, wanted)
    return [row for row in alive if len(row.runs) < needed.get(row, 1)]


def choose(rows: Sequence[Row], default: Row) -> Row:
    """The fastest of the finalists that were not refused; the default unless it is beaten by more than chance."""
    ahead = [row for row in rows if row.runs and not row.refused and beats(row.runs, default.runs)]
    return max(ahead, key=lambda row: row.speed, default=default)


def to_choice(
    space: Space, row: Row, *, prompt_rate: float, decode_rate: float, gain: float, sha256: str, measured: str
) -> Choice:
    """The choice to be stored. What the config fixes was not searched, so its default is stored for it."""
    searched = {
        thing.name: getattr(row.setting if len(getattr(space, thing.name)) > 1 else space.unfixed, thing.name)
        for thing in dataclasses.fields(Setting)
    }
    setting = Setting(**searched)
    return Choice(
        threads=setting.threads,
        batch=setting.batch,
        parallel=setting.parallel,
        kv_cache_k=setting.kv_cache[0],
        kv_cache_v=setting.kv_cache[1],
        weights=setting.weights,
        prompt_rate=prompt_rate,
        decode_rate=decode_rate,
        measured=measured,
        sha256=sha256,
        gain=gain,
    )


def _setting(plan: Plan, weights: str) -> Setting:
    return Setting(plan.threads, plan.batch, plan.parallel, (plan.kv_cache.k, plan.kv_cache.v), weights)


def _kv_caches(
    settings: ModelSettings, architecture: Architecture, default: tuple[str, str]
) -> tuple[tuple[str, str], ...]:
    """Pairs of types that the config leaves open and that work with this model, the default among them."""
    fixed = (settings.kv_cache.k, settings.kv_cache.v)
    if "auto" not in fixed:
        return (default,)
    types = kv_types(architecture)
    found = {default: None}
    for pair in KV_CACHES:
        wanted = tuple(kind if kind != "auto" else usual for kind, usual in zip(fixed, pair, strict=True))
        works = wanted[0] in types[0] and wanted[1] in types[1]
        if works and (wanted[0] == wanted[1] or not architecture.one_cache):
            found[wanted[0], wanted[1]] = None
    return tuple(found)
