"""The search for the best setting of one model on this machine: learn what its jobs are like, try, decide.

Short samples choose who is worth a look, whole jobs decide. What to try next and who is ahead, `tune` knows; how
to measure, `measure`; what quality may cost, `quality`. Processes and files of results are not known here.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from statistics import mean, median

from agentd.engine import quality, tune
from agentd.engine.choice import Choice
from agentd.engine.measure import PERPLEXITY_TOKENS, Bench, Run
from agentd.engine.tune import Row, Setting, Workload
from agentd.errors import EngineError, ModelUnavailable
from agentd.model import Request
from agentd.records import timestamp

ROUNDS = 3  # short samples of each setting
MOST_SECONDS = 900.0  # after this, nothing is begun that can be left out
FIRST_JOBS = 4  # that tell how long jobs take
RUN_SECONDS = 15.0  # of whole jobs that are done beside each other …
LEAST_JOBS = 12  # … but at least so many
REQUEST_SECONDS = 3600.0
SAMPLE_SECONDS = 0.6  # that the prompt of a short sample is to take, within these tokens:
LEAST_PROMPT, MOST_PROMPT = 32, 256
REFERENCE_KV = ("f16", "f16")

_Types = tuple[str, tuple[str, str]]  # of the weights and of the cache: what quality depends on
Tell = Callable[[str, float, float], None]  # what is being done, the seconds so far, and those left


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a search."""

    choice: Choice
    jobs: int  # whole ones that each run did
    others: float  # cores' worth of CPU that other processes used meanwhile
    rows: list[Row]  # in the order in which they were tried
    default: int  # its place among the rows
    chosen: int


class Search:
    """One search. Raises `ModelUnavailable` where the model cannot be loaded or answers none of the requests."""

    def __init__(self, bench: Bench, requests: Sequence[Request], tell: Tell) -> None:
        self._bench = bench
        self._space = bench.space
        self._requests = {
            number: replace(request, seconds=REQUEST_SECONDS) for number, request in enumerate(requests)
        }
        self._progress = _Progress(tell)
        self._rows: dict[Setting, Row] = {}
        closed = {number: quality.only_choices(request) for number, request in self._requests.items()}
        self._closed = {number: request for number, request in closed.items() if request}
        self._perplexities: dict[_Types, float] = {}
        self._chosen: dict[_Types, quality.Choices] = {}
        self._workload = Workload(1, 1, 1)
        self._base = self._size = 1  # tokens of a short sample
        self._reference = replace(self._space.default, kv_cache=REFERENCE_KV)

    def find_best(self) -> Outcome:
        """Search, decide, and say what came of it."""
        default = self._row(self._space.default)
        self._learn(default)
        chosen = self._decide(default, self._explore(default))
        with self._progress.doing("the best rates of the choice", "samples"):
            rates = self._bench.best_rates(chosen.setting, self._base)
        self._bench.close()
        rows = list(self._rows.values())
        return Outcome(
            choice=tune.to_choice(
                self._space,
                chosen,
                prompt_rate=rates[0],
                decode_rate=rates[1],
                gain=chosen.speed / default.speed,
                sha256=self._bench.sha256,
                measured=timestamp(datetime.now(UTC)),
            ),
            jobs=len(self._requests),
            others=self._bench.others,
            rows=rows,
            default=rows.index(default),
            chosen=rows.index(chosen),
        )

    def _learn(self, default: Row) -> None:
        """Do whole jobs with the defaults, and learn from them what a job is like."""
        seconds = 60 / self._run(default, _spread(self._requests, FIRST_JOBS)).jobs_a_minute
        self._requests = _spread(self._requests, max(round(RUN_SECONDS / seconds), LEAST_JOBS))
        # The defaults and the best three times each; the choices of both and of one that is refused.
        self._progress.plan(jobs=9 * len(self._requests), samples=len(tune.STAGES) * 2)
        default.runs.clear()  # so few jobs do not fill a batch
        run = self._run(default, self._requests)
        self._requests = {number: self._requests[number] for number in run.generations}
        done = list(run.generations.values())
        self._workload = Workload(
            own=max(mean(one.tokens_in - one.tokens_cached for one in done), 1),
            answer=max(mean(one.tokens_out for one in done), 1),
            feed=max(sum(one.tokens_out for one in done) / max(run.steps, 1), 1),
        )
        speed = run.jobs_a_minute / 60 * (self._workload.own + self._workload.answer)  # tokens a second
        self._size = round(min(max(speed * SAMPLE_SECONDS, LEAST_PROMPT), MOST_PROMPT))
        self._base = round(min(max(mean(one.tokens_cached for one in done), 1), self._size))

    def _explore(self, default: Row) -> Row:
        """Change one thing at a time, from the best so far, and measure it by short samples."""
        best = default
        self._sample(default, None)
        for index, stage in enumerate(tune.STAGES):
            wanted = self._untried(stage, best)
            while wanted and not self._progress.over:
                later = {setting for one in tune.STAGES[index + 1 :] for setting in self._untried(one, best)}
                self._progress.plan(samples=len(later.union(wanted)) + 1)
                for setting in wanted:
                    self._sample(self._row(setting), best)
                best = self._best_of(wanted, best)
                wanted = self._untried(stage, best)
        return best

    def _untried(self, stage: str, best: Row) -> list[Setting]:
        return [one for one in tune.variants(self._space, stage, best.setting) if one not in self._rows]

    def _best_of(self, settings: Sequence[Setting], best: Row) -> Row:
        """The fastest of them that beats the best so far and is as good."""
        rows = [self._rows[setting] for setting in settings]
        for row in sorted(rows, key=lambda row: row.estimate, reverse=True):
            if row.estimates and not row.refused and tune.beats(row.estimates, best.estimates):
                self._judge(row)
                if not row.refused:
                    return row
        return best

    def _decide(self, default: Row, best: Row) -> Row:
        """Let the best few do whole jobs, until it is clear which of them is the fastest."""
        rows = tune.finalists(list(self._rows.values()), default, best)
        while wanted := tune.next_runs(rows, default):
            self._progress.plan(jobs=len(wanted) * len(self._requests), samples=1)
            for row in wanted:
                if self._progress.over and (row.runs or row is not best):
                    return tune.choose(rows, default)
                self._judge(row)
                if not row.refused:
                    with _refusing(row):
                        self._run(row, self._requests)
        return tune.choose(rows, default)

    def _sample(self, row: Row, best: Row | None) -> None:
        """Measure by short samples; one is enough for what is clearly slower than the best so far."""
        kind = row.setting.weights
        with _refusing(row):
            if kind:
                self._bench.make_copy(kind, lambda share: self._progress.tell(f"a {kind} copy: {share:.0%}"))
            with self._progress.doing(tune.describe(row.setting, self._space.default), "samples"):
                rates = list[tuple[float, float]]()
                while len(rates) < ROUNDS and not (best and tune.is_clearly_behind(row.estimates, best.estimates)):
                    feed = round(self._workload.feed)
                    rates.append(self._bench.sample(row.setting, self._base, self._size, feed))
                    row.estimates.append(tune.jobs_a_minute(self._workload, *rates[-1]))
                row.prompt_rate, row.answer_rate = (median(column) for column in zip(*rates, strict=True))

    def _run(self, row: Row, requests: Mapping[int, Request]) -> Run:
        """Let a setting do whole jobs."""
        title = f"{len(requests)} jobs with {tune.describe(row.setting, self._space.default)}"
        with self._progress.doing(title, "jobs", len(requests)) as on_job:
            run = self._bench.run(row.setting, requests, on_job)
        if not run.generations:
            raise ModelUnavailable("not one of the prompts can be answered", hint="agentd tasks check")
        row.runs.append(run.jobs_a_minute)
        return run

    def _judge(self, row: Row) -> None:
        """Refuse a setting that predicts the texts worse than the reference does, or chooses otherwise."""
        if self._is_exempt(row.setting) or row.perplexity is not None:
            return
        with _refusing(row):
            row.perplexity = self._perplexity(row.setting) / self._perplexity(self._reference)
            row.refused = quality.why_worse(row.perplexity)
            if not row.refused and self._closed:
                choices = [self._choices(setting) for setting in (self._reference, row.setting)]
                row.agreement = quality.compare_choices(*choices)
                row.refused = quality.why_different(*row.agreement)

    def _perplexity(self, setting: Setting) -> float:
        types = _types(setting)
        if types not in self._perplexities:
            title = f"perplexity with {tune.describe(setting, self._space.default)}"
            with self._progress.doing(title, "texts"):
                self._perplexities[types] = self._bench.perplexity(setting)
        return self._perplexities[types]

    def _choices(self, setting: Setting) -> quality.Choices:
        """What is chosen for the requests that have choices to make."""
        types = _types(setting)
        if types not in self._chosen:
            title = f"{len(self._closed)} choices with {tune.describe(setting, self._space.default)}"
            with self._progress.doing(title, "jobs", len(self._closed)) as on_job:
                run = self._bench.run(setting, self._closed, on_job)
            self._chosen[types] = {
                (number, name): likely
                for number, one in run.generations.items()
                for name, likely in one.probabilities.items()
            }
        return self._chosen[types]

    def _is_exempt(self, setting: Setting) -> bool:
        """Whether nothing can have become worse: what is not asked about, or the reference itself."""
        default = self._space.default
        return setting.weights == default.weights and setting.kv_cache in (default.kv_cache, REFERENCE_KV)

    def _row(self, setting: Setting) -> Row:
        return self._rows.setdefault(setting, Row(setting))


def _spread(requests: Mapping[int, Request], most: int) -> dict[int, Request]:
    """At most so many of the requests, evenly from the first to the last."""
    every = max(len(requests) / most, 1)
    numbers = list(requests)
    return {(number := numbers[int(at * every)]): requests[number] for at in range(min(most, len(numbers)))}


class _Progress:
    """What was done and what is left, by kind of work; seconds are told from how long each kind took so far."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._began = time.monotonic()
        self._left: dict[str, int] = {}
        self._took: dict[str, list[float]] = {"texts": [PERPLEXITY_TOKENS / 200], "samples": [4.0], "jobs": [1.0]}

    @property
    def over(self) -> bool:
        """Whether nothing more may be begun that can be left out."""
        return time.monotonic() - self._began > MOST_SECONDS

    def plan(self, **left: int) -> None:
        """Pieces of each kind that are still to be done, as far as is known."""
        self._left |= left

    def tell(self, text: str) -> None:
        """Say what is being done."""
        left = sum(count * mean(self._took[kind]) for kind, count in self._left.items())
        self._tell(text, time.monotonic() - self._began, left)

    @contextmanager
    def doing(self, text: str, kind: str, pieces: int = 1) -> Iterator[Callable[[], None]]:
        """Time the block, which is so many pieces of a kind; what is yielded may be called after each."""
        began, told = time.monotonic(), 0

        def on_piece() -> None:
            nonlocal told
            told += 1
            self._left[kind] = max(self._left.get(kind, 0) - 1, 0)
            self.tell(text)

        self.tell(text)
        yield on_piece
        while told < pieces:
            on_piece()
        self._took[kind] = [*self._took[kind][-5:], (time.monotonic() - began) / pieces]


def _types(setting: Setting) -> _Types:
    return setting.weights, setting.kv_cache


@contextmanager
def _refusing(row: Row) -> Iterator[None]:
    """Note why a setting cannot be measured; the others can."""
    try:
        yield
    except EngineError as error:
        row.refused = error.message
