"""What measurements come to: valid answers, medians, the compute limit, how far two sets of answers agree.

Pure: plain records in, numbers out. Counts are tokens, times are seconds, rates are per second unless a name says
otherwise.
"""

import dataclasses
import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jsonschema

from benchmarks.engine.sides import Answer
from benchmarks.engine.workload import Job


@dataclasses.dataclass(frozen=True, slots=True)
class Run:
    """One side's work on all jobs of a workload, once."""

    seconds: float
    jobs: int
    valid: int
    tokens_in: int
    tokens_cached: int | None  # None where the side does not tell
    most_cached: int | None  # of one job
    tokens_out: int
    threads: int | None = None  # at the end, where the side tells
    busy_seconds: float = 0.0  # of work, as the side tells
    decode_seconds: float = 0.0  # of those, inside llama.cpp

    @property
    def a_minute(self) -> float:
        """Valid jobs a minute."""
        return self.valid * 60 / self.seconds


@dataclasses.dataclass(frozen=True, slots=True)
class Limit:
    """What had to be evaluated, and the best rates at which anything was evaluated in the same run."""

    prompt: int  # tokens of prompts that no other job had computed
    forced: int  # tokens of answers that the schema left no choice about
    chosen: int  # tokens of answers that it did
    prompt_rate: float
    decode_rate: float

    @property
    def seconds(self) -> float:
        """The least time this can take: forced tokens count as fast as a prompt's."""
        return (self.prompt + self.forced) / self.prompt_rate + self.chosen / self.decode_rate


def summarise(jobs: Sequence[Job], answers: Sequence[Answer], seconds: float) -> Run:
    """The figures of one run."""
    cached = [answer.tokens_cached for answer in answers if answer.tokens_cached is not None]
    told = len(cached) == len(answers)
    return Run(
        seconds=seconds,
        jobs=len(jobs),
        valid=sum(is_valid(job, answer) for job, answer in zip(jobs, answers, strict=True)),
        tokens_in=sum(answer.tokens_in for answer in answers),
        tokens_cached=sum(cached) if told else None,
        most_cached=max(cached) if told else None,
        tokens_out=sum(answer.tokens_out for answer in answers),
    )


def is_valid(job: Job, answer: Answer) -> bool:
    """Whether an answer counts: not cut by its bound, and of its schema where there is one."""
    if answer.stop != "end":
        return False
    if job.schema is None:
        return bool(answer.text.strip())
    try:
        jsonschema.Draft202012Validator(job.schema).validate(json.loads(answer.text))
    except (ValueError, jsonschema.ValidationError):
        return False
    return True


def limit(run: Run, forced: int, chosen: int, rates: Sequence[Mapping[str, Any]]) -> Limit:
    """The compute limit of a run, on the strict side.

    Every job is taken to have found as much in the cache as the luckiest one. Of the `rates` (see
    `direct.rates`) of several turns the median counts, and of all shapes of a batch the fastest.
    """
    found = 0 if run.most_cached is None else run.most_cached * run.jobs
    return Limit(
        prompt=run.tokens_in - found,
        forced=forced,
        chosen=chosen,
        prompt_rate=best_rate(rates, "prompt"),
        decode_rate=best_rate(rates, "decode"),
    )


def best_rate(rates: Sequence[Mapping[str, Any]], kind: str) -> float:
    """Tokens a second of the fastest shape, each by its median over the turns."""
    shapes = zip(*(one[kind] for one in rates), strict=True)
    return max(median(shape["rate"] for shape in turns) for turns in shapes)


def agreement(jobs: Sequence[Job], left: Iterable[str], right: Iterable[str]) -> tuple[int, int]:
    """How many closed fields two sets of answers to the same jobs have alike, of how many.

    An answer that cannot be read agrees with nothing.
    """
    alike = total = 0
    for job, one, other in zip(jobs, left, right, strict=True):
        ours, theirs = _fields(one), _fields(other)
        total += len(job.closed)
        alike += sum(name in ours and name in theirs and ours[name] == theirs[name] for name in job.closed)
    return alike, total


def _fields(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def median(values: Iterable[float]) -> float:
    """The middle one; not a number where there is none."""
    held = list(values)
    return statistics.median(held) if held else float("nan")
